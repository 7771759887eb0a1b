//! `/healthz`, `/readyz`, `/metrics` and `/openapi.json`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;

/// How long `/readyz` waits for ClickHouse.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process works.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// `ok`, `ready` or `waiting`.
    #[schema(example = "ready")]
    status: &'static str,
    /// What it waits for.
    waiting_for: Vec<Complaint>,
    /// What makes figures wrong although the process is ready.
    degraded: Vec<Complaint>,
}

/// A component that is not as it should be.
#[derive(Serialize, ToSchema)]
pub(super) struct Complaint {
    #[schema(example = "clickhouse")]
    component: &'static str,
    /// Why, for an operator; where a token is needed, only what happens, as anybody may ask: the
    /// log has the cause.
    #[schema(example = "does not answer")]
    reason: String,
}

/// The process is alive
///
/// Answers as long as the process serves anything, whatever Kafka and ClickHouse do.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    tag = "operations",
    responses((status = 200, description = "Alive", body = Status))
)]
pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "ok", waiting_for: Vec::new(), degraded: Vec::new() })
}

/// The process can do its work
///
/// Asks ClickHouse whether it answers, and tells what the worker waits for.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = "operations",
    responses(
        (
            status = 200,
            description = "Ready; `degraded` says what makes figures wrong nevertheless",
            body = Status,
        ),
        (status = 503, description = "Not ready, and why", body = Status),
    )
)]
pub(super) async fn readyz(State(state): State<ApiState>) -> Response {
    let tells_all = state.auth().is_off();
    let complaint = |(component, reason): (_, String)| {
        let reason = if tells_all { reason } else { headline(&reason).to_owned() };
        Complaint { component, reason }
    };
    let mut waiting: Vec<Complaint> =
        state.health().waiting_for().into_iter().map(complaint).collect();
    let degraded: Vec<Complaint> =
        state.health().degradations().into_iter().map(complaint).collect();
    let answers =
        matches!(tokio::time::timeout(PING_TIMEOUT, state.store().ping()).await, Ok(Ok(())));
    if !answers && !waiting.iter().any(|waiting| waiting.component == "clickhouse") {
        waiting.push(Complaint { component: "clickhouse", reason: "does not answer".to_owned() });
    }
    if waiting.is_empty() {
        Json(Status { status: "ready", waiting_for: waiting, degraded }).into_response()
    } else {
        let status = Status { status: "waiting", waiting_for: waiting, degraded };
        (StatusCode::SERVICE_UNAVAILABLE, Json(status)).into_response()
    }
}

/// The beginning of a reason, up to its cause, which may name hosts, statements and accounts.
fn headline(reason: &str) -> &str {
    reason.split([':', '(']).next().unwrap_or_default().trim_end()
}

/// Metrics in Prometheus' text format
///
/// Everything that is measured; names and units are told by each metric's help text.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "operations",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    prometheus_text(metrics_text(&state).await)
}

/// What `/metrics` answers now.
pub async fn metrics_text(state: &ApiState) -> String {
    let through = state.store().flushed_through_ms(state.topic());
    let through = match tokio::time::timeout(PING_TIMEOUT, through).await {
        Ok(Ok(through)) => through,
        Ok(Err(_)) | Err(_) => None,
    };
    state.answers().tell_places();
    state.standings().tell();
    crate::telemetry::metrics::render(state.metrics(), through)
}

fn prometheus_text(text: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// `/healthz` and `/metrics` of a process that has nothing else to serve.
pub(super) fn metrics_router(
    render: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Router {
    let metrics = move || {
        let text = render();
        async move { prometheus_text(text) }
    };
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}
