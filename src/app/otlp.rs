//! Sends spans and metrics to a receiver of OTLP/HTTP, such as OpenTelemetry's Collector. Nothing
//! waits for it: what the receiver does not take is counted and logged, and metrics come again with
//! the next export.

use std::time::{Duration, SystemTime};

use crossbeam_channel::Receiver;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::version::build;
use crate::http::{self, ApiState};
use crate::telemetry::events;
use crate::telemetry::otlp::{self, Exporting, ServerSpan, Signal};

/// Time limit of a request to the receiver.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of the last export once all requests are answered, at the end of the process.
pub(super) const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Spans of one request to the receiver, at most.
const BATCH_SPANS_MAX: usize = 1_000;

/// Exports to this receiver each interval, and once more when `close` is cancelled.
pub(super) async fn export(
    endpoint: String,
    interval: Duration,
    state: ApiState,
    close: CancellationToken,
) {
    let Some(spans) = otlp::keep_spans() else { return };
    let mut exporter = Exporter::new(&endpoint, spans);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            () = close.cancelled() => true,
            _ = ticks.tick() => false,
        };
        exporter.export_spans().await;
        exporter.export_metrics(&http::metrics_text(&state).await).await;
        if is_last {
            return;
        }
    }
}

struct Exporter {
    endpoint: String,
    agent: ureq::Agent,
    process: Exporting,
    spans: Receiver<ServerSpan>,
    /// Why the last export of each signal failed, as it was logged.
    told: [Option<String>; Signal::ALL.len()],
}

impl Exporter {
    fn new(endpoint: &str, spans: Receiver<ServerSpan>) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(SEND_TIMEOUT)).build();
        let mut instance = [0; 16];
        // Processes without an id of their own are still told apart by what collects from them.
        let _ = getrandom::fill(&mut instance);
        let process = Exporting {
            version: build().version,
            instance: hex::encode(instance),
            since: SystemTime::now(),
        };
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, agent: agent.new_agent(), process, spans, told: Default::default() }
    }

    async fn export_spans(&mut self) {
        loop {
            let spans: Vec<ServerSpan> = self.spans.try_iter().take(BATCH_SPANS_MAX).collect();
            if spans.is_empty() {
                return;
            }
            let request = otlp::traces_request(&self.process, &spans);
            if !self.send(Signal::Traces, request).await {
                otlp::spans_lost(spans.len());
                return;
            }
        }
    }

    async fn export_metrics(&mut self, text: &str) {
        let request = otlp::metrics_request(&self.process, text, SystemTime::now());
        self.send(Signal::Metrics, request).await;
    }

    /// True if the receiver has taken it.
    async fn send(&mut self, signal: Signal, request: Value) -> bool {
        let url = format!("{}/v1/{}", self.endpoint, signal.as_str());
        let agent = self.agent.clone();
        let sending = tokio::task::spawn_blocking(move || {
            let request_of_json = agent.post(&url).header("content-type", "application/json");
            request_of_json.send(request.to_string()).map(drop).map_err(|error| error.to_string())
        });
        let sent = sending.await.unwrap_or_else(|error| Err(error.to_string()));
        let told = &mut self.told[signal as usize];
        let reason = sent.err();
        if reason.is_some() {
            otlp::export_failed(signal);
        }
        if reason != *told {
            match &reason {
                Some(reason) => events::export_failed(signal.as_str(), reason),
                None => events::export_recovered(signal.as_str()),
            }
        }
        *told = reason;
        told.is_none()
    }
}
