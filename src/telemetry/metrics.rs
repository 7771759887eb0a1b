//! Every metric by name.
//!
//! Names and labels are part of the interface: dashboards and alerts are built on them. No label
//! ever holds an account, a user or an organization. Recording before [`install`], or without it,
//! does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};

use super::latency::Latencies;
use super::names::{
    ASSIGNED, COMMIT_FAILURES, DATA_AGE, DIFFERENCE, EVICTED, FLUSH_BYTES, FLUSH_ROWS,
    FLUSH_SECONDS, HALTED, HELD_BYTES, IDENTITIES, INTEGRITY_CHECKS, KAFKA_TROUBLE, LAG,
    LOAD_SECONDS, LOADS, LOST_LOG_LINES, LOST_OFFSETS, OUTCOMES, PENDING_ROWS, REBALANCES, RECORDS,
    REFUSED, REJECTS, REMEMBERED_IDS, RETRIES, SEEKS, SPLIT_ACCOUNTS, TIMEZONES, TOPIC_RETENTION,
    WORKERS_FULL,
};
pub use super::recorder::Build;
pub use super::seek_cause::SeekCause;
use super::{canary, process, recorder, series};
use crate::core::calendar::RELEASE;
use crate::core::event::RejectReason;
use crate::core::rollup::Progress;

/// Installs the process's recorder and returns the handle that renders Prometheus text. Fails if
/// one is installed. `tables` are those that flushes write to.
pub fn install(build: Build, tables: &[&'static str]) -> Result<PrometheusHandle, BuildError> {
    let handle = recorder::install(build)?;
    describe();
    super::http::describe();
    super::standing::describe();
    super::alerts::describe();
    series::create(tables);
    super::http::create();
    super::standing::create();
    super::alerts::create();
    gauge!(TIMEZONES, "release" => RELEASE).set(1.0);
    Ok(handle)
}

/// Everything in Prometheus' text format. `data_through_ms` is when the partition was flushed whose
/// last flush is oldest, milliseconds since 1970 UTC; `None` if that is not known.
pub fn render(handle: &PrometheusHandle, data_through_ms: Option<i64>) -> String {
    process::collect();
    canary::collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let age = data_through_ms.map(|at_ms| (now - at_ms as f64 / 1_000.0).max(0.0));
    gauge!(DATA_AGE).set(age.unwrap_or(f64::NAN));
    let mut text = handle.render();
    text.push_str(&lock(&LATENCIES).render(Instant::now()));
    text
}

fn describe() {
    describe_counter!(
        RECORDS,
        "Offsets passed and durably recorded, by outcome; every record has exactly one"
    );
    describe_counter!(REJECTS, "Records that are no events, by reason");
    describe_counter!(LOST_OFFSETS, "Offsets that retention deleted before they were counted");
    describe_gauge!(
        LAG,
        "Offsets between a partition's progress and the end of its log; NaN where that cannot be \
        asked for"
    );
    describe_gauge!(
        HALTED,
        "Assigned partitions that make no headway although their log goes on, by cause"
    );
    describe_gauge!(
        KAFKA_TROUBLE,
        "1 for the cause that the Kafka client has complained about last and not recovered from"
    );
    describe_gauge!(ASSIGNED, "Partitions that are assigned to this process");
    describe_gauge!(
        REFUSED,
        "Assigned partitions that are not counted: their log is not the one counted before, or \
        other zone data counts them"
    );
    describe_gauge!(
        SPLIT_ACCOUNTS,
        "Accounts of the topic that more than one partition has counted without a stop between; \
        every worker tells them all"
    );
    describe_gauge!(
        TOPIC_RETENTION,
        Unit::Seconds,
        "How long the topic keeps its records, +Inf for ever; NaN where the brokers do not tell"
    );
    describe_integrity();
    describe_counter!(FLUSH_ROWS, "Rows written, by table");
    describe_counter!(FLUSH_BYTES, Unit::Bytes, "Bytes written before compression, by table");
    describe_histogram!(
        FLUSH_SECONDS,
        Unit::Seconds,
        "From the drain to the acknowledged progress"
    );
    describe_gauge!(PENDING_ROWS, "Rows that wait for a flush or its acknowledgement, by worker");
    describe_gauge!(WORKERS_FULL, "Workers that do not read because too many rows wait");
    describe_gauge!(HELD_BYTES, "Memory of accounts, users, counters and hours held, by worker");
    describe_gauge!(REMEMBERED_IDS, "Event ids that the duplicate filters remember, by worker");
    describe_counter!(EVICTED, "Idle entries that were forgotten to stay within bounds");
    describe_counter!(LOADS, "Loads of entries that were not held");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "Duration of these loads, retries included");
    describe_counter!(RETRIES, "Failed attempts that were retried, by what was tried");
    describe_counter!(SEEKS, "Seeks back to a lane's next offset, by cause");
    describe_counter!(REBALANCES, "Decisions of the consumer group, by kind");
    describe_counter!(
        COMMIT_FAILURES,
        "Commits of Kafka offsets that failed; no count depends on them"
    );
    describe_counter!(LOST_LOG_LINES, "Lines that were not logged because nobody read the log");
    describe_gauge!(
        TIMEZONES,
        "Always 1; its label is the release of the IANA time zone database that days are told by"
    );
    describe_gauge!(
        DATA_AGE,
        Unit::Seconds,
        "Time since the last completed flush, of the partition whose last one is oldest; NaN where \
        ClickHouse does not tell"
    );
}

