//! `GET A/organizations/{organization_id}/quota` and its history.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::making::{Making, Poll};
use super::params::{AccountParam, AsOfParam, Format, FormatParam, OwnOrganizationParam};
use super::path::Organization;
use super::poll::ReportKind;
use super::problem::Problem;
use super::reply::Form;
use super::state::ApiState;
use crate::core::calendar::{Zone, day_of};
use crate::report::period::stored_day;
use crate::report::query::Query;
use crate::report::quota::{Figures, QuotaHistoryReport, QuotaReport, QuotaRequest, QuotaUsed};
use crate::report::subject::Answer;
use crate::report::window::PlanRecord;

/// What both reports are made of.
struct Read {
    zone: Zone,
    records: Vec<PlanRecord>,
    used: Vec<QuotaUsed>,
    as_of_ms: i64,
}

impl Read {
    fn figures(&self) -> Figures<'_> {
        Figures { zone: self.zone, records: &self.records, used: &self.used, as_of_ms: self.as_of_ms }
    }
}

async fn read(state: &ApiState, making: &Making, account: &str, request: &QuotaRequest) -> Result<Read, Problem> {
    let zone = making.context.account.zone;
    let as_of_ms = request.as_of_ms(making.now_ms);
    let as_of_day = stored_day(day_of(zone, as_of_ms));
    let (records, used) = tokio::try_join!(
        state.store().plan_records(account, &request.organization),
        state.store().quota_used(account, &request.organization, as_of_day),
    )?;
    Ok(Read { zone, records, used, as_of_ms })
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
    let what = format!("quota {request:?}");
    let making = match state.poll(&headers, &account, ReportKind::Quota, what, request.pinned(), Form::Json).await? {
        Poll::Answered(response) => return Ok(response),
        Poll::Make(making) => making,
    };
    let read = read(&state, &making, &account, &request).await?;
    let body = QuotaReport::assemble(&account, &request, &read.figures()).ok_or_else(no_plan)?;
    making.json(&headers, &body).await
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
    let form = format.form("quota-history.csv");
    let what = format!("quota history {request:?}");
    let making = match state.poll(&headers, &account, ReportKind::Quota, what, request.pinned(), form).await? {
        Poll::Answered(response) => return Ok(response),
        Poll::Make(making) => making,
    };
    let read = read(&state, &making, &account, &request).await?;
    let body = QuotaHistoryReport::assemble(&account, &request, &read.figures()).ok_or_else(no_plan)?;
    match format {
        Format::Json => making.json(&headers, &body).await,
        Format::Csv => making.csv(&headers, body.table()).await,
    }
}
