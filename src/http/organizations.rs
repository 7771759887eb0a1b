//! `GET A/organizations`.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::making::Poll;
use super::params::AccountParam;
use super::path::Account;
use super::poll::ReportKind;
use super::problem::Problem;
use super::reply::Form;
use super::state::ApiState;
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
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(visible): Extension<Visible>,
    Account(account): Account,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref())?.finish()?;
    // A list for somebody who may not see all depends on the token too.
    let pinned = if visible == Visible::All { Pinned::Always } else { Pinned::Never };
    let making =
        match state.poll(&headers, &account, ReportKind::Organizations, String::new(), pinned, Form::Json).await? {
            Poll::Answered(response) => return Ok(response),
            Poll::Make(making) => making,
        };
    let organizations = state.store().organizations(&account).await?;
    let body = OrganizationsReport::assemble(&account, making.context.account.zone, &visible, organizations);
    making.json(&headers, &body).await
}
