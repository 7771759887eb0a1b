//! `GET A/licenses/history` and `GET A/licenses/usage`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::making::{Making, Poll};
use super::params::{AccountParam, GroupByParam, OrganizationParam, RangeParams};
use super::path::Account;
use super::poll::ReportKind;
use super::problem::Problem;
use super::reply::Form;
use super::seats::Seats;
use super::series;
use super::series::Comparison;
use super::state::{ApiState, Context};
use super::tree::Tree;
use super::usage::Scope;
use crate::core::calendar::{Day, day_of};
use crate::report::licenses::{
    HistoryReport, HistoryRequest, LicenseUsage, SeatCounts, UsageByOrganizationReport, UsageReport, UsageRequest,
    UsageRows, Wanted, fits_memory,
};
use crate::report::period::Period;
use crate::report::query::Query;
use crate::report::subject::{AccountContext, Answer};

/// Seats purchased, assigned and activated over time
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/history",
    operation_id = "getLicenseHistory",
    tag = "licenses",
    params(AccountParam, OrganizationParam, RangeParams),
    responses((status = 200, description = "The license history", body = Answer<HistoryReport>)),
    security(("bearer" = []))
)]
pub(super) async fn history(
    State(state): State<ApiState>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = HistoryRequest::parse(Query::parse(query.as_deref())?)?;
    let what = format!("{request:?}");
    let making =
        match state.poll(&headers, &account, ReportKind::History, what, request.period.pinned(), Form::Json).await? {
            Poll::Answered(response) => return Ok(response),
            Poll::Make(making) => making,
        };
    let zone = making.context.account.zone;
    let period = request.period.resolve(zone, making.now_ms)?;
    let (scope, tree) = scope_of(&state, &account, request.organization.as_deref(), &making).await?;
    let counts = counts(&state, &scope, tree.as_deref(), &period.edges_ms(), &making).await?;
    let body = HistoryReport::assemble(&account, &request, zone, &period, &counts);
    making.json(&headers, &body).await
}

/// Seats and the users who really use them over time
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/usage",
    operation_id = "getLicenseUsage",
    tag = "licenses",
    params(AccountParam, OrganizationParam, RangeParams, GroupByParam),
    responses((
        status = 200,
        description = "The license usage, or one series per organization",
        body = Answer<LicenseUsage>,
    )),
    security(("bearer" = []))
)]
pub(super) async fn usage(
    State(state): State<ApiState>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = UsageRequest::parse(Query::parse(query.as_deref())?)?;
    let what = format!("{request:?}");
    let making =
        match state.poll(&headers, &account, ReportKind::Usage, what, request.period.pinned(), Form::Json).await? {
            Poll::Answered(response) => return Ok(response),
            Poll::Make(making) => making,
        };
    let period = request.period.resolve(making.context.account.zone, making.now_ms)?;
    let body = if request.by_organization {
        let organization = request.organization.as_deref();
        let tree = state.tree(&account, organization, true, making.version()).await?;
        if !fits_memory(tree.series.len(), &period) {
            let Context { account: AccountContext { zone }, data_through } = making.context;
            let children = tree.series.clone();
            let comparison = Comparison { account, request, zone, period, children, data_through };
            return series::answer(&state, making, &headers, comparison).await;
        }
        LicenseUsage::ByOrganization(by_organization(&state, &account, &request, &making, &period, &tree).await?)
    } else {
        LicenseUsage::Total(total(&state, &account, &request, &making, &period).await?)
    };
    making.json(&headers, &body).await
}

async fn total(
    state: &ApiState,
    account: &str,
    request: &UsageRequest,
    making: &Making,
    period: &Period,
) -> Result<UsageReport, Problem> {
    let wanted = Wanted::by(period);
    let (scope, tree) = scope_of(state, account, request.organization.as_deref(), making).await?;
    let seats = counts(state, &scope, tree.as_deref(), &wanted.edges_ms, making);
    let users = state.active_users(&scope, tree.as_deref(), wanted.days.as_ref(), today_of(making), making.version());
    let (seats, users) = tokio::try_join!(seats, users)?;
    let assigned = seats.iter().map(|count| (count.edge_ms, count.assigned)).collect();
    let active = users.into_iter().map(|(_, row)| row).collect();
    let zone = making.context.account.zone;
    Ok(UsageReport::assemble(account, request, zone, period, &UsageRows { assigned, active }))
}

/// The day in the account's zone.
fn today_of(making: &Making) -> Day {
    day_of(making.context.account.zone, making.now_ms)
}

/// The organization with all below it; the whole account needs no tree.
async fn scope_of(
    state: &ApiState,
    account: &str,
    organization: Option<&str>,
    making: &Making,
) -> Result<(Scope, Option<Arc<Tree>>), Problem> {
    let tree = match organization {
        Some(_) => Some(state.tree(account, organization, false, making.version()).await?),
        None => None,
    };
    let hash = tree.as_ref().map(|tree| tree.hash);
    let organization = organization.map(str::to_owned);
    Ok((Scope { account: account.to_owned(), organization, by_organization: false, tree: hash }, tree))
}

/// The seats of the scope together.
async fn counts(
    state: &ApiState,
    scope: &Scope,
    tree: Option<&Tree>,
    edges_ms: &[i64],
    making: &Making,
) -> Result<Vec<SeatCounts>, Problem> {
    let seats = state.seats(scope, tree, edges_ms, making).await?;
    let counts = seats.into_iter().map(|(edge_ms, seats)| {
        let Seats { purchased, assigned, activated } = seats[0];
        SeatCounts { edge_ms, purchased, assigned, activated }
    });
    Ok(counts.collect())
}

async fn by_organization(
    state: &ApiState,
    account: &str,
    request: &UsageRequest,
    making: &Making,
    period: &Period,
    tree: &Tree,
) -> Result<UsageByOrganizationReport, Problem> {
    let wanted = Wanted::by(period);
    let organization = request.organization.clone();
    let scope = Scope { account: account.to_owned(), organization, by_organization: true, tree: Some(tree.hash) };
    let seats = state.seats(&scope, Some(tree), &wanted.edges_ms, making);
    let users = state.active_users(&scope, Some(tree), wanted.days.as_ref(), today_of(making), making.version());
    let (seats, users) = tokio::try_join!(seats, users)?;
    let assigned = |index: usize| seats.iter().map(|(edge_ms, seats)| (*edge_ms, seats[index].assigned)).collect();
    let series = tree.series.iter().enumerate();
    let mut rows: HashMap<String, UsageRows> =
        series.map(|(index, id)| (id.clone(), UsageRows { assigned: assigned(index), active: Vec::new() })).collect();
    for (id, row) in users {
        rows.entry(id).or_default().active.push(row);
    }
    let zone = making.context.account.zone;
    Ok(UsageByOrganizationReport::assemble(account, request, zone, period, tree.series.clone(), &rows))
}
