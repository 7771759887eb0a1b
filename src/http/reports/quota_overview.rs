//! `GET A/quota`.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use crate::core::calendar::day_of;
use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::Form;
use crate::http::reply::problem::Problem;
use crate::http::request::formatted::Formatted;
use crate::http::request::params::{
    AccountParam, AsOfParam, Format, FormatParam, OrganizationParam, QuotaOverviewParams,
};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::id::OrganizationId;
use crate::report::organizations::Visible;
use crate::report::page::Page;
use crate::report::period::Pinned;
use crate::report::quota_overview::{
    QuotaOverview, QuotaOverviewReport, QuotaOverviewRequest, QuotaPosition, VisibleTree,
};
use crate::report::subject::Answer;
use crate::store::Scope;

/// Who runs out
///
/// The quota of every organization that has a plan. An account admin sees all of them, anybody else
/// those that the token names.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/quota",
    operation_id = "listQuotas",
    tag = "quota",
    params(
        AccountParam,
        OrganizationParam,
        AsOfParam,
        QuotaOverviewParams,
        FormatParam,
    ),
    responses((
        status = 200,
        description = "A page of the organizations, those first that have used most of their \
            quota; as CSV all of them",
        content((Answer<QuotaOverviewReport> = "application/json"), (String = "text/csv")),
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Extension(visible): Extension<Visible>,
    Account(account): Account,
    Formatted { query, format, headers }: Formatted,
) -> Result<Response, Problem> {
    let (request, page) = match format {
        Format::Json => {
            let (request, page) = QuotaOverviewRequest::parse_page(&account, query)?;
            (request, Some(page))
        }
        Format::Csv { .. } => (QuotaOverviewRequest::parse_all(query)?, None),
    };
    let own = match visible {
        Visible::All => None,
        Visible::Only(ids) => Some(ids.into_iter().collect::<BTreeSet<String>>()),
    };
    let is_own = |id: &OrganizationId| own.as_ref().is_none_or(|own| own.contains(id.as_str()));
    if !request.organization.iter().all(is_own) {
        return Err(Problem::forbidden());
    }
    state.answers().whole(&headers, &account, Quotas { request, format, page, own }).await
}

/// The quota of the organizations that a caller may see.
#[derive(Debug)]
struct Quotas {
    request: QuotaOverviewRequest,
    format: Format,
    /// `None` for all rows, as CSV.
    page: Option<Page<QuotaPosition>>,
    /// The organizations of the caller; `None` where all are.
    own: Option<BTreeSet<String>>,
}

impl Report for Quotas {
    const KIND: ReportKind = ReportKind::QuotaOverview;

    fn pinned(&self) -> Pinned {
        self.request.pinned()
    }

    fn form(&self) -> Form {
        self.format.form("quota")
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Making { account, zone, now_ms, .. } = *making;
        let as_of_ms = self.request.as_of_ms(now_ms);
        let organizations = VisibleTree::new(making.tree(), self.own.as_ref());
        let scope = organizations
            .asked_for(&self.request)
            .map_or(Scope::Account, |ids| Scope::Organizations(ids.into_iter().collect()));
        let facts = making.store().quota_facts(account, &scope, day_of(zone, as_of_ms)).await?;
        let overview = QuotaOverview::rank(&self.request, &organizations, zone, as_of_ms, facts);
        match &self.page {
            Some(page) => Made::json(&overview.page(account, &self.request, page)),
            None => Ok(Made::csv(overview.table())),
        }
    }
}
