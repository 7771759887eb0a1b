//! `GET /v1/audit`.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::Utc;

use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::request::params::AuditParams;
use crate::http::state::ApiState;
use crate::report::audit::{AuditReport, AuditRequest};
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::report::value;

/// What became of the records, by the hour
///
/// By partition and hour of record time, with a checksum of the accepted records in any order: to
/// compare with a producer's own count, or with a copy of the log once the log is gone.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "getAudit",
    tag = "operations",
    params(AuditParams),
    responses((
        status = 200,
        description = "A page of at most 1,000 hours",
        body = Answer<AuditReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn hours(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now_ms = Utc::now().timestamp_millis();
    let request = AuditRequest::parse(Query::parse(query.as_deref())?, now_ms)?;
    let (store, topic) = (state.store(), state.topic());
    let _place = state.take_place().await?;
    // This has to be before the hours are read: they hold all that was counted by then.
    let data_through = store.flushed_through_ms(topic).await?.map(value::Timestamp);
    let range = (request.from, request.to);
    let rows =
        store.partition_hours(topic, range, request.after, AuditRequest::ROWS_READ_MAX).await?;
    let report = AuditReport::assemble(&request, topic, rows);
    reply::json_tagged_by(&headers, &report, &report, data_through)
}
