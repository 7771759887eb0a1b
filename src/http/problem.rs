//! What went wrong, as an RFC 9457 problem document. Nothing of an inner error is in it.

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::report::query::BadParameter;
use crate::store::StoreError;

/// The media type of a problem document.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which kind of problem it is: a URN that stays the same.
    #[serde(rename = "type")]
    #[schema(example = "urn:seatmeter:problem:invalid-parameter")]
    kind: &'static str,
    /// The kind in words.
    #[schema(example = "Invalid parameter")]
    title: &'static str,
    /// The HTTP status code.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong with this request, for a person.
    #[schema(example = "Not a date of the form YYYY-MM-DD.")]
    detail: String,
    /// The parameter at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "from", nullable = false)]
    parameter: Option<String>,
    #[serde(skip)]
    header: Option<(HeaderName, &'static str)>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), parameter: None, header: None }
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// 401: no token, or one that is not good.
    pub(super) fn unauthenticated(detail: &'static str, challenge: &'static str) -> Self {
        let problem =
            Self::new(StatusCode::UNAUTHORIZED, "urn:seatmeter:problem:unauthenticated", "Not authenticated", detail);
        problem.with_header(WWW_AUTHENTICATE, challenge)
    }

    /// 403: the token does not open this. The same text whether or not the thing exists.
    pub(super) fn forbidden() -> Self {
        let detail = "The token grants no role that may read this.";
        Self::new(StatusCode::FORBIDDEN, "urn:seatmeter:problem:forbidden", "Forbidden", detail)
    }

    /// 404.
    pub(super) fn not_found(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "urn:seatmeter:problem:not-found", "Not found", detail)
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        let kind = "urn:seatmeter:problem:method-not-allowed";
        let detail = "Everything here is read by GET.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, kind, "Method not allowed", detail).with_header(ALLOW, "GET, HEAD")
    }

    /// 503: more reports are being made than may run at once.
    pub(super) fn busy() -> Self {
        let detail = "Too many reports are being made right now; ask again shortly.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:seatmeter:problem:busy", "Busy", detail)
            .with_header(RETRY_AFTER, "1")
    }

    /// 503: the store cannot be asked right now.
    fn unavailable() -> Self {
        let detail = "The figures cannot be read right now; ask again shortly.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:seatmeter:problem:unavailable", "Unavailable", detail)
            .with_header(RETRY_AFTER, "5")
    }

    /// 504: the answer took too long.
    pub(super) fn timed_out() -> Self {
        let detail = "The answer took too long; ask for a shorter range or a longer interval.";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "urn:seatmeter:problem:timed-out", "Timed out", detail)
    }

    /// 500: a fault of ours.
    pub(super) fn internal() -> Self {
        let detail = "Something is wrong on our side; the log tells more under this request's id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "urn:seatmeter:problem:internal", "Internal error", detail)
    }
}

impl From<BadParameter> for Problem {
    fn from(fault: BadParameter) -> Self {
        let kind = "urn:seatmeter:problem:invalid-parameter";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, kind, "Invalid parameter", fault.detail);
        problem.parameter = Some(fault.parameter);
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::TimedOut { .. } => Self::timed_out(),
            _ if error.is_retryable() => Self::unavailable(),
            _ => Self::internal(),
        };
        tracing::error!(error = %error, status = problem.status, "a report query failed");
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let header = self.header.clone();
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
