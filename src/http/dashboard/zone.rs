//! The clock of a time zone, for the page: a browser's own zone data may be of another year, or
//! lack the zone.

use axum::Json;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::core::calendar::{RELEASE, Zone};

/// A release of the zone data changes with the program alone.
const FOR_AN_HOUR: &str = "public, max-age=3600";

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

#[derive(Serialize)]
struct Clock {
    /// The release of the IANA time zone database.
    release: &'static str,
    /// From when on (milliseconds since 1970 UTC) the clock is ahead of UTC by how many seconds,
    /// the earliest first.
    changes: Vec<(i64, i64)>,
}

/// The clock changes of the zone `name`. Everybody may have them: they tell nothing about an
/// account.
pub(super) async fn clock(Query(Named { name }): Query<Named>) -> Response {
    let Ok(zone) = name.parse::<Zone>() else { return StatusCode::NOT_FOUND.into_response() };
    // Numbers of JavaScript are exact up to 2^53.
    let earliest_ms = -(1_i64 << 53);
    let changes = zone
        .changes()
        .iter()
        .map(|change| (change.from_ms.max(earliest_ms), change.offset_ms / 1000))
        .collect();
    ([(CACHE_CONTROL, FOR_AN_HOUR)], Json(Clock { release: RELEASE, changes })).into_response()
}
