//! Problems as RFC 9457 documents. Nothing of an inner error is in them.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::report::query::BadParameter;
use crate::store::StoreError;
use crate::telemetry::http as telemetry;

/// The media type of a problem document.
pub(in crate::http) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    parameter: Option<String>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InvalidParameter,
    /// No bearer token.
    Unauthenticated,
    /// A bearer token that is not good.
    InvalidToken,
    Forbidden,
    NotFound,
    /// The methods that the endpoint takes.
    MethodNotAllowed(&'static str),
    /// The body of the request is too large.
    BodyTooLarge,
    /// The body of the request did not arrive whole.
    BodyBroken,
    /// The caller takes the answer in no encoding that there is.
    NotAcceptable,
    Internal,
    /// More reports are being made than may run at once.
    Busy,
    /// The request names no host, or several, or one that the API does not answer for.
    BadHost,
    ForeignHost,
    /// The answer would be too large to make or to send.
    TooLarge,
    /// The store cannot be asked right now.
    Unavailable,
    TimedOut,
}

/// A problem as it is sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::http) struct ProblemDocument<'a> {
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
    detail: &'a str,
    /// The parameter at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "from", nullable = false)]
    parameter: Option<&'a str>,
}

impl Kind {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidParameter | Self::BadHost | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The URN and the words.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidParameter => {
                ("urn:seatmeter:problem:invalid-parameter", "Invalid parameter")
            }
            Self::Unauthenticated => ("urn:seatmeter:problem:unauthenticated", "Not authenticated"),
            Self::InvalidToken => ("urn:seatmeter:problem:invalid-token", "Invalid token"),
            Self::Forbidden => ("urn:seatmeter:problem:forbidden", "Forbidden"),
            Self::BadHost => ("urn:seatmeter:problem:bad-host", "Bad host"),
            Self::ForeignHost => ("urn:seatmeter:problem:foreign-host", "Foreign host"),
            Self::TooLarge => ("urn:seatmeter:problem:too-large", "Answer too large"),
            Self::NotFound => ("urn:seatmeter:problem:not-found", "Not found"),
            Self::MethodNotAllowed(_) => {
                ("urn:seatmeter:problem:method-not-allowed", "Method not allowed")
            }
            Self::BodyTooLarge => ("urn:seatmeter:problem:body-too-large", "Body too large"),
            Self::BodyBroken => ("urn:seatmeter:problem:body-broken", "Body broken"),
            Self::NotAcceptable => ("urn:seatmeter:problem:not-acceptable", "Not acceptable"),
            Self::Internal => ("urn:seatmeter:problem:internal", "Internal error"),
            Self::Busy => ("urn:seatmeter:problem:busy", "Busy"),
            Self::Unavailable => ("urn:seatmeter:problem:unavailable", "Unavailable"),
            Self::TimedOut => ("urn:seatmeter:problem:timed-out", "Timed out"),
        }
    }

    /// The header that tells a client what to do about it.
    const fn header(self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::Unauthenticated => Some((WWW_AUTHENTICATE, "Bearer realm=\"seatmeter\"")),
            Self::InvalidToken => {
                Some((WWW_AUTHENTICATE, "Bearer realm=\"seatmeter\", error=\"invalid_token\""))
            }
            Self::MethodNotAllowed(methods) => Some((ALLOW, methods)),
            Self::Busy => Some((RETRY_AFTER, "1")),
            Self::Unavailable => Some((RETRY_AFTER, "5")),
            _ => None,
        }
    }
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), parameter: None }
    }

    /// 401: no bearer token.
    pub(in crate::http) fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, "This needs a bearer token.")
    }

    /// 401: a token that is not good.
    pub(in crate::http) fn invalid_token(detail: &'static str) -> Self {
        Self::new(Kind::InvalidToken, detail)
    }

    /// 403: the token does not open this. The same text whether or not the thing exists.
    pub(in crate::http) fn forbidden() -> Self {
        Self::new(Kind::Forbidden, "The token grants no role that may read this.")
    }

    /// 404.
    pub(in crate::http) fn not_found(detail: &'static str) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// 405; the endpoint takes these methods.
    pub(in crate::http) fn method_not_allowed(methods: &'static str) -> Self {
        let detail = format!("This endpoint takes {methods}.");
        Self::new(Kind::MethodNotAllowed(methods), detail)
    }

    /// 413: the body is longer than this, bytes.
    pub(in crate::http) fn body_too_large(bytes_max: usize) -> Self {
        let detail =
            format!("The body has more than {bytes_max} bytes; send it in several requests.");
        Self::new(Kind::BodyTooLarge, detail)
    }

    /// 400: the body did not arrive whole.
    pub(in crate::http) fn body_broken() -> Self {
        Self::new(Kind::BodyBroken, "The body did not arrive whole; send the request again.")
    }

    /// 503, and why, for a caller who can do without an answer.
    pub(in crate::http) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unavailable, detail)
    }

    /// 406: `Accept-Encoding` forbids every encoding that there is.
    pub(in crate::http) fn not_acceptable() -> Self {
        Self::new(
            Kind::NotAcceptable,
            "Accept-Encoding leaves no way to send an answer; allow gzip or identity.",
        )
    }

    /// 400: not exactly one `Host`.
    pub(in crate::http) fn bad_host() -> Self {
        Self::new(Kind::BadHost, "The request has to name exactly one host, in the header Host.")
    }

    /// 403: a host that the API does not answer for.
    pub(in crate::http) fn foreign_host() -> Self {
        Self::new(
            Kind::ForeignHost,
            "Without tokens (auth.mode = \"off\") the API answers only for localhost, loopback \
            addresses and the names in http.allowed_hosts.",
        )
    }

    /// 422: the answer would be too large.
    pub(in crate::http) fn too_large() -> Self {
        Self::new(
            Kind::TooLarge,
            "The answer would be too large; where the report takes them, ask for a shorter range, \
            a longer interval, a single organization or format=csv.",
        )
    }

    /// 503: more reports are being made than may run at once.
    pub(in crate::http) fn busy() -> Self {
        Self::new(Kind::Busy, "Too many reports are being made right now; ask again shortly.")
    }

    /// 504: the answer took too long.
    pub(in crate::http) fn timed_out() -> Self {
        Self::new(
            Kind::TimedOut,
            "The answer took too long; where the report takes them, ask for a shorter range, a \
            longer interval or a single organization.",
        )
    }

    /// 500: a fault of ours.
    pub(in crate::http) fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "Something is wrong on our side; the log tells more under this request's id.",
        )
    }
}

impl From<BadParameter> for Problem {
    fn from(fault: BadParameter) -> Self {
        Self {
            kind: Kind::InvalidParameter,
            detail: fault.detail.into(),
            parameter: Some(fault.parameter),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::TimedOut { .. } => Self::timed_out(),
            StoreError::TooLarge { .. } => Self::too_large(),
            _ if error.is_retryable() => {
                Self::unavailable("The figures cannot be read right now; ask again shortly.")
            }
            _ => Self::internal(),
        };
        telemetry::report_failed(&error, problem.kind.status().as_u16());
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, (kind, title)) = (self.kind.status(), self.kind.names());
        let document = ProblemDocument {
            kind,
            title,
            status: status.as_u16(),
            detail: &self.detail,
            parameter: self.parameter.as_deref(),
        };
        let mut response = (status, Json(document)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some((name, value)) = self.kind.header() {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
