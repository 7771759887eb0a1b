//! Metrics and log events of the HTTP API.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// The target of the access log's lines.
pub const ACCESS_LOG: &str = "seatmeter::access";

const REQUESTS: &str = "seatmeter_http_requests_total";
const REQUEST_DURATION: &str = "seatmeter_http_request_duration_seconds";

const CONNECTIONS_REFUSED: &str = "seatmeter_http_connections_refused_total";

/// Describes the metrics to the exporter.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests answered, by route and status");
    describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections closed at once, because as many were open as may be"
    );
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time from a request's head to its answer's, by route");
}

/// A request was answered. `route` is the endpoint's pattern, never the path, which names accounts.
pub fn request_served(route: &str, status: u16, elapsed: Duration) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_DURATION, "route" => route.to_owned()).record(elapsed.as_secs_f64());
}

/// A connection was closed at once, because its peer or all together had as many open as they may.
pub fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}
