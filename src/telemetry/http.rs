//! Metrics and log events of the HTTP API.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// The target of the access log's lines.
pub const ACCESS_LOG: &str = "seatmeter::access";

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
    for by in [AnsweredBy::Kept, AnsweredBy::Made, AnsweredBy::NotModified] {
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
