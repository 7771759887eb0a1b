//! `GET A/organizations`.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::answers::{Made, Making, Report, ReportKind};
use crate::http::reply::problem::Problem;
use crate::http::request::params::AccountParam;
use crate::http::request::path::Account;
use crate::http::state::ApiState;
use crate::report::organizations::{OrganizationsReport, Visible};
use crate::report::period::Pinned;
use crate::report::query::Query;
use crate::report::subject::Answer;

/// The organizations of an account
///
/// An account admin sees all of them, anybody else those that the token names.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/organizations",
    operation_id = "listOrganizations",
    tag = "organizations",
    params(AccountParam),
    responses((
        status = 200,
        description = "Every organization that any event has named",
        body = Answer<OrganizationsReport>,
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
    Query::parse(query.as_deref())?.finish()?;
    state.answers().whole(&headers, &account, Organizations { visible }).await
}

/// The organizations that a caller may see.
#[derive(Debug)]
struct Organizations {
    visible: Visible,
}

impl Report for Organizations {
    const KIND: ReportKind = ReportKind::Organizations;

    fn pinned(&self) -> Pinned {
        // A list for somebody who may not see all depends on the token too, and its text names the
        // ids in no order.
        if self.visible == Visible::All { Pinned::Always } else { Pinned::Never }
    }

    async fn make(&self, making: &Making<'_>) -> Result<Made, Problem> {
        let organizations = making.tree().organizations();
        Made::json(&OrganizationsReport::assemble(
            making.account,
            making.zone,
            &self.visible,
            organizations,
        ))
    }
}
