//! `GET /v1/accounts`.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::request::params::AccountListParams;
use crate::http::state::ApiState;
use crate::report::accounts::{AccountsReport, AccountsRequest, Roles};
use crate::report::query::Query;
use crate::report::subject::Answer;

/// The accounts that the token may see
///
/// Those that it grants any role in, and all where access is off.
#[utoipa::path(
    get,
    path = "/v1/accounts",
    operation_id = "listAccounts",
    tag = "accounts",
    params(AccountListParams),
    responses((
        status = 200,
        description = "A page of the accounts that any event has named",
        body = Answer<AccountsReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    Extension(roles): Extension<Roles>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = AccountsRequest::parse(Query::parse(query.as_deref())?)?;
    let (list, data_through) = state.account_lists().of(roles.accounts()).await?;
    let report = AccountsReport::assemble(&request, &roles, &list);
    reply::json_tagged_by(&headers, &report, &report, data_through)
}
