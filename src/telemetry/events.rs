//! Every log event by name: one function each, so that its text and fields are defined in one
//! place. Those of the HTTP API are in [`super::http`].
//!
//! The field `event` of each line is its name, which stays when the text is reworded. The runbook
//! lists all of them.

use std::fmt::Display;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use tracing::{debug, error, info, warn};

use crate::core::rollup::Source;

/// A line of librdkafka's own.
pub fn librdkafka(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            warn!(target: "librdkafka", event = "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning => {
            info!(target: "librdkafka", event = "librdkafka", facility, "{message}")
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            debug!(target: "librdkafka", event = "librdkafka", facility, "{message}");
        }
    }
}

/// A line of librdkafka's own, of a client that sends; what it means is told by the command.
pub fn sender_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    debug!(target: "librdkafka", event = "librdkafka", ?level, facility, "{message}");
}

/// A client that sends reports an error.
pub fn sender_error(text: &str) {
    debug!(target: "librdkafka", event = "sender_error", "Kafka client of a sender: {text}");
}

/// The Kafka client reports an error and recovers by itself.
pub fn client_error(code: Option<RDKafkaErrorCode>, text: &str) {
    debug!(event = "client_error", code = code.map(tracing::field::debug), "Kafka client: {text}");
}

/// There is no new token for OAUTHBEARER, told when it begins and when the reason changes; or there
/// is one again.
pub fn token_changed(outcome: Result<(), &str>) {
    match outcome {
        Ok(()) => info!(event = "token_back", "there is a token for OAUTHBEARER again"),
        Err(reason) => {
            warn!(event = "token_missing", "no token for OAUTHBEARER, trying again: {reason}")
        }
    }
}

/// Kafka or ClickHouse fails and is retried; logged when it begins and when the reason changes.
pub fn waiting(component: &str, trouble: &str, reason: &str) {
    warn!(event = "retrying", component, "{trouble}, trying again: {reason}");
}

/// The failing service works again.
pub fn waiting_ended(component: &str) {
    info!(event = "works_again", component, "works again");
}

/// An account is in a time zone that this program does not know.
pub fn account_unreadable(account: &str) {
    error!(
        event = "account_unreadable",
        account,
        "unknown time zone: the account's standings cannot be told; upgrade this process to the \
        release of the zone data that the workers count by"
    );
}

/// The topic exists.
pub fn topic_found(topic: &str, id: &str, partitions: u32) {
    info!(event = "topic_found", topic, id, partitions, "counting topic");
}

/// The topic's number of partitions has changed.
pub fn partitions_changed(topic: &str, before: u32, now: u32) {
    warn!(
        event = "partitions_changed",
        topic,
        before,
        now,
        "the topic's number of partitions changed; all partitions are started anew"
    );
}

/// The group has assigned partitions.
pub fn assigned(partitions: &[u32]) {
    info!(event = "partitions_assigned", ?partitions, "partitions assigned");
}

/// The group revokes partitions.
pub fn revoked(partitions: &[u32]) {
    info!(event = "partitions_revoked", ?partitions, "partitions revoked; flushing them");
}

/// The group has given our partitions to others already.
pub fn lost(partitions: &[u32]) {
    warn!(
        event = "partitions_lost",
        ?partitions,
        "partitions lost; their new owner counts on from the recorded progress"
    );
}

/// Partitions were not flushed before the deadline of their revocation.
pub fn revoke_deadline_passed(partitions: &[u32], deadline: Duration) {
    warn!(
        event = "revoke_deadline_passed",
        ?partitions,
        ?deadline,
        "revoked partitions were not flushed in time; their new owner counts the rest again"
    );
}

/// Partitions are opened again.
pub fn reopening(partitions: &[u32]) {
    info!(event = "partitions_reopening", ?partitions, "starting partitions anew");
}

/// librdkafka refused the answer to a rebalance.
pub fn rebalance_failed(error: &str) {
    warn!(event = "rebalance_failed", "the Kafka client did not let go of partitions: {error}");
}

/// A partition could not be paused.
pub fn pause_failed(partition: u32, error: &str) {
    warn!(
        event = "pause_failed",
        partition, "cannot pause a partition that is not counted: {error}"
    );
}

/// A message arrived outside the workers' queues.
pub fn stray_message(partition: u32) {
    error!(
        event = "stray_message",
        partition, "a message came past its worker's queue; the partition is started anew"
    );
}

/// A lane was opened.
pub fn lane_opened(source: &Source, next_offset: u64, read_from: u64, high_watermark: u64) {
    info!(
        event = "partition_opened",
        %source, next_offset, read_from, high_watermark,
        "counting partition"
    );
}

