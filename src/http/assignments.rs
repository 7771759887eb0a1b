//! `GET A/licenses/assignments`, as pages of JSON and as one CSV.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::params::{AccountParam, AsOfParam, AssignmentParams, Format, FormatParam, OrganizationParam};
use super::path::Account;
use super::problem::Problem;
use super::reply;
use super::state::{ApiState, Report};
use crate::report::assignments::{Assignment, AssignmentsReport, AssignmentsRequest, cells, table};
use crate::report::csv::Table;
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::store::AssignmentStream;

/// Lines of CSV that are sent at once, at most.
const CHUNK_LINES_MAX: usize = 500;

/// Chunks that wait for a slow reader, at most.
const CHUNKS_WAITING_MAX: usize = 2;

/// Who holds a seat, and who really uses it
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/assignments",
    operation_id = "listLicenseAssignments",
    tag = "licenses",
    params(
        AccountParam,
        OrganizationParam,
        AsOfParam,
        AssignmentParams,
        FormatParam,
    ),
    responses((
        status = 200,
        description = "A page of the latest seats of each user in each organization; as CSV all of them",
        content((Answer<AssignmentsReport> = "application/json"), (String = "text/csv")),
    )),
    security(("bearer" = []))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    match Format::take(&mut query, &headers)? {
        Format::Json => page(&state, &account, query, &headers).await,
        Format::Csv => export(&state, &account, query).await,
    }
}

async fn page(state: &ApiState, account: &str, query: Query, headers: &HeaderMap) -> Result<Response, Problem> {
    let (request, page) = AssignmentsRequest::parse_page(account, query)?;
    let report = state.begin_report()?;
    let context = state.context(account).await?;
    let (rows, total) = state.store().assignments(account, &request, &page, report.now_ms).await?;
    let body = AssignmentsReport::assemble(account, &request, &page, context.account.zone, rows, total);
    reply::json(headers, body, context.data_through)
}

async fn export(state: &ApiState, account: &str, query: Query) -> Result<Response, Problem> {
    let request = AssignmentsRequest::parse_all(query)?;
    let report = state.begin_report()?;
    state.context(account).await?;
    let mut rows = state.store().assignment_stream(account, &request, report.now_ms)?;
    // With the first row at hand a query that fails at once is still answered by a problem document.
    let first = rows.next().await?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::spawn(write_lines(report, first, rows, sender, state.request_timeout()));
    // The compression layer polls a body again after its end, which an unfold answers with a panic.
    let chunks = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).fuse();
    Ok(reply::csv_stream("license-assignments.csv", Body::from_stream(chunks)))
}

/// Writes the rows as they come, in constant memory. An error, or a reader that takes nothing for the request timeout,
/// ends it; the answer then breaks off instead of looking whole. The place among the report queries is held until the
/// end.
async fn write_lines(
    _report: Report,
    first: Option<Assignment>,
    mut rows: AssignmentStream,
    sender: mpsc::Sender<io::Result<Bytes>>,
    patience: Duration,
) {
    let mut table = table();
    let mut next = first;
    loop {
        let more = match fill(&mut table, next.take(), &mut rows).await {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(%error, "an export breaks off");
                let _ = sender.send_timeout(Err(io::Error::other("the export broke off")), patience).await;
                return;
            }
        };
        if sender.send_timeout(Ok(table.take_bytes().into()), patience).await.is_err() {
            tracing::info!("an export was given up by its reader");
            return;
        }
        match more {
            Some(row) => next = Some(row),
            None => return,
        }
    }
}

/// Adds lines until the chunk is full; returns the row that comes next, if there is one.
async fn fill(
    table: &mut Table,
    first: Option<Assignment>,
    rows: &mut AssignmentStream,
) -> Result<Option<Assignment>, crate::store::StoreError> {
    let Some(first) = first else { return Ok(None) };
    table.row(cells(first));
    for _ in 1..CHUNK_LINES_MAX {
        match rows.next().await? {
            Some(row) => table.row(cells(row)),
            None => return Ok(None),
        }
    }
    rows.next().await
}
