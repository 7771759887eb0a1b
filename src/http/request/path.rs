//! Path parameters, parsed.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::http::reply::problem::Problem;
use crate::report::id::{AccountId, OrganizationId};
use crate::report::query::parse_id;

/// The account of a path.
pub(in crate::http) struct Account(pub(in crate::http) AccountId);

/// The account and the organization of a path.
pub(in crate::http) struct Organization {
    pub(in crate::http) account: AccountId,
    pub(in crate::http) organization: OrganizationId,
}

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(account) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
        Ok(Self(parse_id("account_id", &account)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Organization {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((account, organization)) = path.map_err(|_| unreadable())?;
        Ok(Self {
            account: parse_id("account_id", &account)?,
            organization: parse_id("organization_id", &organization)?,
        })
    }
}

fn unreadable() -> Problem {
    Problem::not_found("The path is not UTF-8.")
}
