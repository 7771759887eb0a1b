//! The Kafka client: its properties, and the context that turns librdkafka's callbacks into values.
//!
//! A callback only records what happened. It never waits (but for a token, 2 s at most), never
//! calls back into the worker, and never lets librdkafka decide where a partition starts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use secrecy::ExposeSecret;

use super::client_errors::{Names, NewestCause};
use super::rebalance::GroupEvent;
use crate::config;
use crate::kafka::Tokens;
use crate::telemetry::{events, metrics};

/// A consumer with our context.
pub(super) type Client = BaseConsumer<Context>;

/// The properties of the group's consumer.
pub(super) fn consumer_properties(kafka: &config::Kafka, ingest: &config::Ingest) -> ClientConfig {
    let mut properties = shared_properties(kafka);
    properties
        .set("session.timeout.ms", kafka.session_timeout.as_millis().to_string())
        .set("partition.assignment.strategy", &kafka.assignor)
        // The consumer thread polls continuously, independent of the workers, so this only has to
        // be valid: not below the session timeout.
        .set(
            "max.poll.interval.ms",
            kafka.session_timeout.max(Duration::from_secs(300)).as_millis().to_string(),
        )
        .set("queued.max.messages.kbytes", ingest.queue_kbytes_max.to_string())
        .set("enable.partition.eof", "false");
    if !kafka.properties.contains_key("heartbeat.interval.ms") {
        let heartbeat = (kafka.session_timeout / 3).min(Duration::from_secs(3));
        properties.set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
    }
    properties
}

/// The properties of a short-lived consumer that reads partitions to their ends, outside the group.
pub(crate) fn probe_properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = shared_properties(kafka);
    properties.set("enable.partition.eof", "true").set("queued.max.messages.kbytes", "1024");
    properties
}

fn shared_properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = ClientConfig::new();
    // Messages of `debug` have the lowest level.
    let is_debugged = kafka.properties.contains_key("debug");
    properties.set_log_level(if is_debugged {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    });
    // Our defaults, which a user may change, except the first, which validation fixes: a damaged
    // record may still be JSON.
    properties
        .set("check.crcs", "true")
        .set("client.id", "seatmeter")
        // librdkafka leaves a partition whose queue is full out of a fetch, and a fetch of nothing
        // but idle partitions waits this long at the broker: by default half a second, in which a
        // backlog is not read. What an idle worker costs for it is in benches/README.md.
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        // Bytes of each partition in one answer. librdkafka checks the queue's bound before a fetch
        // and not after it, so the unpacked result of one fetch comes on top of the bound: 32 KiB
        // of zstd can be more than 100 MiB. A larger batch is still returned whole.
        .set("fetch.message.max.bytes", "32768")
        // A batch is unpacked only up to this size: the most that lz4, snappy and gzip can make of
        // 1 MiB, the largest batch that a broker accepts by default.
        .set("receive.message.max.bytes", "1100000000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // By default, a broker that returns after a while is not retried for up to 10 s.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true");
    // Validation has refused properties that would break the counts; the ones below override any
    // value.
    for (name, value) in kafka.client_properties() {
        properties.set(name, value.expose_secret());
    }
    // We decide where to start: without this, a lost offset would silently become the end of the
    // log.
    properties
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", &kafka.group_id);
    properties
}

/// Reports of librdkafka's callbacks since the last call.
#[derive(Debug)]
pub(super) struct Context {
    events: Mutex<VecDeque<GroupEvent>>,
    trouble: NewestCause,
    /// Why this client cannot be a member of its group.
    group_denial: Mutex<Option<String>>,
    names: Names,
    /// Of OAUTHBEARER.
    tokens: Tokens,
    /// Rebalances are answered within the callback: nothing is left to drain.
    closing: AtomicBool,
}

