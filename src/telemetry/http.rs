//! Metrics and log events of the HTTP API.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tracing::{debug, error, info, warn};

/// The target of the access log's lines.
const ACCESS_LOG: &str = "seatmeter::access";

const REQUESTS: &str = "seatmeter_http_requests_total";
const REQUEST_DURATION: &str = "seatmeter_http_request_duration_seconds";

const ANSWERS: &str = "seatmeter_http_answers_total";
const LOOKS: &str = "seatmeter_http_looks_total";

const CONNECTIONS_REFUSED: &str = "seatmeter_http_connections_refused_total";

const PLACES: &str = "seatmeter_http_places";

/// Describes the metrics to the exporter.
pub(super) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests answered, by route and status");
    describe_counter!(ANSWERS, Unit::Count, "Reports answered, by where the answer came from");
    describe_counter!(
        LOOKS,
        Unit::Count,
        "Times that ClickHouse was asked how far accounts have been counted"
    );
    describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections closed at once, because as many were open as may be"
    );
    describe_gauge!(
        PLACES,
        "Questions to ClickHouse, by their kind and whether they are asked or wait for their turn"
    );
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's, by route"
    );
}

/// Creates the series whose labels are known in advance.
pub(super) fn create() {
    for by in [AnsweredBy::Kept, AnsweredBy::Made, AnsweredBy::NotModified, AnsweredBy::Ahead] {
        counter!(ANSWERS, "by" => by.as_str()).absolute(0);
    }
    for name in [LOOKS, CONNECTIONS_REFUSED] {
        counter!(name).absolute(0);
    }
}

/// The routes that requests may be for; each has a series from the start.
pub fn serves(routes: impl IntoIterator<Item = &'static str>) {
    for route in routes {
        counter!(REQUESTS, "route" => route, "status" => "200").absolute(0);
    }
}

/// Numbers of questions of a kind (`report`, `export`) that are asked, and that wait.
pub fn places(kind: &'static str, taken: usize, waiting: usize) {
    for (state, questions) in [("taken", taken), ("waiting", waiting)] {
        gauge!(PLACES, "kind" => kind, "state" => state).set(questions as f64);
    }
}

/// Origin of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// It was kept, or somebody else had just asked for it.
    Kept,
    /// It was read from ClickHouse.
    Made,
    /// The caller had it already.
    NotModified,
    /// It was read from ClickHouse before anybody asked for it again.
    Ahead,
}

/// A report was answered.
pub fn answered(by: AnsweredBy) {
    counter!(ANSWERS, "by" => by.as_str()).increment(1);
}

impl AnsweredBy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Made => "made",
            Self::NotModified => "not_modified",
            Self::Ahead => "ahead",
        }
    }
}

/// ClickHouse was asked how far accounts have been counted.
pub fn looked() {
    counter!(LOOKS).increment(1);
}

/// A request was answered. `route` is the endpoint's pattern, never the path, which names accounts.
pub fn request_served(route: &str, status: u16, elapsed: Duration) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_DURATION, "route" => route.to_owned()).record(elapsed.as_secs_f64());
}

/// A connection was refused, because its peer or all peers together have reached the limit.
pub fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

/// The API listens.
pub fn listening(address: &dyn Display) {
    info!(event = "listening", %address, "listening");
}

/// A line of the access log.
pub fn request_logged(method: &dyn Display, path: &str, status: u16, elapsed_ms: u64) {
    info!(
        target: ACCESS_LOG, event = "request", %method, path, status, elapsed_ms, "request"
    );
}

/// A handler has a defect.
pub fn handler_panicked(panic: &str) {
    error!(event = "handler_panicked", panic, "a handler panicked");
}

/// A request was given up.
pub fn answer_late(path: &str, waited_ms: u64) {
    warn!(
        event = "answer_late",
        path, waited_ms, "an answer took longer than http.request_timeout_ms"
    );
}

/// ClickHouse did not answer the query of a report.
pub fn report_failed(error: &dyn Display, status: u16) {
    error!(event = "report_failed", %error, status, "a report query failed");
}

/// The rows of an answer that is being sent cannot be read to their end.
pub fn answer_broken_off(error: &dyn Display) {
    error!(event = "answer_broken_off", %error, "an answer breaks off");
}

/// The reader of an answer has gone, or is too slow.
pub fn answer_given_up() {
    info!(event = "answer_given_up", "an answer was given up by its reader");
}

/// A report has no JSON.
pub fn report_unwritable(error: &dyn Display) {
    error!(event = "report_unwritable", %error, "a report cannot be written as JSON");
}

/// The listener has failed; it goes on.
pub fn connection_not_accepted(error: &dyn Display) {
    warn!(event = "connection_not_accepted", %error, "a connection cannot be accepted");
}

/// A connection ended by an error.
pub fn connection_broken(error: &dyn Display) {
    debug!(event = "connection_broken", %error, "a connection broke");
}

/// The API stopped before all requests were answered.
pub fn requests_cut_off() {
    warn!(event = "requests_cut_off", "some requests were still open when the API stopped");
}

/// A key of a JWKS file is left out.
pub fn key_unused(file: &Path, index: usize, kid: &str, reason: &str) {
    let file = file.display();
    warn!(event = "key_unused", %file, index, kid, reason, "a key of a JWKS file is not used");
}
