//! Request ids, the access log and the request metrics.

use std::time::{Instant, SystemTime};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::request_id::{MakeRequestId as _, MakeRequestUuid};
use tracing::Instrument as _;

use crate::telemetry::otlp::{ServerSpan, TraceParent};
use crate::telemetry::{http, otlp};

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
    let parent = traceparent.and_then(TraceParent::parse);
    if let Some(parent) = &parent {
        span.record("trace_id", &parent.trace_id);
    }
    let began = SystemTime::now();
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
        http::request_logged(&method, &path, status, elapsed_ms);
    });
    let route = route.as_deref().unwrap_or("none");
    http::request_served(route, status, elapsed);
    if let Some(parent) = parent.filter(|parent| parent.is_sampled && otlp::keeps_spans()) {
        otlp::span_finished(ServerSpan {
            parent,
            began,
            took: elapsed,
            method: method.to_string(),
            route: route.to_owned(),
            status,
            request_id: id.clone(),
        });
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), value);
    }
    response
        .headers_mut()
        .insert(axum::http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
