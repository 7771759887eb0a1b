//! Metrics of the canary. They exist only where one runs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};

use super::names::{
    CANARY_DELAY, CANARY_FAILURES, CANARY_ROUNDS, CANARY_SUCCESS_AGE, CANARY_WRONG,
};
use super::process;
use super::recorder::{self, Build};

/// Why a round, or a question of it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryFailure {
    /// The brokers did not take the events.
    Send,
    /// The API did not answer a question, or not with a report.
    Answer,
    /// The events were not counted in time.
    Timeout,
}

impl CanaryFailure {
    const ALL: [Self; 3] = [Self::Send, Self::Answer, Self::Timeout];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Answer => "answer",
            Self::Timeout => "timeout",
        }
    }
}

/// When all reports were right last, or when the canary began.
static SUCCESS: Mutex<Option<Instant>> = Mutex::new(None);

/// Installs the process's recorder, for a process that is nothing but a canary. Fails if one is
/// installed.
pub fn install(build: Build) -> Result<PrometheusHandle, BuildError> {
    recorder::install(build)
}

/// The canary begins: its metrics exist from now on. `reports` are those that it judges.
pub fn begin(reports: impl IntoIterator<Item = &'static str>) {
    describe_counter!(CANARY_ROUNDS, "Rounds of events that the canary has sent");
    describe_histogram!(
        CANARY_DELAY,
        Unit::Seconds,
        "From sending a round of events until the API has shown them"
    );
    describe_counter!(CANARY_WRONG, "Answers that were wrong, at most one a round, by report");
    describe_counter!(
        CANARY_FAILURES,
        "What failed, by cause: events that were not sent, questions that were not answered, \
        rounds that were not counted in time"
    );
    describe_gauge!(
        CANARY_SUCCESS_AGE,
        Unit::Seconds,
        "Time since all reports were right, or since the start"
    );
    for report in reports {
        counter!(CANARY_WRONG, "report" => report).absolute(0);
    }
    for failure in CanaryFailure::ALL {
        counter!(CANARY_FAILURES, "cause" => failure.as_str()).absolute(0);
    }
    counter!(CANARY_ROUNDS).absolute(0);
    *lock(&SUCCESS) = Some(Instant::now());
}

/// A round was sent.
pub fn sent() {
    counter!(CANARY_ROUNDS).increment(1);
}

/// The API shows a round so long after it was sent.
pub fn seen(delay: Duration) {
    histogram!(CANARY_DELAY).record(delay.as_secs_f64());
}

/// An answer was wrong.
pub fn wrong(report: &'static str) {
    counter!(CANARY_WRONG, "report" => report).increment(1);
}

/// Something failed.
pub fn failed(failure: CanaryFailure) {
    counter!(CANARY_FAILURES, "cause" => failure.as_str()).increment(1);
}

/// All reports of a round were right.
pub fn succeeded() {
    *lock(&SUCCESS) = Some(Instant::now());
}

/// Everything in Prometheus' text format, of a process that is nothing but a canary.
pub fn render(handle: &PrometheusHandle) -> String {
    process::collect();
    collect();
    handle.render()
}

/// Reads the clock, where a canary runs.
pub(super) fn collect() {
    if let Some(success) = *lock(&SUCCESS) {
        gauge!(CANARY_SUCCESS_AGE).set(success.elapsed().as_secs_f64());
    }
}

// The instant is whole between any two calls, so a panic elsewhere has not broken it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