/// Retention deleted records that were not counted yet.
pub fn offsets_lost(source: &Source, next_offset: u64, low_watermark: u64) {
    error!(
        event = "offsets_lost",
        %source, next_offset, low_watermark,
        "retention deleted {} offsets before they were counted; they are recorded as absent",
        low_watermark - next_offset
    );
}

/// The last record that was counted is gone, and nothing else shows whether the log is the one that
/// was counted.
pub fn log_unrecognized(source: &Source, offset: u64) {
    warn!(
        event = "log_unrecognized",
        %source, offset,
        "the last record that was counted is gone (compaction?), so that a log that was cut and \
        filled again would not be noticed; counting on"
    );
}

/// The log was found to hold nothing between two offsets at its end.
pub fn tail_skipped(source: &Source, from: u64, to: u64) {
    debug!(event = "tail_skipped", %source, from, to, "the rest of the log holds no records");
}

/// A probe of the end of a log failed; it is retried.
pub fn tail_look_failed(error: &str) {
    debug!(event = "tail_look_failed", "cannot look at the end of the log: {error}");
}

/// A partition is not counted.
pub fn refused(refusal: &dyn Display) {
    error!(event = "partition_refused", "partition refused: {refusal}");
}

/// A partition reports an error, which differs from the one before if `is_new`; librdkafka recovers
/// by itself if it can.
pub fn partition_error(source: &Source, offset: Option<u64>, text: &str, is_new: bool) {
    if is_new {
        info!(event = "partition_error", %source, offset, "partition error: {text}");
    } else {
        debug!(event = "partition_error", %source, offset, "partition error: {text}");
    }
}

/// A partition is halted; logged when it begins and when the cause changes.
pub fn halted(partition: u32, reason: &str) {
    warn!(event = "partition_halted", partition, "{reason}");
}

/// A halted partition makes headway again, or is no longer assigned.
pub fn goes_on(partition: u32) {
    info!(event = "headway", partition, "makes headway again, or is no longer assigned");
}

/// This process cannot become a member of its group; logged when it begins and when the reason
/// changes.
pub fn group_denied(group: &str, reason: &str) {
    warn!(event = "group_denied", group, "cannot join the consumer group, trying again: {reason}");
}

/// An account's events are in several partitions, so that their order is lost.
pub fn account_split(topic: &str, account: &str, partitions: &[u32]) {
    warn!(
        event = "account_split",
        topic,
        account,
        ?partitions,
        "split account: its events come in several partitions at once, so it is not counted \
        exactly; let all producers \
         use one partitioner (config/runbook.md: An account in two partitions)"
    );
}

/// More accounts are split than are logged one by one.
pub fn more_accounts_split(topic: &str, accounts: u64) {
    warn!(
        event = "more_accounts_split",
        topic,
        accounts,
        "more split accounts than are logged one by one: SELECT * FROM split_accounts names them \
        all"
    );
}

/// The query for split accounts failed; it is repeated.
pub fn split_accounts_not_read(error: &str) {
    debug!(event = "split_accounts_not_read", "cannot ask for split accounts: {error}");
}

/// Figures that are counted twice differ; logged when it is found.
pub fn figures_differ(identity: &str, account: &str, source: &str, (expected, found): (u64, u64)) {
    error!(
        event = "figures_differ",
        identity,
        account,
        source,
        expected,
        found,
        "figures differ that are counted twice (config/runbook.md: Figures that differ)"
    );
}

/// More of them differ than are logged one by one.
pub fn more_figures_differ(differences: usize) {
    error!(
        event = "more_figures_differ",
        differences, "more figures differ than are logged one by one: see the view integrity"
    );
}

/// They agree again.
pub fn figures_agree(identity: &str, account: &str, source: &str) {
    info!(event = "figures_agree", identity, account, source, "figures that differed agree again");
}

/// The figures could not be read; they are read again with the next sample.
pub fn figures_not_read(error: &str) {
    info!(
        event = "figures_not_read",
        "cannot read the figures that are counted twice, trying again with the next sample: {error}"
    );
}

/// A seek failed and is retried.
pub fn seek_failed(source: &Source, offset: u64, error: &str) {
    debug!(event = "seek_failed", %source, offset, "cannot seek, trying again: {error}");
}

/// A worker stops reading because too many rows wait for a flush, or reads again.
pub fn worker_fullness(worker: usize, is_full: bool, rows: usize) {
    if is_full {
        info!(event = "worker_full", worker, rows, "not reading: so many rows wait for a flush");
    } else {
        info!(event = "worker_reading", worker, rows, "reading again");
    }
}