fn describe_integrity() {
    describe_gauge!(
        DIFFERENCE,
        "By how much figures differ that are counted twice, by what is compared (the view \
        integrity); 0 is well"
    );
    describe_counter!(INTEGRITY_CHECKS, "Samples of accounts of which these were compared");
}

/// Progress was recorded: counts the difference.
pub fn progress_recorded(before: &Progress, after: &Progress) {
    let counts = |of: &Progress| [of.accepted, of.rejected, of.duplicates, of.skipped, of.absent];
    for (outcome, (before, after)) in
        OUTCOMES.into_iter().zip(counts(before).into_iter().zip(counts(after)))
    {
        counter!(RECORDS, "outcome" => outcome).increment(after.saturating_sub(before));
    }
}

/// Records were written to `rejected_events`.
pub fn rejected(reason: RejectReason, records: u64) {
    counter!(REJECTS, "reason" => reason.as_str()).increment(records);
}

/// Retention deleted offsets that were not counted yet.
pub fn offsets_lost(offsets: u64) {
    counter!(LOST_OFFSETS).increment(offsets);
}

/// Records between a partition's progress and the end of its log; `None` if that end cannot be
/// requested.
pub fn lag(partition: u32, records: Option<u64>) {
    gauge!(LAG, "partition" => partition.to_string())
        .set(records.map_or(f64::NAN, |records| records as f64));
}

/// The cause of each halted partition that is assigned.
pub fn halted(causes: impl IntoIterator<Item = &'static str>) {
    static TOLD: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());
    // A map is consistent between calls, so a panic elsewhere has not broken it.
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.values_mut().for_each(|partitions| *partitions = 0);
    for cause in causes {
        *told.entry(cause).or_default() += 1;
    }
    for (&cause, &partitions) in told.iter() {
        gauge!(HALTED, "cause" => cause).set(small(partitions));
    }
}

/// The current cause of the Kafka client's errors, or `None`.
pub fn kafka_trouble(before: Option<&'static str>, now: Option<&'static str>) {
    for (cause, value) in
        before.map(|cause| (cause, 0.0)).into_iter().chain(now.map(|cause| (cause, 1.0)))
    {
        gauge!(KAFKA_TROUBLE, "cause" => cause).set(value);
    }
}

/// Partitions that this process has lost and not joined the group again since: possibly no process
/// counts them.
static LOST: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The group has taken partitions from this process, which is no longer a member.
pub fn partitions_lost(partitions: &[u32]) {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions);
    partitions.iter().for_each(|&partition| lag(partition, None));
}

/// This process is a member of the group again: lost partitions belong to another process, or to
/// this one again.
pub fn group_joined() {
    let lost = std::mem::take(&mut *LOST.lock().unwrap_or_else(PoisonError::into_inner));
    lost.into_iter().for_each(|partition| lag(partition, Some(0)));
}

/// A partition went to another process, which reports its lag; the lag of a lost one is unknown.
pub fn partition_gone(partition: u32) {
    let is_lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).contains(&partition);
    lag(partition, (!is_lost).then_some(0));
}

/// Numbers of assigned and of refused partitions.
pub fn partitions(assigned: usize, refused: usize) {
    gauge!(ASSIGNED).set(small(assigned));
    gauge!(REFUSED).set(small(refused));
}

