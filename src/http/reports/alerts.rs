//! `GET A/alerts`.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::problem::Problem;
use crate::http::request::params::{AccountParam, AlertsParams};
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::alert_list::{AlertPosition, AlertsReport, AlertsRequest};
use crate::report::organizations::Visible;
use crate::report::page::Page;
use crate::report::period::Pinned;
use crate::report::query::Query;
use crate::report::quota_overview::VisibleTree;
use crate::report::subject::Answer;

/// What reached its line
///
/// The alerts of the account, newest first. An account admin sees all of them, anybody else those
/// of the organizations that the token names. There are none unless `alerts.enabled`.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/alerts",
    operation_id = "listAlerts",
    tag = "alerts",
    params(AccountParam, AlertsParams),
    responses((
        status = 200,
        description = "A page of the alerts",
        body = Answer<AlertsReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Extension(visible): Extension<Visible>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (request, page) = AlertsRequest::parse(&account, Query::parse(query.as_deref())?)?;
    let own = match visible {
        Visible::All => None,
        Visible::Only(ids) => Some(ids.into_iter().collect::<BTreeSet<String>>()),
    };
    if let (Some(own), Some(organization)) = (&own, &request.organization)
        && !own.contains(organization.as_str())
    {
        return Err(Problem::forbidden());
    }
    state.answers().whole(&headers, &account, Alerts { request, page, own }).await
}

/// The alerts that a caller may see.
#[derive(Debug)]
struct Alerts {
    request: AlertsRequest,
    page: Page<AlertPosition>,
    /// The organizations of the caller; `None` where all are.
    own: Option<BTreeSet<String>>,
}

impl Report for Alerts {
    const KIND: ReportKind = ReportKind::Alerts;

    fn pinned(&self) -> Pinned {
        Pinned::Always
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let Self { request, page, own } = self;
        let account = making.account;
        let ids: Option<Vec<&str>> =
            own.as_ref().map(|own| own.iter().map(String::as_str).collect());
        let (alerts, total) = making
            .store()
            .alerts(account, request, ids.as_deref(), page.after.as_ref(), page.limit + 1)
            .await?;
        let organizations = VisibleTree::new(making.tree(), own.as_ref());
        let asked = (request, page);
        Made::json(&AlertsReport::assemble(
            account,
            making.zone,
            asked,
            &organizations,
            alerts,
            total,
        ))
    }
}
