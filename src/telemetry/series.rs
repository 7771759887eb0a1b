//! Every series whose labels are known in advance exists from the start, with 0: a rate over a
//! series that appears with its first increment misses that one.

use metrics::{counter, gauge};

use super::names::{
    ASSIGNED, COMMIT_FAILURES, DATA_AGE, DIFFERENCE, EVICTED, FLUSH_BYTES, FLUSH_ROWS, HALTED,
    IDENTITIES, INTEGRITY_CHECKS, KAFKA_TROUBLE, LOADS, LOST_LOG_LINES, LOST_OFFSETS, OUTCOMES,
    REBALANCES, RECORDS, REFUSED, REJECTS, RETRIES, SEEKS, SPLIT_ACCOUNTS, WORKERS_FULL,
};
use super::seek_cause::SeekCause;
use crate::core::event::RejectReason;

/// Decisions of the consumer group.
const REBALANCE_KINDS: [&str; 3] = ["assigned", "revoked", "lost"];

/// What is retried.
const OPERATIONS: [&str; 4] = ["clickhouse", "kafka", "load", "start"];

/// Causes of a halt besides those that the Kafka client reports.
const HALT_CAUSES: [&str; 3] = ["end_unknown", "open_transaction", "silence"];

/// Causes that the Kafka client reports.
const KAFKA_CAUSES: [&str; 11] = [
    "authentication",
    "corruption",
    "decompression",
    "group_authorization",
    "message_size",
    "name_resolution",
    "other",
    "timeout",
    "tls",
    "topic_authorization",
    "unreachable",
];

/// Creates them. `tables` are those that flushes write to.
pub(super) fn create(tables: &[&'static str]) {
    for outcome in OUTCOMES {
        counter!(RECORDS, "outcome" => outcome).absolute(0);
    }
    for reason in RejectReason::ALL {
        counter!(REJECTS, "reason" => reason.as_str()).absolute(0);
    }
    for kind in REBALANCE_KINDS {
        counter!(REBALANCES, "kind" => kind).absolute(0);
    }
    for cause in SeekCause::ALL {
        counter!(SEEKS, "cause" => cause.as_str()).absolute(0);
    }
    for operation in OPERATIONS {
        counter!(RETRIES, "operation" => operation).absolute(0);
    }
    for &table in tables {
        counter!(FLUSH_ROWS, "table" => table).absolute(0);
        counter!(FLUSH_BYTES, "table" => table).absolute(0);
    }
    for name in [LOST_OFFSETS, EVICTED, LOADS, COMMIT_FAILURES, LOST_LOG_LINES] {
        counter!(name).absolute(0);
    }
    for cause in HALT_CAUSES.into_iter().chain(KAFKA_CAUSES) {
        gauge!(HALTED, "cause" => cause).set(0.0);
    }
    for cause in KAFKA_CAUSES {
        gauge!(KAFKA_TROUBLE, "cause" => cause).set(0.0);
    }
    for name in [ASSIGNED, REFUSED, SPLIT_ACCOUNTS, WORKERS_FULL] {
        gauge!(name).set(0.0);
    }
    for identity in IDENTITIES {
        gauge!(DIFFERENCE, "identity" => identity).set(0.0);
    }
    counter!(INTEGRITY_CHECKS).absolute(0);
    gauge!(DATA_AGE).set(f64::NAN);
}
