//! `GET A/licenses/usage`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;

use crate::http::answers::{Answered, Made, MadeOrTagged, Making, ReportKind, StreamableReport};
use crate::http::reply::Form;
use crate::http::reply::problem::Problem;
use crate::http::reports::series::{self, FILE_NAME};
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, Format, FormatParam, GroupByParam, OrganizationParam, RangeParams,
};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::license_usage::{
    LicenseUsage, UsageByOrganizationReport, UsageReport, UsageRequest, UsageRows, WantedUsage,
    fits_memory,
};
use crate::report::period::{Period, Pinned};
use crate::report::subject::Answer;
use crate::store::{Series, Who};

/// Seats and the users who really use them over time
///
/// One point per bucket, and a summary of the whole range; with `group_by=organization` one series
/// per organization.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/licenses/usage",
    operation_id = "getLicenseUsage",
    tag = "licenses",
    params(AccountParam, OrganizationParam, RangeParams, GroupByParam, FormatParam),
    responses((
        status = 200,
        description = "The license usage, or one series per organization; as CSV one line per \
            point",
        content((Answer<LicenseUsage> = "application/json"), (String = "text/csv")),
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn report(
    State(state): State<ApiState>,
    Account(account): Account,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    let usage = Arc::new(Usage { request: UsageRequest::parse(query)?, format });
    match state.answers().answer(&headers, &account, &usage).await? {
        Answered::Whole(response) => Ok(response),
        Answered::Stream(streaming) => {
            series::stream(&state, &account, usage.request.clone(), format, streaming).await
        }
    }
}

#[derive(Debug)]
struct Usage {
    request: UsageRequest,
    format: Format,
}

impl StreamableReport for Usage {
    const KIND: ReportKind = ReportKind::Usage;

    fn pinned(&self) -> Pinned {
        self.request.period.pinned()
    }

    fn form(&self) -> Form {
        self.format.form(FILE_NAME)
    }

    async fn make(&self, making: &Making<'_>) -> Result<MadeOrTagged, Problem> {
        let period = self.request.period.resolve(making.zone, making.now_ms)?;
        if !self.request.by_organization {
            let report = self.total(making, &period).await?;
            let made = match self.format {
                Format::Json => Made::json(&LicenseUsage::Total(report))?,
                Format::Csv { .. } => Made::csv(report.table()),
            };
            return Ok(MadeOrTagged::Made(made));
        }
        let children = making.tree().children(self.request.organization.as_deref());
        if !fits_memory(children.len(), &period) {
            let (request, format) = (&self.request, self.format);
            let tag = series::tag(making, request, format, &period, &children).await?;
            return Ok(MadeOrTagged::Tagged(tag));
        }
        let report = self.by_organization(making, &period, &children).await?;
        let made = match self.format {
            Format::Json => Made::json(&LicenseUsage::ByOrganization(report))?,
            Format::Csv { .. } => Made::csv(report.table(making.tree())),
        };
        Ok(MadeOrTagged::Made(made))
    }
}

impl Usage {
    async fn total(&self, making: &Making<'_>, period: &Period) -> Result<UsageReport, Problem> {
        let Making { account, zone, .. } = *making;
        let wanted = WantedUsage::by(period);
        let scope = making.scope(self.request.organization.as_deref());
        let rows = match Who::of(&scope) {
            Some(who) => Self::rows(making, &who, &wanted).await?.remove("").unwrap_or_default(),
            None => self.viewed(making, &wanted).await?,
        };
        Ok(UsageReport::assemble(account, &self.request, zone, period, &rows))
    }

    async fn by_organization(
        &self,
        making: &Making<'_>,
        period: &Period,
        children: &[&str],
    ) -> Result<UsageByOrganizationReport, Problem> {
        let Making { account, zone, .. } = *making;
        let wanted = WantedUsage::by(period);
        let members = children.iter().map(|&child| (child, making.tree().subtree(child))).collect();
        let rows = match Series::new(members) {
            Some(series) => Self::rows(making, &Who::Series(series), &wanted).await?,
            None => self.viewed_by_organization(making, &wanted).await?,
        };
        Ok(UsageByOrganizationReport::assemble(
            account,
            &self.request,
            zone,
            period,
            children,
            &rows,
        ))
    }

    /// The figures of the lines, by series.
    async fn rows(
        making: &Making<'_>,
        who: &Who<'_>,
        wanted: &WantedUsage,
    ) -> Result<HashMap<String, UsageRows>, Problem> {
        let (parts, basis) = (making.parts(), making.basis());
        let users = async {
            match &wanted.days {
                None => Ok((HashMap::new(), Instant::now())),
                Some(days) => parts.active_users(&basis, who, days).await,
            }
        };
        let (seats, users) =
            tokio::try_join!(parts.assigned(&basis, who, &wanted.edges_ms), users)?;
        let (seats, users) = (making.take(seats), making.take(users));
        let mut rows: HashMap<String, UsageRows> = HashMap::new();
        for (id, seats) in seats {
            let assigned = wanted.edges_ms.iter().copied().zip(seats).collect();
            rows.entry(id).or_default().assigned = assigned;
        }
        for (id, users) in users {
            rows.entry(id).or_default().users = users;
        }
        Ok(rows)
    }

    /// The same of an organization, of which more lie below it than a query of ours can name.
    async fn viewed(
        &self,
        making: &Making<'_>,
        wanted: &WantedUsage,
    ) -> Result<UsageRows, Problem> {
        let (account, store) = (making.account, making.store());
        let organization = self.request.organization.as_ref();
        let (seats, users) = tokio::try_join!(
            store.license_history(account, organization, &wanted.edges_ms),
            store.active_users(account, organization, wanted.days.as_ref()),
        )?;
        let assigned = seats.iter().map(|count| (count.edge_ms, count.assigned)).collect();
        Ok(UsageRows { assigned, users })
    }

    /// The same by organization.
    async fn viewed_by_organization(
        &self,
        making: &Making<'_>,
        wanted: &WantedUsage,
    ) -> Result<HashMap<String, UsageRows>, Problem> {
        let (account, store) = (making.account, making.store());
        let organization = self.request.organization.as_ref();
        let (seats, users) = tokio::try_join!(
            store.seats_by_organization(account, organization, &wanted.edges_ms),
            store.active_users_by_organization(account, organization, wanted.days.as_ref()),
        )?;
        let mut rows: HashMap<String, UsageRows> = HashMap::new();
        for (id, edge_ms, assigned) in seats {
            rows.entry(id).or_default().assigned.push((edge_ms, assigned));
        }
        for (id, users) in users {
            rows.entry(id).or_default().users = users;
        }
        Ok(rows)
    }
}
