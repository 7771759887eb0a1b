//! Request ids, the access log and the request metrics.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::request_id::{MakeRequestId as _, MakeRequestUuid};
use tracing::Instrument as _;

use crate::telemetry::http;

/// The header that carries a request's id, both ways.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The longest request id that is taken over from a caller, bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The header by which a caller names the trace that a request belongs to.
const TRACEPARENT: &str = "traceparent";

/// Gives the request an id, or keeps the one that a proxy gave it, and writes its line in the
/// access log. Neither the query nor any header is logged: they may name people, and hold tokens.
pub(super) async fn record(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let id = request_id(&request);
    let span = tracing::info_span!("request", id = %id, trace_id = tracing::field::Empty);
    let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    if let Some(trace_id) = traceparent.and_then(trace_id) {
        span.record("trace_id", trace_id);
    }
    let (route, mut response) = async move {
        let route =
            request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
        (route, next.run(request).await)
    }
    .instrument(span.clone())
    .await;
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    span.in_scope(|| {
        let elapsed_ms = elapsed_ms(started);
        tracing::info!(
            target: http::ACCESS_LOG, method = %method, path, status, elapsed_ms, "request"
        );
    });
    http::request_served(route.as_deref().unwrap_or("none"), status, elapsed);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), value);
    }
    response
        .headers_mut()
        .insert(axum::http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The trace's id in a `traceparent` header: version, trace id, parent id and flags, lower-case
/// hexadecimal, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) defines it. A later
/// version may have more fields. `None` where it is not one, which is to be ignored.
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let mut next = |length: usize| {
        let field = fields.next()?;
        let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (field.len() == length && is_hex).then_some(field)
    };
    let (version, trace_id, parent_id, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    let has_end = version != "00" || fields.next().is_none();
    (version != "ff" && has_end && !is_zero(trace_id) && !is_zero(parent_id)).then_some(trace_id)
}

/// Milliseconds since `started`.
pub(super) fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if let Some(id) = given.filter(usable) {
        return id.to_owned();
    }
    let made = MakeRequestUuid.make_request_id(request);
    made.and_then(|id| id.header_value().to_str().ok().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn a_trace_is_known_by_a_header_of_the_standard() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, found) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
            (format!("cc-{id}-00f067aa0ba902b7-01-what-comes"), Some(id)),
            (format!("00-{id}-00f067aa0ba902b7-01-more"), None),
            (format!("ff-{id}-00f067aa0ba902b7-01"), None),
            (format!("00-{id}-0000000000000000-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), None),
            (format!("00-{id}-00f067aa0ba902b7"), None),
            (String::new(), None),
        ] {
            assert_eq!(trace_id(&header), found, "{header}");
        }
    }
}
