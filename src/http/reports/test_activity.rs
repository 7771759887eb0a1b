//! `GET A/organizations/{organization_id}/test-activity`.

use axum::extract::State;
use axum::response::Response;

use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::Form;
use crate::http::reply::problem::Problem;
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, Format, FormatParam, OwnOrganizationParam, ProjectParam, RangeParams,
};
use crate::http::request::path::Organization;
use crate::http::state::ApiState;
use crate::report::period::Pinned;
use crate::report::subject::Answer;
use crate::report::test_activity::{TestActivityReport, TestActivityRequest, WantedDays};

/// Tests run and uploaded over time
///
/// Of the organization alone, one point per bucket, and the last complete week before `as_of`.
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
pub(in crate::http) async fn report(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    let request = TestActivityRequest::parse(organization, query)?;
    state.answers().whole(&headers, &account, TestActivity { request, format }).await
}

#[derive(Debug)]
struct TestActivity {
    request: TestActivityRequest,
    format: Format,
}

impl Report for TestActivity {
    const KIND: ReportKind = ReportKind::TestActivity;

    fn pinned(&self) -> Pinned {
        self.request.period.pinned()
    }

    fn form(&self) -> Form {
        self.format.form("test-activity")
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let period = self.request.period.resolve(zone, now_ms)?;
        let wanted = WantedDays::by(&period);
        let (organization, project) = (&self.request.organization, self.request.project.as_ref());
        let counts = making.store().test_counts(account, organization, project, &wanted).await?;
        let report = TestActivityReport::assemble(account, &self.request, zone, &period, counts);
        match self.format {
            Format::Json => Made::json(&report),
            Format::Csv { .. } => Ok(Made::csv(report.table())),
        }
    }
}
