//! A target: who is told, of what, and how it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{SEND_FOR_MS, SendError};
use super::kafka::KafkaTopic;
use super::queue::{Queue, Waiting};
use super::webhook::WebhookSender;
use crate::config::Config;
use crate::report::alert::AlertRule;
use crate::store::{DeliveryRow, Store, UnsentEvent};
use crate::telemetry::alerts::{self as telemetry, Delivery};
use crate::telemetry::events;

/// Events that are sent to a target at once, at most.
const SENT_AT_ONCE_MAX: usize = 4;

/// Time between two writings of what became of events.
const STORE_INTERVAL: Duration = Duration::from_millis(500);

/// The same after a failure.
const STORE_RETRY: Duration = Duration::from_secs(10);

/// Greatest time between two looks at the queue.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Who is told.
pub struct Target {
    /// Its name or address, as it is stored.
    name: String,
    /// Its name in metrics.
    label: &'static str,
    sender: Sender,
    /// The accounts that it is told of; empty: all.
    accounts: Vec<String>,
    /// The rules that it is told of; empty: all.
    rules: Vec<String>,
    /// It gets nothing that was found before, milliseconds since 1970 UTC.
    since_ms: AtomicI64,
    queue: Queue,
}

enum Sender {
    Webhook(WebhookSender),
    Kafka(KafkaTopic),
}

/// The targets of the configuration.
///
/// # Errors
/// Where a client refuses its configuration.
pub fn targets(config: &Config) -> anyhow::Result<Vec<Target>> {
    let target = |name: String, label, sender| Target {
        name,
        label,
        sender,
        accounts: Vec::new(),
        rules: Vec::new(),
        since_ms: AtomicI64::new(0),
        queue: Queue::default(),
    };
    let mut targets = Vec::new();
    for (webhook, number) in config.alerts.webhooks.iter().zip(1..) {
        let sender = Sender::Webhook(WebhookSender::new(webhook)?);
        targets.push(Target {
            accounts: webhook.accounts.clone(),
            rules: webhook.rules.clone(),
            ..target(webhook.name.clone(), telemetry::webhook_label(number), sender)
        });
    }
    if let Some(topic) = &config.alerts.topic {
        let sender = Sender::Kafka(KafkaTopic::new(&config.kafka, topic)?);
        targets.push(target(format!("kafka:{topic}"), telemetry::KAFKA_LABEL, sender));
    }
    Ok(targets)
}

impl Target {
    /// The name of a webhook, which is its URL unless it has one, or `kafka:` and the topic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends an event, once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, account: &str, id: &str, event: &str) -> Result<(), SendError> {
        match &self.sender {
            Sender::Webhook(webhook) => webhook.send(id, event).await,
            Sender::Kafka(topic) => topic.send(account, event).await,
        }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn known_since(&self, since_ms: i64) {
        self.since_ms.store(since_ms, Ordering::Relaxed);
    }

    /// Whether it is to be told, and is not done with it.
    pub(super) fn wants(&self, event: &UnsentEvent) -> bool {
        let UnsentEvent { account, rule, found_ms, done, .. } = event;
        *found_ms >= self.since_ms.load(Ordering::Relaxed)
            && self.concerns(account, *rule)
            && !done.contains(&self.name)
    }

    fn concerns(&self, account: &str, rule: AlertRule) -> bool {
        let is_among = |known: &[String], name: &str| {
            known.is_empty() || known.iter().any(|known| known == name)
        };
        is_among(&self.accounts, account) && is_among(&self.rules, rule.as_str())
    }

