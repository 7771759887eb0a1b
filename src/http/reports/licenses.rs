//! `GET A/licenses/history` and `GET A/licenses/usage`.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::answers::{Answered, Made, Making, Report, ReportKind};
use crate::http::reply::problem::Problem;
use crate::http::reports::series;
use crate::http::request::params::{AccountParam, GroupByParam, OrganizationParam, RangeParams};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::licenses::{
    HistoryReport, HistoryRequest, LicenseUsage, UsageByOrganizationReport, UsageReport,
    UsageRequest, UsageRows, Wanted, fits_memory,
};
use crate::report::period::{Period, Pinned};
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::store::Series;

/// Seats purchased, assigned and activated over time
///
/// One point per bucket, as it stood at the end of the bucket's last day, or at `as_of` if that is
/// earlier.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/history",
    operation_id = "getLicenseHistory",
    tag = "licenses",
    params(AccountParam, OrganizationParam, RangeParams),
    responses((status = 200, description = "The license history", body = Answer<HistoryReport>)),
    security(("bearer" = []))
)]
pub(in crate::http) async fn history(
    State(state): State<ApiState>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = HistoryRequest::parse(Query::parse(query.as_deref())?)?;
    state.answers().whole(&headers, &account, &History { request }).await
}

#[derive(Debug)]
struct History {
    request: HistoryRequest,
}

impl Report for History {
    const KIND: ReportKind = ReportKind::History;

    fn pinned(&self) -> Pinned {
        self.request.period.pinned()
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let period = self.request.period.resolve(zone, now_ms)?;
        let organization = self.request.organization.as_deref();
        let scope = making.scope(organization);
        let counts =
            making.store().seats_at(account, organization, &scope, &period.edges_ms()).await?;
        Made::json(&HistoryReport::assemble(account, &self.request, zone, &period, &counts))
    }
}

/// Seats and the users who really use them over time
///
/// One point per bucket; with `group_by=organization` one series per organization.
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
pub(in crate::http) async fn usage(
    State(state): State<ApiState>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = UsageRequest::parse(Query::parse(query.as_deref())?)?;
    let usage = Usage { request };
    match state.answers().answer(&headers, &account, &usage).await? {
        Answered::Whole(response) => Ok(response),
        Answered::Stream(streaming) => {
            series::stream(&state, &account, usage.request, streaming).await
        }
    }
}

#[derive(Debug)]
struct Usage {
    request: UsageRequest,
}

impl Report for Usage {
    const KIND: ReportKind = ReportKind::Usage;

    fn pinned(&self) -> Pinned {
        self.request.period.pinned()
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let period = self.request.period.resolve(making.zone, making.now_ms)?;
        if !self.request.by_organization {
            return Made::json(&LicenseUsage::Total(self.total(making, &period).await?));
        }
        let children = making.tree().children(self.request.organization.as_deref());
        if !fits_memory(children.len(), &period) {
            return Ok(Made::Tagged(series::tag(making, &self.request, &period, &children).await?));
        }
        let report = self.by_organization(making, &period, &children).await?;
        Made::json(&LicenseUsage::ByOrganization(report))
    }
}

impl Usage {
    async fn total(&self, making: &Making<'_>, period: &Period) -> Result<UsageReport, Problem> {
        let Making { account, zone, .. } = *making;
        let wanted = Wanted::by(period);
        let organization = self.request.organization.as_deref();
        let scope = making.scope(organization);
        let (seats, active) = tokio::try_join!(
            making.store().seats_at(account, organization, &scope, &wanted.edges_ms),
            making.store().active_users_in(account, organization, &scope, wanted.days.as_ref()),
        )?;
        let assigned = seats.iter().map(|count| (count.edge_ms, count.assigned)).collect();
        Ok(UsageReport::assemble(
            account,
            &self.request,
            zone,
            period,
            &UsageRows { assigned, active },
        ))
    }

    async fn by_organization(
        &self,
        making: &Making<'_>,
        period: &Period,
        children: &[&str],
    ) -> Result<UsageByOrganizationReport, Problem> {
        let Making { account, zone, .. } = *making;
        let wanted = Wanted::by(period);
        let organization = self.request.organization.as_deref();
        let (store, days) = (making.store(), wanted.days.as_ref());
        let members = children.iter().map(|&child| (child, making.tree().subtree(child))).collect();
        let (seats, users) = match Series::new(members) {
            Some(series) => tokio::try_join!(
                store.assigned_by_series(account, &series, &wanted.edges_ms),
                store.active_users_by_series(account, &series, days),
            )?,
            None => tokio::try_join!(
                store.seats_by_organization(account, organization, &wanted.edges_ms),
                store.active_users_by_organization(account, organization, days),
            )?,
        };
        let mut rows: HashMap<String, UsageRows> = HashMap::new();
        for (id, edge_ms, assigned) in seats {
            rows.entry(id).or_default().assigned.push((edge_ms, assigned));
        }
        for (id, users) in users {
            rows.entry(id).or_default().active.push(users);
        }
        Ok(UsageByOrganizationReport::assemble(
            account,
            &self.request,
            zone,
            period,
            children,
            &rows,
        ))
    }
}
