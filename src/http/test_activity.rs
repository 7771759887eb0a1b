//! `GET A/organizations/{organization_id}/test-activity`.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::making::Poll;
use super::params::{AccountParam, Format, FormatParam, OwnOrganizationParam, ProjectParam, RangeParams};
use super::path::Organization;
use super::poll::ReportKind;
use super::problem::Problem;
use super::state::ApiState;
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::report::test_activity::{TestActivityReport, TestActivityRequest, Wanted};

/// Tests run and uploaded over time
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/organizations/{organization_id}/test-activity",
    operation_id = "getTestActivity",
    tag = "tests",
    params(
        AccountParam,
        OwnOrganizationParam,
        RangeParams,
        ProjectParam,
        FormatParam,
    ),
    responses((status = 200, description = "The test activity; as CSV the usage report", content(
        (Answer<TestActivityReport> = "application/json"),
        (String = "text/csv"),
    ))),
    security(("bearer" = []))
)]
pub(super) async fn report(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let format = Format::take(&mut query, &headers)?;
    let request = TestActivityRequest::parse(organization, query)?;
    let form = format.form("test-activity.csv");
    let what = format!("{request:?}");
    let making =
        match state.poll(&headers, &account, ReportKind::TestActivity, what, request.period.pinned(), form).await? {
            Poll::Answered(response) => return Ok(response),
            Poll::Make(making) => making,
        };
    let zone = making.context.account.zone;
    let period = request.period.resolve(zone, making.now_ms)?;
    let wanted = Wanted::by(&period);
    let (organization, project) = (request.organization.as_str(), request.project.as_deref());
    let (counts, week) = tokio::try_join!(
        state.store().test_counts(&account, organization, project, wanted.points.as_ref()),
        state.store().test_counts(&account, organization, project, wanted.preceding_week.as_ref()),
    )?;
    let body = TestActivityReport::assemble(&account, &request, zone, &period, &counts, &week);
    match format {
        Format::Json => making.json(&headers, &body).await,
        Format::Csv => making.csv(&headers, body.table()).await,
    }
}