/// A commit to Kafka failed; no count depends on it.
pub fn commit_failed(error: &str) {
    debug!(event = "commit_failed", "cannot commit offsets to Kafka: {error}");
}

/// The canary begins, with events of this account.
pub fn canary_started(account: &str, api_url: &str) {
    info!(
        event = "canary_started",
        account, api_url, "canary: sending events, and asking for the reports of them"
    );
}

/// The canary begins a new organization.
pub fn canary_organization(organization: &str) {
    info!(
        event = "canary_organization",
        organization, "canary: the next rounds are of this organization"
    );
}

/// A report says something else than what the canary sent.
pub fn canary_wrong(report: &str, figure: &str, organization: &str, wanted: &str, found: u64) {
    error!(
        event = "canary_wrong",
        report, figure, organization, wanted, found, "canary: a wrong answer"
    );
}

/// A round of the canary, or a question, fails; logged when it begins and when the cause changes.
pub fn canary_failed(cause: &str, reason: &str) {
    warn!(event = "canary_failed", cause, "canary: a round failed: {reason}");
}

/// A round of the canary succeeds after others that did not.
pub fn canary_recovered(after: Duration) {
    info!(event = "canary_recovered", ?after, "canary: all reports are right again");
}

/// What is exported by OTLP is not taken; logged when it begins and when the reason changes.
pub fn export_failed(signal: &str, reason: &str) {
    warn!(event = "export_failed", signal, "cannot export by OTLP: {reason}");
}

/// It is taken again.
pub fn export_recovered(signal: &str) {
    info!(event = "export_recovered", signal, "the export by OTLP works again");
}

/// The brokers do not tell how long the topic keeps its records; they are asked again.
pub fn retention_not_read(error: &str) {
    debug!(event = "retention_not_read", "cannot ask for the topic's retention: {error}");
}

/// Alerts are on for the first time, and what was so before is judged.
pub fn alerts_switched_on(lines: u64) {
    info!(
        event = "alerts_switched_on",
        lines, "alerts are switched on: of lines that were reached before, nothing is sent"
    );
}

/// Alerts cannot be judged; told when it begins.
pub fn alerts_not_judged(reason: &dyn Display) {
    warn!(event = "alerts_not_judged", "alerts are not judged, trying again: {reason}");
}

/// They can again.
pub fn alerts_judged_again() {
    info!(event = "alerts_judged_again", "alerts are judged again");
}

/// An account is in a time zone that this program does not know.
pub fn alerts_unreadable(account: &str) {
    warn!(
        event = "alerts_unreadable",
        account, "unknown time zone: the account's quota is not judged for alerts"
    );
}

/// A target does not take an event; told when it begins.
pub fn alert_not_sent(target: &str, reason: &dyn Display) {
    warn!(event = "alert_not_sent", to = target, "an alert is not sent, trying again: {reason}");
}

/// It cannot be stored that a target has events.
pub fn alert_deliveries_not_stored(target: &str, reason: &dyn Display) {
    warn!(
        event = "alert_deliveries_not_stored",
        to = target,
        "it is not stored which alerts were sent, trying again: {reason}"
    );
}

/// A target takes events again.
pub fn alert_sent_again(target: &str) {
    info!(event = "alerts_sent_again", to = target, "alerts are sent again");
}

/// A target has not taken an event for three days.
pub fn alert_given_up(target: &str, id: &str) {
    error!(
        event = "alert_given_up",
        to = target,
        id,
        "an alert was not sent for three days, and is given up"
    );
}

/// Lines of this log were lost, because it was not read in time.
pub fn log_lines_lost(lines: u64) {
    warn!(
        event = "log_lines_lost",
        lines, "lines of this log were lost here, for it was not read in time"
    );
}

/// A thread shows no sign of life.
pub fn thread_stuck(thread: &str, seconds: u64) {
    error!(
        event = "thread_stuck",
        thread, seconds, "thread shows no sign of life; the process ends"
    );
}

/// The worker begins an orderly stop.
pub fn stopping() {
    info!(event = "stopping", "stopping: flushing what was read");
}

/// The Kafka client is still in use and cannot leave the group.
pub fn client_still_used(users: usize) {
    warn!(event = "client_still_used", users, "ending without leaving the consumer group");
}

/// Leaving the group took too long.
pub fn leaving_timed_out(limit: Duration) {
    warn!(
        event = "leaving_timed_out",
        ?limit,
        "ending without waiting any longer for the consumer group"
    );
}
