//! `GET A/licenses/assignments`, as pages of JSON and as one CSV.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use super::making::Poll;
use super::params::{AccountParam, AsOfParam, AssignmentParams, Format, FormatParam, OrganizationParam};
use super::path::Account;
use super::poll::ReportKind;
use super::problem::Problem;
use super::reply::Form;
use super::state::ApiState;
use super::{reply, stream};
use crate::report::assignments::{Assignment, AssignmentsReport, AssignmentsRequest, cells, table};
use crate::report::csv::Table;
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::store::{AssignmentStream, StoreError};

/// The file that an export is saved as.
const FILE_NAME: &str = "license-assignments.csv";

/// Lines of CSV that are sent at once, at most.
const CHUNK_LINES_MAX: usize = 500;

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
        Format::Csv => export(&state, &account, query, &headers).await,
    }
}

async fn page(state: &ApiState, account: &str, query: Query, headers: &HeaderMap) -> Result<Response, Problem> {
    let (request, page) = AssignmentsRequest::parse_page(account, query)?;
    let what = format!("{request:?} {page:?}");
    let making = match state.poll(headers, account, ReportKind::Assignments, what, request.pinned(), Form::Json).await?
    {
        Poll::Answered(response) => return Ok(response),
        Poll::Make(making) => making,
    };
    let (rows, total) = state.assignments(account, &request, &page, &making).await?;
    let body = AssignmentsReport::assemble(account, &request, &page, making.context.account.zone, rows, total);
    making.json(headers, &body).await
}

async fn export(state: &ApiState, account: &str, query: Query, headers: &HeaderMap) -> Result<Response, Problem> {
    let request = AssignmentsRequest::parse_all(query)?;
    let what = format!("{request:?}");
    let making = match state
        .poll(headers, account, ReportKind::Assignments, what, request.pinned(), Form::Csv(FILE_NAME))
        .await?
    {
        Poll::Answered(response) => return Ok(response),
        Poll::Make(making) => making,
    };
    let now_ms = making.now_ms;
    // Read before the rows: they may be newer than their tag, and are then sent once more to whoever asks again.
    let rows_hash = state.store().assignments_hash(account, &request, now_ms).await?;
    let tag = reply::entity_tag(format!("csv {} {rows_hash:?}", request.order()).as_bytes());
    let place = making.stream(&tag).await?;
    if reply::is_known(headers, &tag) {
        return Ok(reply::not_modified(&tag));
    }
    let mut rows = state.store().assignment_stream(account, &request, now_ms)?;
    // With the first row at hand a query that fails at once is still answered by a problem document.
    let next = rows.next().await?;
    let lines = Lines { table: table(), header_written: false, next, rows };
    let body = stream::body(place, lines.chunks(), state.request_timeout());
    Ok(reply::csv_stream(&tag, FILE_NAME, body))
}

/// The lines of an export that are still to be written.
struct Lines {
    /// Holds the header at first.
    table: Table,
    header_written: bool,
    next: Option<Assignment>,
    rows: AssignmentStream,
}

impl Lines {
    fn chunks(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        try_unfold(self, async |mut lines| Ok(lines.chunk().await?.map(|chunk| (chunk, lines))))
    }

    /// The next lines; `None` after the last.
    async fn chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.header_written && self.next.is_none() {
            return Ok(None);
        }
        self.header_written = true;
        for _ in 0..CHUNK_LINES_MAX {
            let Some(row) = self.next.take() else { break };
            self.table.row(cells(row));
            self.next = self.rows.next().await?;
        }
        Ok(Some(self.table.take_bytes().into()))
    }
}
