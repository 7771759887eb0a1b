//! The names of the metrics. They are part of the interface: dashboards and alerts are built on
//! them.

pub(super) const RECORDS: &str = "seatmeter_records_total";
pub(super) const REJECTS: &str = "seatmeter_rejected_records_total";
pub(super) const LOST_OFFSETS: &str = "seatmeter_lost_offsets_total";
pub(super) const LAG: &str = "seatmeter_partition_lag_records";
pub(super) const HALTED: &str = "seatmeter_halted_partitions";
pub(super) const KAFKA_TROUBLE: &str = "seatmeter_kafka_trouble";
pub(super) const ASSIGNED: &str = "seatmeter_assigned_partitions";
pub(super) const REFUSED: &str = "seatmeter_refused_partitions";
pub(super) const SPLIT_ACCOUNTS: &str = "seatmeter_split_accounts";
pub(super) const FLUSH_ROWS: &str = "seatmeter_flush_rows_total";
pub(super) const FLUSH_BYTES: &str = "seatmeter_flush_bytes_total";
pub(super) const FLUSH_SECONDS: &str = "seatmeter_flush_duration_seconds";
pub(super) const PENDING_ROWS: &str = "seatmeter_pending_rows";
pub(super) const WORKERS_FULL: &str = "seatmeter_workers_not_reading";
pub(super) const HELD_BYTES: &str = "seatmeter_held_bytes";
pub(super) const REMEMBERED_IDS: &str = "seatmeter_remembered_event_ids";
pub(super) const EVICTED: &str = "seatmeter_evicted_entries_total";
pub(super) const LOADS: &str = "seatmeter_loads_total";
pub(super) const LOAD_SECONDS: &str = "seatmeter_load_duration_seconds";
pub(super) const RETRIES: &str = "seatmeter_retries_total";
pub(super) const SEEKS: &str = "seatmeter_seeks_total";
pub(super) const REBALANCES: &str = "seatmeter_rebalances_total";
pub(super) const COMMIT_FAILURES: &str = "seatmeter_commit_failures_total";
pub(super) const LOST_LOG_LINES: &str = "seatmeter_lost_log_lines_total";
pub(super) const TIMEZONES: &str = "seatmeter_timezones_info";
pub(super) const LATENCY_SUMMARY: &str = "seatmeter_end_to_end_latency_seconds";
pub(super) const LATENCY_HISTOGRAM: &str = "seatmeter_end_to_end_duration_seconds";
pub(super) const TOPIC_RETENTION: &str = "seatmeter_topic_retention_seconds";
pub(super) const OTLP_FAILURES: &str = "seatmeter_otlp_failures_total";
pub(super) const OTLP_LOST_SPANS: &str = "seatmeter_otlp_lost_spans_total";
pub(super) const BUILD_INFO: &str = "seatmeter_build_info";
pub(super) const DIFFERENCE: &str = "seatmeter_integrity_difference";
pub(super) const INTEGRITY_CHECKS: &str = "seatmeter_integrity_checks_total";
pub(super) const DATA_AGE: &str = "seatmeter_data_age_seconds";
pub(super) const STANDING_ORGANIZATIONS: &str = "seatmeter_standing_organizations";
pub(super) const STANDINGS_AGE: &str = "seatmeter_standings_age_seconds";
pub(super) const STANDING_READS: &str = "seatmeter_standing_reads_total";
pub(super) const CHECKS: &str = "seatmeter_can_run_checks_total";
pub(super) const ALERTS_FOUND: &str = "seatmeter_alerts_total";
pub(super) const ALERT_DELIVERIES: &str = "seatmeter_alert_deliveries_total";
pub(super) const ALERTS_WAITING: &str = "seatmeter_alerts_waiting";
pub(super) const ALERT_OLDEST: &str = "seatmeter_alerts_oldest_waiting_seconds";
pub(super) const CANARY_ROUNDS: &str = "seatmeter_canary_rounds_total";
pub(super) const CANARY_DELAY: &str = "seatmeter_canary_end_to_end_duration_seconds";
pub(super) const CANARY_WRONG: &str = "seatmeter_canary_wrong_answers_total";
pub(super) const CANARY_FAILURES: &str = "seatmeter_canary_failures_total";
pub(super) const CANARY_SUCCESS_AGE: &str = "seatmeter_canary_success_age_seconds";

/// Outcomes of a record, as [`RECORDS`] labels them.
pub(super) const OUTCOMES: [&str; 5] = ["accepted", "rejected", "duplicate", "skipped", "absent"];

/// Figures that are counted twice, as [`DIFFERENCE`] labels them; the view `integrity` says what
/// each compares.
pub(super) const IDENTITIES: [&str; 8] = [
    "outcomes",
    "rejected_records",
    "audited_records",
    "tests",
    "account_bitmaps",
    "intervals",
    "open_intervals",
    "quota",
];
