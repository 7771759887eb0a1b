//! `[ingest]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::check::Check;
use crate::config::options::Ingest;
use crate::config::raw::RawIngest;

/// Threads that `worker_threads = 0` means at most.
const DEFAULT_WORKER_THREADS_MAX: usize = 16;

/// Minimum: each of 64 worker threads has room for two rejected records. Maximum: one tebibyte.
const PENDING_BYTES_MAX_ALLOWED: RangeInclusive<usize> = 1 << 24..=1 << 40;

impl Check<'_> {
    pub(super) fn ingest(&mut self, raw: &RawIngest, session_timeout: Duration) -> Ingest {
        let worker_threads =
            match self.integer("ingest.worker_threads", raw.worker_threads, 0..=64_usize) {
                0 => self.surroundings.cores.clamp(1, DEFAULT_WORKER_THREADS_MAX),
                threads => threads,
            };
        let ingest = Ingest {
            worker_threads,
            batch_records_max: self.integer(
                "ingest.batch_records_max",
                raw.batch_records_max,
                1..=100_000,
            ),
            batch_wait: self.milliseconds("ingest.batch_wait_ms", raw.batch_wait_ms, 1..=1_000),
            flush_interval: self.milliseconds(
                "ingest.flush_interval_ms",
                raw.flush_interval_ms,
                50..=600_000,
            ),
            catch_up_flush_interval: self.milliseconds(
                "ingest.catch_up_flush_interval_ms",
                raw.catch_up_flush_interval_ms,
                50..=600_000,
            ),
            idle_flush_interval: self.milliseconds(
                "ingest.idle_flush_interval_ms",
                raw.idle_flush_interval_ms,
                1_000..=600_000,
            ),
            pending_rows_max: self.integer(
                "ingest.pending_rows_max",
                raw.pending_rows_max,
                1_000..=100_000_000,
            ),
            pending_bytes_max: self.integer(
                "ingest.pending_bytes_max",
                raw.pending_bytes_max,
                PENDING_BYTES_MAX_ALLOWED,
            ),
            held_mbytes_max: self.integer(
                "ingest.held_mbytes_max",
                raw.held_mbytes_max,
                1..=1_048_576,
            ),
            queue_kbytes_max: self.integer(
                "ingest.queue_kbytes_max",
                raw.queue_kbytes_max,
                64..=2_097_151,
            ),
            revoke_deadline: self.milliseconds(
                "ingest.revoke_deadline_ms",
                raw.revoke_deadline_ms,
                100..=1_800_000,
            ),
            watchdog_timeout: self.milliseconds(
                "ingest.watchdog_timeout_ms",
                raw.watchdog_timeout_ms,
                1_000..=3_600_000,
            ),
        };
        self.ingest_intervals(raw, &ingest, session_timeout);
        ingest
    }

    /// Refuses intervals that contradict each other.
    fn ingest_intervals(&mut self, raw: &RawIngest, ingest: &Ingest, session_timeout: Duration) {
        let comparable =
            self.problems.iter().all(|problem| problem.key != "kafka.session_timeout_ms");
        if comparable && ingest.revoke_deadline >= session_timeout {
            let limit = format!(
                "must be less than kafka.session_timeout_ms = {}",
                session_timeout.as_millis()
            );
            self.refuse_number("ingest.revoke_deadline_ms", raw.revoke_deadline_ms, &limit);
        }
        if ingest.idle_flush_interval < ingest.flush_interval {
            let limit = format!(
                "must not be less than ingest.flush_interval_ms = {}",
                raw.flush_interval_ms
            );
            self.refuse_number("ingest.idle_flush_interval_ms", raw.idle_flush_interval_ms, &limit);
        }
    }
}
