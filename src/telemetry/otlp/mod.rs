//! What is exported by OTLP/HTTP, in its JSON encoding: spans of requests whose callers trace them,
//! and every metric, made from the same text that `/metrics` answers with, so that both say the
//! same.
//!
//! Nothing here sends anything: `app` does, and no request waits for it. Spans that nobody takes in
//! time are lost, and counted.

mod exporting;
mod families;
mod figures;
mod spans;

use std::sync::OnceLock;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use metrics::{counter, describe_counter};

pub use self::exporting::Exporting;
pub use self::figures::metrics_request;
pub use self::spans::{ServerSpan, TraceParent, traces_request};
use super::names::{OTLP_FAILURES, OTLP_LOST_SPANS};

/// Spans that may wait to be sent.
const WAITING_SPANS_MAX: usize = 4_096;

/// Of requests, as long as somebody takes them.
static SPANS: OnceLock<Sender<ServerSpan>> = OnceLock::new();

/// A kind of what is exported, each with its own path and its own failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    pub const ALL: [Self; 2] = [Self::Traces, Self::Metrics];

    /// The name, as it ends the path too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// Begins to keep spans; they have to be taken from what is returned. `None` if somebody takes them
/// already.
pub fn keep_spans() -> Option<Receiver<ServerSpan>> {
    describe_counter!(OTLP_FAILURES, "Exports by OTLP that failed, by signal");
    describe_counter!(OTLP_LOST_SPANS, "Spans that were not exported");
    for signal in Signal::ALL {
        counter!(OTLP_FAILURES, "signal" => signal.as_str()).absolute(0);
    }
    counter!(OTLP_LOST_SPANS).absolute(0);
    let (sender, receiver) = crossbeam_channel::bounded(WAITING_SPANS_MAX);
    SPANS.set(sender).is_ok().then_some(receiver)
}

/// Whether spans are to be made.
pub fn keeps_spans() -> bool {
    SPANS.get().is_some()
}

/// A request was answered whose caller traces it. Does nothing unless spans are kept.
pub fn span_finished(span: ServerSpan) {
    let Some(sender) = SPANS.get() else { return };
    match sender.try_send(span) {
        Ok(()) => {}
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => spans_lost(1),
    }
}

/// Spans will not be exported.
pub fn spans_lost(spans: usize) {
    counter!(OTLP_LOST_SPANS).increment(spans as u64);
}

/// An export failed; metrics are repeated by the next one, spans are lost.
pub fn export_failed(signal: Signal) {
    counter!(OTLP_FAILURES, "signal" => signal.as_str()).increment(1);
}
