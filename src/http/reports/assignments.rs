//! `GET A/licenses/assignments`, as pages of JSON and as one CSV.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{iter, try_unfold};
use futures_util::{Stream, StreamExt as _};

use crate::core::calendar::day_of;
use crate::http::answers::{
    Answered, Made, MadeOrTagged, Making, Report, ReportKind, StreamableReport, Streaming,
};
use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::reply::stream;
use crate::http::reply::{CsvFile, Form};
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, AsOfParam, AssignmentParams, FormatParam, OrganizationParam,
};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::assignments::{Assignment, AssignmentsReport, AssignmentsRequest, cells, table};
use crate::report::csv::{BYTE_ORDER_MARK, Table};
use crate::report::cursor::AssignmentPosition;
use crate::report::id::AccountId;
use crate::report::page::Page;
use crate::report::period::Pinned;
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::store::{AssignmentStream, StoreError};

/// The name of the file that an export is saved as, before its day.
const FILE_NAME: &str = "license-assignments";

/// Lines of CSV that are sent at once, at most.
const CHUNK_LINES_MAX: usize = 500;

/// Who holds a seat, and who really uses it
///
/// The latest seat of each user in each organization, filtered and sorted; as pages of JSON, or all
/// rows at once as CSV.
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
        description = "A page of the latest seats of each user in each organization; as CSV all of \
            them",
        content((Answer<AssignmentsReport> = "application/json"), (String = "text/csv")),
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Account(account): Account,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    match format.form(FILE_NAME) {
        Form::Json => page(&state, &account, query, &headers).await,
        Form::Csv(file) => export(&state, &account, query, file, &headers).await,
    }
}

async fn page(
    state: &ApiState,
    account: &AccountId,
    query: Query,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (request, page) = AssignmentsRequest::parse_page(account, query)?;
    state.answers().whole(headers, account, AssignmentsPage { request, page }).await
}

async fn export(
    state: &ApiState,
    account: &AccountId,
    query: Query,
    file: CsvFile,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let request = AssignmentsRequest::parse_all(query)?;
    let export = Arc::new(AssignmentsExport { request, file });
    let Streaming { tag, known, now_ms, place, .. } =
        match state.answers().answer(headers, account, &export).await? {
            Answered::Whole(response) => return Ok(response),
            Answered::Stream(streaming) => streaming,
        };
    let mut rows = state.store().assignment_stream(account, &export.request, now_ms)?;
    // With the first row at hand a query that fails at once is still answered by a problem
    // document.
    let next = rows.next().await?;
    let lines = Lines { table: table(), header_written: false, next, rows };
    let mark = file.byte_order_mark.then(|| Ok(Bytes::from_static(BYTE_ORDER_MARK)));
    let body = stream::body(place, iter(mark).chain(lines.chunks()), state.request_timeout());
    Ok(reply::csv_stream(&tag, file, day_of(known.zone, now_ms), body))
}

#[derive(Debug)]
struct AssignmentsPage {
    request: AssignmentsRequest,
    page: Page<AssignmentPosition>,
}

impl Report for AssignmentsPage {
    const KIND: ReportKind = ReportKind::Assignments;

    fn pinned(&self) -> Pinned {
        self.request.pinned()
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let scope = making.scope(self.request.organization.as_deref());
        let place = (&scope, making.tree());
        let (rows, total) = making
            .store()
            .assignment_page(account, &self.request, &self.page, now_ms, place)
            .await?;
        Made::json(&AssignmentsReport::assemble(
            account,
            &self.request,
            &self.page,
            zone,
            rows,
            total,
        ))
    }
}

#[derive(Debug)]
struct AssignmentsExport {
    request: AssignmentsRequest,
    file: CsvFile,
}

impl StreamableReport for AssignmentsExport {
    const KIND: ReportKind = ReportKind::Assignments;

    fn pinned(&self) -> Pinned {
        self.request.pinned()
    }

    fn form(&self) -> Form {
        Form::Csv(self.file)
    }

    /// The tag. It is read before the rows: they may be newer, and are then sent once more to
    /// whoever asks again.
    async fn make(&self, making: &Making<'_>) -> Result<MadeOrTagged, Problem> {
        let rows =
            making.store().assignments_hash(making.account, &self.request, making.now_ms).await?;
        Ok(MadeOrTagged::Tagged(reply::entity_tag(
            format!("csv {} {rows:?}", self.request.order()).as_bytes(),
        )))
    }
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
