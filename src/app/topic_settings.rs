//! Whether a worker has the permissions that it needs, and whether the topic is configured so that
//! its events can be counted exactly: duplicates are recognized by the records of the last 24
//! hours, which must be there to be read again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;

use crate::config::{self, Config};
use crate::ingest::{self, Attempt};
use crate::kafka::producer_properties;
use crate::kafka::{Causes, Operation, Resource};
use crate::telemetry::{events, metrics};

/// Time limit for the brokers to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two questions for the topic's retention.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);

/// The window in which duplicates are recognized, milliseconds.
const DUPLICATE_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Good(String),
    /// It works, but perhaps not always.
    Warning(String),
    /// Counts would be wrong, or nothing would be counted.
    Error(String),
    /// A check that could not be made, and why.
    NotChecked(String),
}

impl Finding {
    /// `ok`, `warning`, `error` or `not checked`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Good(_) => "ok",
            Self::Warning(_) => "warning",
            Self::Error(_) => "error",
            Self::NotChecked(_) => "not checked",
        }
    }

    /// What was found.
    pub(super) fn text(&self) -> &str {
        let (Self::Good(text) | Self::Warning(text) | Self::Error(text) | Self::NotChecked(text)) =
            self;
        text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome(), self.text())
    }
}

/// Checks Kafka: the steps of a worker, and the topic's settings.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let own = config.clone();
    let attempts = match tokio::task::spawn_blocking(move || ingest::try_access(&own)).await {
        Ok(attempts) => attempts,
        Err(error) => return vec![Finding::NotChecked(error.to_string())],
    };
    let is_readable = matches!(attempts.first(), Some(Attempt::Works(_)));
    let mut findings: Vec<Finding> = attempts.into_iter().map(Finding::from).collect();
    if is_readable {
        findings.extend(look_at_settings(&config.kafka).await);
    }
    findings
}

async fn look_at_settings(kafka: &config::Kafka) -> Vec<Finding> {
    match settings(kafka).await {
        // rdkafka does not return errors of a topic: a denied client gets no settings at all.
        Ok(settings) if settings.is_empty() => {
            let denied = Causes::new(kafka)
                .denied(Operation::DescribeConfigs, Resource::Topic(&kafka.topic));
            vec![Finding::Error(format!(
                "{denied}; without it nobody can tell how long the topic keeps its records"
            ))]
        }
        Ok(settings) => judge(&kafka.topic, &settings),
        Err(reason) => {
            let topic = &kafka.topic;
            vec![Finding::NotChecked(format!(
                "the brokers do not tell the settings of topic {topic:?}: {reason}"
            ))]
        }
    }
}

impl From<Attempt> for Finding {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::Works(text) => Self::Good(text),
            Attempt::Refused(text) => Self::Error(text),
            Attempt::Unanswered(text) => Self::NotChecked(text),
        }
    }
}

/// A client that asks once; what matters of its trouble is in the answer.
struct Asking {
    causes: Causes,
}

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        events::sender_log(level, facility, &self.causes.mask(message));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        events::sender_error(&self.causes.mask(&text));
    }
}

