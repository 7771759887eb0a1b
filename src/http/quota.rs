//! `GET A/organizations/{organization_id}/quota` and its history.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::params::{AccountParam, AsOfParam, Format, FormatParam, OwnOrganizationParam};
use super::path::Organization;
use super::problem::Problem;
use super::reply;
use super::state::{ApiState, Context};
use crate::core::calendar::day_of;
use crate::report::period::stored_day;
use crate::report::query::Query;
use crate::report::quota::{Figures, QuotaHistoryReport, QuotaReport, QuotaRequest, QuotaUsed};
use crate::report::subject::Answer;
use crate::report::window::PlanRecord;

/// What both reports are made of.
struct Read {
    context: Context,
    records: Vec<PlanRecord>,
    used: Vec<QuotaUsed>,
    as_of_ms: i64,
}

impl Read {
    fn figures(&self) -> Figures<'_> {
        let zone = self.context.account.zone;
        Figures { zone, records: &self.records, used: &self.used, as_of_ms: self.as_of_ms }
    }
}

async fn read(state: &ApiState, account: &str, request: &QuotaRequest) -> Result<Read, Problem> {
    let report = state.begin_report()?;
    let context = state.context(account).await?;
    let as_of_ms = request.as_of_ms(report.now_ms);
    let as_of_day = stored_day(day_of(context.account.zone, as_of_ms));
    let (records, used) = tokio::try_join!(
        state.store().plan_records(account, &request.organization),
        state.store().quota_used(account, &request.organization, as_of_day),
    )?;
    Ok(Read { context, records, used, as_of_ms })
}

fn no_plan() -> Problem {
    Problem::not_found("The organization had no plan at that time.")
}

/// The quota of an organization in the month that runs
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
    responses((status = 200, description = "The quota, and what is used of it", body = Answer<QuotaReport>)),
    security(("bearer" = []))
)]
pub(super) async fn current(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = QuotaRequest::parse(organization, Query::parse(query.as_deref())?)?;
    let read = read(&state, &account, &request).await?;
    let body = QuotaReport::assemble(&account, &request, &read.figures()).ok_or_else(no_plan)?;
    reply::json(&headers, body, read.context.data_through)
}

/// The quota of an organization, month by month
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
pub(super) async fn history(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let format = Format::take(&mut query, &headers)?;
    let request = QuotaRequest::parse(organization, query)?;
    let read = read(&state, &account, &request).await?;
    let body = QuotaHistoryReport::assemble(&account, &request, &read.figures()).ok_or_else(no_plan)?;
    match format {
        Format::Json => reply::json(&headers, body, read.context.data_through),
        Format::Csv => Ok(reply::csv(&headers, "quota-history.csv", body.table())),
    }
}
