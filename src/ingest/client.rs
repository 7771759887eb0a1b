//! The Kafka client: its properties, and the context that turns librdkafka's callbacks into values.
//!
//! A callback only records what happened. It never waits (but for a token, 2 s at most), never calls back into the worker,
//! and never lets librdkafka decide where a partition starts.

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

use super::rebalance::GroupEvent;
use super::trouble::{Names, NewestCause};
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
        // The consumer thread polls all the time, whatever the workers do, so this only has to be legal: not below the
        // session timeout.
        .set("max.poll.interval.ms", kafka.session_timeout.max(Duration::from_secs(300)).as_millis().to_string())
        .set("queued.max.messages.kbytes", ingest.queue_kbytes_max.to_string())
        .set("enable.partition.eof", "false");
    if !kafka.properties.contains_key("heartbeat.interval.ms") {
        let heartbeat = (kafka.session_timeout / 3).min(Duration::from_secs(3));
        properties.set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
    }
    properties
}

/// The properties of a short-lived consumer that reads partitions to their ends and is no member of the group.
pub(crate) fn probe_properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = shared_properties(kafka);
    properties.set("enable.partition.eof", "true").set("queued.max.messages.kbytes", "1024");
    properties
}

fn shared_properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = ClientConfig::new();
    // What `debug` asks for comes at the lowest level.
    let is_debugged = kafka.properties.contains_key("debug");
    properties.set_log_level(if is_debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
    // Defaults of ours that a user may change, but for the first, which validation keeps: a damaged record may still be JSON.
    properties
        .set("check.crcs", "true")
        .set("client.id", "seatmeter")
        .set("fetch.queue.backoff.ms", "50")
        // Of each partition in one answer. A queue is looked at before a fetch and not after, so that what one fetch brings
        // comes on top of what the queue may hold, unpacked: 32 KiB of zstd can be more than 100 MiB. A larger batch comes
        // whole nevertheless.
        .set("fetch.message.max.bytes", "32768")
        // A batch is unpacked only if what it holds is not larger than this: as much as lz4, snappy and gzip can make of
        // 1 MiB, which is the largest batch that a broker takes by default.
        .set("receive.message.max.bytes", "1100000000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // By default a broker that is back after a while is not tried again for up to 10 s.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true");
    // Validation has refused whatever would break the counts; what is set after these is overruled in any case.
    for (name, value) in kafka.client_properties() {
        properties.set(name, value.expose_secret());
    }
    // Where to start is our decision: without this, a lost offset would silently become the end of the log.
    properties
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", &kafka.group_id);
    properties
}

/// What librdkafka's callbacks have said since the last look.
#[derive(Debug)]
pub(super) struct Context {
    events: Mutex<VecDeque<GroupEvent>>,
    trouble: NewestCause,
    /// Why this client cannot be a member of its group.
    group_denial: Mutex<Option<String>>,
    names: Names,
    /// Of OAUTHBEARER.
    tokens: Tokens,
    /// Rebalances are answered at once: nothing is left to drain.
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

    /// What a remedy names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Why this client cannot be a member of its group, since it has tried last.
    pub(super) fn group_denial(&self) -> Option<String> {
        lock(&self.group_denial).clone()
    }

    /// It is a member now.
    pub(super) fn joined(&self) {
        *lock(&self.group_denial) = None;
    }

    /// The next rebalance that is to be answered.
    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        lock(&self.events).pop_front()
    }

    /// The newest cause that the client has complained about, for a message that says why something is waited for.
    pub(super) fn last_error(&self) -> Option<String> {
        // Explained now: why a certificate is not accepted is found out after the complaint.
        let (code, text) = self.complaint()?;
        Some(code.map_or_else(|| text.clone(), |code| self.names.explain(code, &text)))
    }

    /// The newest cause in librdkafka's words, or in ours.
    pub(super) fn complaint(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        Some(self.tokens.behind(self.trouble.complaint()?))
    }

    /// The brokers have answered: older complaints are history.
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

// The values are whole between any two calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.tokens.next()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let causes = self.names.causes();
        events::librdkafka(level, facility, &causes.mask(message));
        // What ends a connection is told here alone where librdkafka takes it for nothing unusual.
        if let Some(complaint) = causes.complaint(facility, message) {
            self.trouble.note(Some(RDKafkaErrorCode::BrokerTransportFailure), complaint.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // Each broken connection is told too; as long as one broker answers it is no one's concern.
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
    fn rebalance(&self, client: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let is_assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // librdkafka takes any answer as "nothing is assigned" while it closes, but it waits for one.
            let answered = if is_assign { assign(client, partitions) } else { unassign(client, partitions) };
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

/// True for what keeps a client out of its group, whatever else it may do.
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
    partitions.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}

/// Gives the client these partitions, in the way that the group's protocol asks for.
pub(super) fn assign(client: &Client, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.assign(partitions),
    }
}

/// Takes these partitions from the client, or all where the group's protocol is an eager one.
pub(super) fn unassign(client: &Client, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative if partitions.count() == 0 => Ok(()),
        RebalanceProtocol::Cooperative => client.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
    }
}

/// True where the group moves partitions one by one, so that those that stay are not disturbed.
pub(super) fn is_cooperative(client: &Client) -> bool {
    matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// True for an error after which the client can do nothing any more.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}