    /// Sends what waits, until the stop request.
    pub(super) async fn run(self: Arc<Self>, store: Store, stop: CancellationToken) {
        telemetry::begin(self.label);
        let mut sending: JoinSet<(Waiting, Result<(), SendError>)> = JoinSet::new();
        let mut done: Vec<DeliveryRow> = Vec::new();
        let mut store_at = Instant::now();
        let mut is_failing = false;
        loop {
            let next = self.send_due(&mut sending, &mut done);
            let (waiting, oldest_ms) = self.queue.waiting();
            let age_ms = oldest_ms.map(|oldest_ms| Utc::now().timestamp_millis() - oldest_ms);
            telemetry::waiting(self.label, waiting, age_ms);
            let mut wake_at = next.unwrap_or_else(|| Instant::now() + LOOK_INTERVAL);
            if !done.is_empty() {
                if store_at <= Instant::now() {
                    self.store_done(&store, &mut done).await;
                    let pause = if done.is_empty() { STORE_INTERVAL } else { STORE_RETRY };
                    store_at = Instant::now() + pause;
                }
                wake_at = wake_at.min(store_at);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.queue.changed(), if sending.len() < SENT_AT_ONCE_MAX => {}
                () = tokio::time::sleep_until(wake_at) => {}
                Some(Ok((waiting, outcome))) = sending.join_next() => {
                    is_failing = self.tell(is_failing, &outcome);
                    self.settle(waiting, outcome.is_ok(), &mut done);
                }
            }
        }
        // What was begun may be acknowledged yet, and would else be sent again.
        while let Some(Ok((waiting, outcome))) = sending.join_next().await {
            is_failing = self.tell(is_failing, &outcome);
            self.settle(waiting, outcome.is_ok(), &mut done);
        }
        self.store_done(&store, &mut done).await;
    }

    /// Takes in how an attempt went.
    fn settle(&self, waiting: Waiting, is_delivered: bool, done: &mut Vec<DeliveryRow>) {
        if is_delivered {
            self.queue.settled(&waiting);
            done.push(self.delivery(&waiting, true));
        } else {
            self.queue.put_back(waiting, jitter());
        }
    }

    /// Begins to send what is due, as far as there is room. Returns when the next is due.
    fn send_due(
        self: &Arc<Self>,
        sending: &mut JoinSet<(Waiting, Result<(), SendError>)>,
        done: &mut Vec<DeliveryRow>,
    ) -> Option<Instant> {
        while sending.len() < SENT_AT_ONCE_MAX {
            let waiting = match self.queue.take() {
                Ok(waiting) => waiting,
                Err(next) => return next,
            };
            if waiting.event.found_ms + SEND_FOR_MS < Utc::now().timestamp_millis() {
                telemetry::delivered(self.label, Delivery::GivenUp);
                events::alert_given_up(&self.name, &waiting.event.id);
                self.queue.settled(&waiting);
                done.push(self.delivery(&waiting, false));
                continue;
            }
            let target = Arc::clone(self);
            sending.spawn(async move {
                let event = &waiting.event;
                // The partition may have gone while the event waited.
                let outcome = match target.queue.holds(&waiting.source) {
                    true => target.send(&event.account, &event.id, &event.event).await,
                    false => Err(SendError("another process sends it".to_owned())),
                };
                (waiting, outcome)
            });
        }
        None
    }

    /// Counts and logs an attempt. Returns whether the target fails.
    fn tell(&self, was_failing: bool, outcome: &Result<(), SendError>) -> bool {
        match outcome {
            Ok(()) => telemetry::delivered(self.label, Delivery::Delivered),
            Err(_) => telemetry::delivered(self.label, Delivery::Failed),
        }
        match outcome {
            Err(error) if !was_failing => events::alert_not_sent(&self.name, error),
            Ok(()) if was_failing => events::alert_sent_again(&self.name),
            _ => {}
        }
        outcome.is_err()
    }

    fn delivery(&self, waiting: &Waiting, is_delivered: bool) -> DeliveryRow {
        let UnsentEvent { account, id, .. } = &*waiting.event;
        let target = self.name.clone();
        DeliveryRow { account: account.clone(), id: id.clone(), target, is_delivered }
    }

    /// Stores what became of events. What cannot be stored is kept, and sent again by the next
    /// owner if it never is.
    async fn store_done(&self, store: &Store, done: &mut Vec<DeliveryRow>) {
        if done.is_empty() {
            return;
        }
        match store.write_deliveries(done).await {
            Ok(()) => {
                self.queue.done(done.iter().map(|row| row.id.as_str()));
                done.clear();
            }
            Err(error) => events::alert_deliveries_not_stored(&self.name, &error),
        }
    }
}

/// A number by chance, at least 0 and below 1.
fn jitter() -> f64 {
    let bits = getrandom::u32().unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