/// The topic's settings by name.
async fn settings(kafka: &config::Kafka) -> Result<BTreeMap<String, String>, String> {
    let context = Asking { causes: Causes::new(kafka) };
    let admin: AdminClient<Asking> = producer_properties(kafka)
        .create_with_context(context)
        .map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let asked = [ResourceSpecifier::Topic(&kafka.topic)];
    let answers =
        admin.describe_configs(&asked, &options).await.map_err(|error| error.to_string())?;
    let topic = answers.into_iter().next().ok_or("no answer")?.map_err(|code| code.to_string())?;
    Ok(topic.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
}

/// Tells the topic's retention by a metric, for ever.
pub(super) async fn watch_retention(kafka: config::Kafka) {
    metrics::topic_retention(None);
    if kafka.token_source.is_some() {
        // rdkafka's client for such questions renews no tokens.
        return;
    }
    loop {
        // The client's end waits for its threads, which is nothing for the runtime's own.
        let (asked, runtime) = (kafka.clone(), Handle::current());
        let asking = tokio::task::spawn_blocking(move || runtime.block_on(settings(&asked)));
        match asking.await.unwrap_or_else(|error| Err(error.to_string())) {
            // A client without the right to ask is told nothing.
            Ok(settings) => {
                let retention_ms = settings.get("retention.ms").and_then(|ms| ms.parse().ok());
                metrics::topic_retention(retention_ms);
            }
            // What was told last is still the best guess.
            Err(error) => events::retention_not_read(&error),
        }
        tokio::time::sleep(RETENTION_INTERVAL).await;
    }
}

/// Validates the settings.
fn judge(topic: &str, settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| setting(name).parse::<i64>().ok();
    let mut findings = Vec::new();
    // The key is the account, so compaction would keep one event of each account.
    if setting("cleanup.policy").split(',').any(|policy| policy.trim() == "compact") {
        findings.push(Finding::Error(format!(
            "topic {topic:?} has cleanup.policy = {}: compaction deletes all but the last event of \
            an account; set it to delete",
            setting("cleanup.policy")
        )));
    }
    match number("retention.ms") {
        // -1 is for ever.
        Some(retention_ms) if (0..=DUPLICATE_WINDOW_MS).contains(&retention_ms) => {
            findings.push(Finding::Error(format!(
                "topic {topic:?} has retention.ms = {retention_ms}: it must be greater than \
            {DUPLICATE_WINDOW_MS} (24 hours), \
             or redelivered events may be counted twice after a restart"
            )))
        }
        Some(_) => {}
        None => findings.push(Finding::NotChecked(format!(
            "topic {topic:?}: the brokers tell no retention.ms"
        ))),
    }
    if let Some(bytes) = number("retention.bytes").filter(|&bytes| bytes >= 0) {
        findings.push(Finding::Warning(format!(
            "topic {topic:?} has retention.bytes = {bytes}: make sure that a partition never \
            writes that much in 24 hours, or set it to -1"
        )));
    }
    if findings.is_empty() {
        findings.push(Finding::Good(format!(
            "topic {topic:?} keeps its records for longer than 24 hours"
        )));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: &[(&str, &str)], expected: &[&str]) {
        let defaults = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "-1"),
        ];
        let settings = defaults
            .iter()
            .chain(settings)
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let found: Vec<_> =
            judge("t", &settings.collect()).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn records_must_be_kept_for_longer_than_the_window_in_which_duplicates_are_recognized() {
        check(&[], &["ok: topic \"t\" keeps its records"]);
        check(&[("retention.ms", "-1")], &["ok: "]);
        check(&[("retention.ms", "86400001")], &["ok: "]);
        check(
            &[("retention.ms", "86400000")],
            &["error: topic \"t\" has retention.ms = 86400000: it must be greater"],
        );
        check(&[("retention.ms", "0")], &["error: topic \"t\" has retention.ms = 0: "]);
        check(
            &[("retention.ms", "?")],
            &["not checked: topic \"t\": the brokers tell no retention.ms"],
        );
    }

    #[test]
    fn a_bound_in_bytes_is_a_warning() {
        check(
            &[("retention.bytes", "1000")],
            &["warning: topic \"t\" has retention.bytes = 1000: "],
        );
    }

    #[test]
    fn a_compacted_topic_is_an_error() {
        check(
            &[("cleanup.policy", "compact")],
            &["error: topic \"t\" has cleanup.policy = compact: "],
        );
        check(
            &[("cleanup.policy", "delete, compact"), ("retention.ms", "5")],
            &["error: topic \"t\" has cleanup.policy", "error: topic \"t\" has retention.ms = 5: "],
        );
    }
}
