//! Metrics of alerts.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::names::{ALERT_DELIVERIES, ALERT_OLDEST, ALERTS_FOUND, ALERTS_WAITING};

/// Rules and what is found of them, as labels.
const RULES: [&str; 3] = ["quota", "pace", "seats"];
const STATES: [&str; 2] = ["raised", "resolved"];

/// The label of the Kafka topic.
pub const KAFKA_LABEL: &str = "kafka";

/// Labels of webhooks, by their place in the configuration; those behind share the last one.
const WEBHOOK_LABELS: [&str; 10] = [
    "webhook_1",
    "webhook_2",
    "webhook_3",
    "webhook_4",
    "webhook_5",
    "webhook_6",
    "webhook_7",
    "webhook_8",
    "webhook_9",
    "webhook_10_and_more",
];

/// What became of an attempt to send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The target has acknowledged it.
    Delivered,
    /// It has not, and the event is tried again.
    Failed,
    /// It has not for as long as is tried.
    GivenUp,
}

impl Delivery {
    const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::GivenUp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// The label of the webhook of this number, 1 = first.
pub fn webhook_label(number: usize) -> &'static str {
    WEBHOOK_LABELS[number.saturating_sub(1).min(WEBHOOK_LABELS.len() - 1)]
}

/// Describes the metrics to the exporter.
pub(super) fn describe() {
    describe_counter!(ALERTS_FOUND, "Alerts that were raised, and that were resolved, by rule");
    describe_counter!(
        ALERT_DELIVERIES,
        "Attempts to send an event of an alert, by target and outcome"
    );
    describe_gauge!(ALERTS_WAITING, "Events of alerts that a target has not acknowledged yet");
    describe_gauge!(
        ALERT_OLDEST,
        Unit::Seconds,
        "Time since the oldest of them was found; NaN where none waits"
    );
}

/// Creates the series that do not depend on targets.
pub(super) fn create() {
    for rule in RULES {
        for state in STATES {
            counter!(ALERTS_FOUND, "rule" => rule, "state" => state).absolute(0);
        }
    }
}

/// Events are sent to this target: its series exist from now on.
pub fn begin(target: &'static str) {
    for delivery in Delivery::ALL {
        counter!(ALERT_DELIVERIES, "target" => target, "outcome" => delivery.as_str()).absolute(0);
    }
    waiting(target, 0, None);
}

/// An alert was raised.
pub fn raised(rule: &'static str) {
    counter!(ALERTS_FOUND, "rule" => rule, "state" => "raised").increment(1);
}

/// An alert was resolved.
pub fn resolved(rule: &'static str) {
    counter!(ALERTS_FOUND, "rule" => rule, "state" => "resolved").increment(1);
}

/// What became of an attempt.
pub fn delivered(target: &'static str, delivery: Delivery) {
    counter!(ALERT_DELIVERIES, "target" => target, "outcome" => delivery.as_str()).increment(1);
}

/// How many events wait for the target, and how old the oldest is, milliseconds.
pub fn waiting(target: &'static str, events: usize, age_ms: Option<i64>) {
    gauge!(ALERTS_WAITING, "target" => target).set(events as f64);
    let age = age_ms.map_or(f64::NAN, |age_ms| age_ms.max(0) as f64 / 1_000.0);
    gauge!(ALERT_OLDEST, "target" => target).set(age);
}
