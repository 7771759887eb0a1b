//! `GET A/licenses/history`.

use axum::extract::State;
use axum::response::Response;

use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::Form;
use crate::http::reply::problem::Problem;
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, Format, FormatParam, OrganizationParam, RangeParams,
};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::id::OrganizationId;
use crate::report::license_history::{HistoryReport, HistoryRequest, instants_ms};
use crate::report::period::Pinned;
use crate::report::subject::Answer;

/// Seats purchased, assigned and activated over time
///
/// One point per bucket, as it stood at the end of the bucket's last day, or at `as_of` if that is
/// earlier, with the greatest numbers within the bucket.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/history",
    operation_id = "getLicenseHistory",
    tag = "licenses",
    params(AccountParam, OrganizationParam, RangeParams, FormatParam),
    responses((status = 200, description = "The license history", content(
        (Answer<HistoryReport> = "application/json"),
        (String = "text/csv"),
    ))),
    security(("bearer" = []))
)]
pub(in crate::http) async fn history(
    State(state): State<ApiState>,
    Account(account): Account,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    let request = HistoryRequest::parse(query)?;
    state.answers().whole(&headers, &account, History { request, format }).await
}

#[derive(Debug)]
struct History {
    request: HistoryRequest,
    format: Format,
}

impl Report for History {
    const KIND: ReportKind = ReportKind::History;

    fn pinned(&self) -> Pinned {
        self.request.period.pinned()
    }

    fn form(&self) -> Form {
        self.format.form("license-history")
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let period = self.request.period.resolve(zone, now_ms)?;
        let organization = self.request.organization.as_ref();
        let scope = making.scope(organization.map(OrganizationId::as_str));
        let instants_ms = instants_ms(zone, &period);
        let (store, in_all) = (making.store(), making.tree().len());
        let few =
            store.few_seat_history(account, organization, (&scope, in_all), &instants_ms).await?;
        let counts = match few {
            Some(counts) => counts,
            None => store.seat_history(account, organization, &scope, &instants_ms).await?,
        };
        let report = HistoryReport::assemble(account, &self.request, zone, &period, &counts);
        match self.format {
            Format::Json => Made::json(&report),
            Format::Csv { .. } => Ok(Made::csv(report.table())),
        }
    }
}