impl Context {
    /// The context of a client of this topic and group.
    pub(super) fn of(kafka: &config::Kafka) -> Self {
        Self {
            events: Mutex::default(),
            trouble: NewestCause::default(),
            group_denial: Mutex::default(),
            names: Names::of(kafka),
            tokens: Tokens::new(kafka.token_source.clone(), events::token_changed),
            closing: AtomicBool::default(),
        }
    }

    /// Names for the remedies in messages.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Why this client cannot be a member of its group, by its last attempt.
    pub(super) fn group_denial(&self) -> Option<String> {
        lock(&self.group_denial).clone()
    }

    /// The client is a member now.
    pub(super) fn joined(&self) {
        *lock(&self.group_denial) = None;
    }

    /// The next rebalance to answer.
    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        lock(&self.events).pop_front()
    }

    /// The newest cause that the client reported, for a message that explains a wait.
    pub(super) fn last_error(&self) -> Option<String> {
        // Explained now: the reason for a refused certificate is found only after the report.
        let (code, text) = self.complaint()?;
        Some(code.map_or_else(|| text.clone(), |code| self.names.explain(code, &text)))
    }

    /// The newest cause in librdkafka's words, or in ours.
    pub(super) fn complaint(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        Some(self.tokens.behind(self.trouble.complaint()?))
    }

    /// The brokers have answered: clears older reports.
    pub(super) fn forget_error(&self) {
        let before = self.trouble.name();
        if self.trouble.take().is_some() {
            metrics::kafka_trouble(before, None);
        }
    }

    /// From now on rebalances are answered within the callback, so that closing the consumer ends.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

// The values are consistent between calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.tokens.next()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let causes = self.names.causes();
        events::librdkafka(level, facility, &causes.mask(message));
        // Where librdkafka considers the end of a connection normal, the cause is reported only
        // here.
        if let Some(complaint) = causes.complaint(facility, message) {
            self.trouble.note(Some(RDKafkaErrorCode::BrokerTransportFailure), complaint.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // Each broken connection is reported too; that does not matter as long as one broker
        // answers.
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        let causes = self.names.causes();
        events::client_error(code, &causes.mask(&text));
        if let Some(code) = code.filter(|code| is_about_group(*code)) {
            *lock(&self.group_denial) = Some(self.names.explain(code, &text));
            return;
        }
        causes.look_aside(&text);
        let before = self.trouble.name();
        self.trouble.note(code, text);
        metrics::kafka_trouble(before, self.trouble.name());
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // While closing, librdkafka treats any answer as "nothing is assigned", but it waits
            // for one.
            let answered =
                if is_assign { assign(client, partitions) } else { unassign(client, partitions) };
            if let Err(error) = answered {
                events::rebalance_failed(&error.to_string());
            }
            return;
        }
        let numbers = partition_numbers(partitions);
        let event = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => GroupEvent::Assigned(numbers),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if !client.assignment_lost() => {
                GroupEvent::Revoked(numbers)
            }
            _ => GroupEvent::Lost(numbers),
        };
        lock(&self.events).push_back(event);
    }
}

/// True for errors that keep a client out of its group.
fn is_about_group(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::InvalidGroupId
            | RDKafkaErrorCode::GroupMaxSizeReached
    )
}

/// The partition numbers of a list; all of them are of the one topic that is subscribed.
fn partition_numbers(partitions: &TopicPartitionList) -> Vec<u32> {
    partitions
        .elements()
        .iter()
        .filter_map(|element| u32::try_from(element.partition()).ok())
        .collect()
}

/// Assigns these partitions to the client, by the group's protocol.
pub(super) fn assign(client: &Client, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.assign(partitions),
    }
}

/// Unassigns these partitions from the client, or all if the group's protocol is eager.
pub(super) fn unassign(client: &Client, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative if partitions.count() == 0 => Ok(()),
        RebalanceProtocol::Cooperative => client.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
    }
}

/// True if the group's protocol is cooperative: partitions that stay are not interrupted.
pub(super) fn is_cooperative(client: &Client) -> bool {
    matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// True for an error after which the client is unusable.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}
