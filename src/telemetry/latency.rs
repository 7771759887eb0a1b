//! The end-to-end latency of the last minutes, as a high dynamic range histogram.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long one half of the window lasts: quantiles are over the last one to two of these.
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
    fn a_clock_that_is_ahead_and_a_backlog_stay_within_bounds() {
        let mut window = LatencyWindow::new(Instant::now());
        window.record(-5_000, 1);
        assert_eq!(window.quantile(1.0).as_secs(), 0);
        window.record(i64::MAX, 1);
        assert_eq!(window.quantile(1.0).as_secs() / 3_600, 24);
    }
}
