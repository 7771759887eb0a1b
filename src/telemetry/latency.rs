//! The end-to-end latency: quantiles of the last minutes by a high dynamic range histogram, and a
//! histogram in Prometheus' sense of all since the start. Both are written by this module, because
//! the exporter takes records one at a time.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::names::{LATENCY_HISTOGRAM as HISTOGRAM, LATENCY_SUMMARY as SUMMARY};

/// Length of one half of the window: quantiles are over the last one to two of these.
const HALF: Duration = Duration::from_secs(60);

/// Latencies above this are recorded as this: a day or more is a backlog, not a latency.
const LATENCY_MS_MAX: u64 = 24 * 3_600_000;

/// Latencies of the last [`HALF`] to twice that.
#[derive(Debug)]
pub struct LatencyWindow {
    current: Histogram<u64>,
    previous: Histogram<u64>,
    turned: Instant,
}

impl LatencyWindow {
    /// An empty window.
    pub fn new(now: Instant) -> Self {
        let empty = Histogram::new_with_bounds(1, LATENCY_MS_MAX, 3)
            .expect("1 is below a day, and 3 digits are allowed");
        Self { current: empty.clone(), previous: empty, turned: now }
    }

    /// Drops records older than the window.
    pub fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age < HALF {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.reset();
        if age >= 2 * HALF {
            self.previous.reset();
        }
        self.turned = now;
    }

    /// Records that took this many milliseconds. A producer's clock that is ahead of ours counts as
    /// 0.
    pub fn record(&mut self, latency_ms: i64, records: u64) {
        self.current.saturating_record_n(u64::try_from(latency_ms).unwrap_or(0), records);
    }

    /// The latency that this share of the records (0 to 1) did not exceed; 0 without records.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let mut both = self.current.clone();
        both.add(&self.previous).expect("both halves have the same bounds");
        Duration::from_millis(both.value_at_quantile(quantile))
    }
}

/// Quantiles, with their labels.
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.99, "0.99"), (0.999, "0.999")];

/// Upper bounds of the histogram's buckets, milliseconds.
const BOUNDS_MS: [u64; 13] = [
    100, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000,
    86_400_000,
];

/// Both metrics of the latency.
#[derive(Debug)]
pub struct Latencies {
    window: LatencyWindow,
    /// Records by the first bound that their latency does not exceed; beyond the last, none.
    buckets: [u64; BOUNDS_MS.len()],
    records: u64,
    sum_ms: u128,
}

impl Latencies {
    /// Latencies of no record.
    pub fn new(now: Instant) -> Self {
        let window = LatencyWindow::new(now);
        Self { window, buckets: [0; BOUNDS_MS.len()], records: 0, sum_ms: 0 }
    }

    /// Records that took this many milliseconds; below 0 counts as 0.
    pub fn record(&mut self, now: Instant, latency_ms: i64, records: u64) {
        self.window.turn(now);
        self.window.record(latency_ms, records);
        let latency_ms = u64::try_from(latency_ms).unwrap_or(0);
        let bucket = BOUNDS_MS.partition_point(|&bound_ms| bound_ms < latency_ms);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += records;
        }
        self.records += records;
        self.sum_ms += u128::from(latency_ms) * u128::from(records);
    }

    /// Both metrics in Prometheus' text format.
    pub fn render(&mut self, now: Instant) -> String {
        self.window.turn(now);
        let mut text = String::new();
        let records = self.records;
        let sum = self.sum_ms as f64 / 1_000.0;
        let _ = writeln!(
            text,
            "# HELP {SUMMARY} From a record's timestamp to its durable rollup, over the last \
            minutes\n# TYPE {SUMMARY} summary"
        );
        for (quantile, label) in QUANTILES {
            let seconds = self.window.quantile(quantile).as_secs_f64();
            let _ = writeln!(text, "{SUMMARY}{{quantile=\"{label}\"}} {seconds}");
        }
        let _ = writeln!(text, "{SUMMARY}_sum {sum}\n{SUMMARY}_count {records}\n");
        let _ = writeln!(
            text,
            "# HELP {HISTOGRAM} From a record's timestamp to its durable rollup, since the start\n\
            # TYPE {HISTOGRAM} histogram"
        );
        let mut below = 0;
        for (bound_ms, records) in BOUNDS_MS.into_iter().zip(self.buckets) {
            below += records;
            let bound = bound_ms as f64 / 1_000.0;
            let _ = writeln!(text, "{HISTOGRAM}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(
            text,
            "{HISTOGRAM}_bucket{{le=\"+Inf\"}} {records}\n{HISTOGRAM}_sum {sum}\n\
            {HISTOGRAM}_count {records}\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_cover_the_last_two_halves() {
        let start = Instant::now();
        let mut window = LatencyWindow::new(start);
        assert_eq!(window.quantile(0.99), Duration::ZERO);
        window.record(1_000, 99);
        window.record(60_000, 1);
        assert_eq!(window.quantile(0.5).as_secs(), 1);
        assert_eq!(window.quantile(0.999).as_secs(), 60);

        window.turn(start + HALF);
        assert_eq!(window.quantile(0.5).as_secs(), 1, "the previous half still counts");
        window.turn(start + 2 * HALF);
        assert_eq!(window.quantile(0.5), Duration::ZERO, "and then no more");
    }

    #[test]
    fn both_metrics_are_there_from_the_start_and_count_each_record() {
        let start = Instant::now();
        let mut latencies = Latencies::new(start);
        let text = latencies.render(start);
        assert!(text.contains("\nseatmeter_end_to_end_latency_seconds{quantile=\"0.99\"} 0\n"));
        assert!(text.contains("\nseatmeter_end_to_end_duration_seconds_bucket{le=\"0.1\"} 0\n"));
        latencies.record(start, -5, 1);
        latencies.record(start, 100, 2);
        latencies.record(start, 101, 4);
        latencies.record(start, 90_000_000, 1);
        let text = latencies.render(start);
        for line in [
            "seatmeter_end_to_end_latency_seconds_count 8",
            "seatmeter_end_to_end_duration_seconds_bucket{le=\"0.1\"} 3",
            "seatmeter_end_to_end_duration_seconds_bucket{le=\"0.25\"} 7",
            "seatmeter_end_to_end_duration_seconds_bucket{le=\"86400\"} 7",
            "seatmeter_end_to_end_duration_seconds_bucket{le=\"+Inf\"} 8",
            "seatmeter_end_to_end_duration_seconds_sum 90000.604",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_and_a_backlog_stay_within_bounds() {
        let mut window = LatencyWindow::new(Instant::now());
        window.record(-5_000, 1);
        assert_eq!(window.quantile(1.0).as_secs(), 0);
        window.record(i64::MAX, 1);
        assert_eq!(window.quantile(1.0).as_secs() / 3_600, 24);
    }
}
