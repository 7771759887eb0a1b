//! `GET A/organizations/{organization_id}/quota` and its history.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::core::calendar::day_of;
use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::Form;
use crate::http::reply::problem::Problem;
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, AsOfParam, Format, FormatParam, OwnOrganizationParam,
};
use crate::http::request::path::Organization;
use crate::http::state::ApiState;
use crate::report::period::Pinned;
use crate::report::query::Query;
use crate::report::quota::{Figures, QuotaReport, QuotaRequest};
use crate::report::quota_history::QuotaHistoryReport;
use crate::report::subject::Answer;
use crate::store::Scope;

fn no_plan() -> Problem {
    Problem::not_found("The organization had no plan at that time.")
}

/// The quota of an organization in the month that runs
///
/// Of the organization alone, not of those below it, in the quota month that runs at `as_of`.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/organizations/{organization_id}/quota",
    operation_id = "getQuota",
    tag = "quota",
    params(
        AccountParam,
        OwnOrganizationParam,
        AsOfParam,
    ),
    responses((
        status = 200,
        description = "The quota, what is used of it, and where that leads",
        body = Answer<QuotaReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn current(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = QuotaRequest::parse(organization, Query::parse(query.as_deref())?)?;
    state.answers().whole(&headers, &account, Quota { request }).await
}

#[derive(Debug)]
struct Quota {
    request: QuotaRequest,
}

impl Report for Quota {
    const KIND: ReportKind = ReportKind::Quota;

    fn pinned(&self) -> Pinned {
        self.request.pinned()
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let organization = &self.request.organization;
        let as_of_ms = self.request.as_of_ms(now_ms);
        let scope = Scope::Organizations(vec![organization.as_str()]);
        let mut facts = making.store().quota_facts(account, &scope, day_of(zone, as_of_ms)).await?;
        let facts = facts.remove(organization.as_str()).unwrap_or_default();
        let figures = Figures::new(zone, &facts, as_of_ms);
        let report = QuotaReport::assemble(account, organization, &figures).ok_or_else(no_plan)?;
        Made::json(&report)
    }
}

/// The quota of an organization, month by month
///
/// Plan, quota and use of each quota month from the first anchor on, newest first.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/organizations/{organization_id}/quota/history",
    operation_id = "getQuotaHistory",
    tag = "quota",
    params(
        AccountParam,
        OwnOrganizationParam,
        AsOfParam,
        FormatParam,
    ),
    responses((status = 200, description = "The quota months, newest first", content(
        (Answer<QuotaHistoryReport> = "application/json"),
        (String = "text/csv"),
    ))),
    security(("bearer" = []))
)]
pub(in crate::http) async fn history(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    let request = QuotaRequest::parse(organization, query)?;
    state.answers().whole(&headers, &account, QuotaHistory { request, format }).await
}

#[derive(Debug)]
struct QuotaHistory {
    request: QuotaRequest,
    format: Format,
}

impl Report for QuotaHistory {
    const KIND: ReportKind = ReportKind::QuotaHistory;

    fn pinned(&self) -> Pinned {
        self.request.pinned()
    }

    fn form(&self) -> Form {
        self.format.form("quota-history")
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let organization = &self.request.organization;
        let as_of_ms = self.request.as_of_ms(now_ms);
        let as_of_day = day_of(zone, as_of_ms);
        let facts = making.store().quota_history_facts(account, organization, as_of_day).await?;
        let figures = Figures::new(zone, &facts, as_of_ms);
        let report = QuotaHistoryReport::assemble(account, organization, zone, &figures)
            .ok_or_else(no_plan)?;
        match self.format {
            Format::Json => Made::json(&report),
            Format::Csv { .. } => Ok(Made::csv(report.table())),
        }
    }
}
