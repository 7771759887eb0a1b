//! Requests that may ask for CSV.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::http::reply::problem::Problem;
use crate::http::request::params::Format;
use crate::report::query::Query;

/// Query and headers of a request, and the format that they ask for.
pub(in crate::http) struct Formatted {
    /// The parameters besides those of the format.
    pub(in crate::http) query: Query,
    pub(in crate::http) format: Format,
    pub(in crate::http) headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Formatted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut query = Query::parse(parts.uri.query())?;
        let headers = parts.headers.clone();
        let format = Format::take(&mut query, &headers)?;
        Ok(Self { query, format, headers })
    }
}
