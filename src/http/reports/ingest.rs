//! `GET /v1/ingest`.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::state::ApiState;
use crate::report::ingest::IngestReport;
use crate::report::query::Query;
use crate::report::subject::Answer;

/// What has been counted so far
///
/// How many records of each kind there were, how far behind the log the counts are, and the same by
/// partition.
#[utoipa::path(
    get,
    path = "/v1/ingest",
    operation_id = "getIngest",
    tag = "operations",
    responses((
        status = 200,
        description = "What became of the records, by partition",
        body = Answer<IngestReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn report(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref())?.finish()?;
    let body = state.ingest().await?;
    let data_through = body.data_through();
    reply::json_tagged_by(&headers, &body.undated(), &body, data_through)
}