/// Number of accounts that more than one partition has counted without a stop between.
pub fn split_accounts(accounts: u64) {
    gauge!(SPLIT_ACCOUNTS).set(accounts as f64);
}

/// How long the topic keeps its records, milliseconds, negative for ever; `None` where that is not
/// known.
pub fn topic_retention(retention_ms: Option<i64>) {
    gauge!(TOPIC_RETENTION).set(match retention_ms {
        None => f64::NAN,
        Some(..0) => f64::INFINITY,
        Some(retention_ms) => retention_ms as f64 / 1_000.0,
    });
}

/// A sample was checked, whole or in part: by how much the figures of each identity differ, as far
/// as is known. One that is left out does not.
pub fn integrity(differences: &BTreeMap<&str, u64>, is_whole: bool) {
    for identity in IDENTITIES {
        let difference = differences.get(identity).copied().unwrap_or_default();
        gauge!(DIFFERENCE, "identity" => identity).set(difference as f64);
    }
    counter!(INTEGRITY_CHECKS).increment(u64::from(is_whole));
}

/// A table's share of a flush.
pub fn table_flushed(table: &'static str, rows: u64, bytes: u64) {
    counter!(FLUSH_ROWS, "table" => table).increment(rows);
    counter!(FLUSH_BYTES, "table" => table).increment(bytes);
}

/// A flush ended.
pub fn flush_finished(duration: Duration) {
    histogram!(FLUSH_SECONDS).record(duration);
}

/// Gauges of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerState {
    /// Rows that wait for a flush or for its acknowledgement.
    pub pending_rows: usize,
    /// Memory of accounts, users and counters, bytes, about.
    pub held_bytes: usize,
    /// Ids in the duplicate filters.
    pub remembered_ids: usize,
}

/// A worker's state at a drain.
pub fn worker_state(worker: usize, state: WorkerState) {
    let label = worker.to_string();
    gauge!(PENDING_ROWS, "worker" => label.clone()).set(small(state.pending_rows));
    gauge!(HELD_BYTES, "worker" => label.clone()).set(small(state.held_bytes));
    gauge!(REMEMBERED_IDS, "worker" => label).set(small(state.remembered_ids));
}

/// A worker stopped reading because it is full.
pub fn worker_stopped_reading() {
    gauge!(WORKERS_FULL).increment(1.0);
}

/// The worker reads again.
pub fn worker_reads_again() {
    gauge!(WORKERS_FULL).decrement(1.0);
}

/// Idle entries were evicted.
pub fn evicted(entries: usize) {
    counter!(EVICTED).increment(entries as u64);
}

/// Entries were loaded.
pub fn loaded(duration: Duration) {
    counter!(LOADS).increment(1);
    histogram!(LOAD_SECONDS).record(duration);
}

/// An attempt failed and is retried.
pub fn retried(operation: &'static str) {
    counter!(RETRIES, "operation" => operation).increment(1);
}

/// A partition was sought.
pub fn sought(cause: SeekCause) {
    counter!(SEEKS, "cause" => cause.as_str()).increment(1);
}

/// A rebalance: `kind` is `assigned`, `revoked` or `lost`.
pub fn rebalanced(kind: &'static str) {
    counter!(REBALANCES, "kind" => kind).increment(1);
}

/// A commit to Kafka failed.
pub fn commit_failed() {
    counter!(COMMIT_FAILURES).increment(1);
}

/// A log line was dropped because the log was not read in time.
pub fn log_line_lost() {
    counter!(LOST_LOG_LINES).increment(1);
}

/// Records became durable at `now_ms`: (Kafka's timestamp in milliseconds, records) of each.
pub fn made_durable(now_ms: i64, record_times: impl IntoIterator<Item = (i64, u64)>) {
    let mut latencies = lock(&LATENCIES);
    let now = Instant::now();
    for (timestamp_ms, records) in record_times {
        latencies.record(now, now_ms.saturating_sub(timestamp_ms), records);
    }
}

/// Times from the records' timestamps to their durable rollups.
static LATENCIES: LazyLock<Mutex<Latencies>> =
    LazyLock::new(|| Mutex::new(Latencies::new(Instant::now())));

// The figures are consistent between calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn small(figure: usize) -> f64 {
    figure as f64
}
