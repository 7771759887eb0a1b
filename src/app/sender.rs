//! Sends events to the topic as the producers of the contract do: keyed by account, placed as Java clients place them, and
//! stamped with the time of sending. The bytes are sent unchanged, and nothing here judges them.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::core::decode::account_key;
use crate::core::id::IdRef;
use crate::ingest::NewestCause;

/// How long the brokers may take to say which topics there are.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for room in the queue before looking whether to stop.
const ROOM_TIMEOUT: Duration = Duration::from_millis(100);

/// Delivery reports are taken in after this many records.
const POLL_RECORDS: u64 = 256;

/// A producer for the one topic.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
    sent: u64,
}

/// What became of the records.
#[derive(Debug)]
pub(super) struct Report {
    /// Records that the brokers have acknowledged.
    pub(super) delivered: u64,
    /// Records that they refused, or did not answer for.
    pub(super) failed: u64,
    /// One of the failed ones: the number given to [`Sender::send`], and why.
    pub(super) first_failure: Option<(u64, String)>,
}

/// What the callbacks have told.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<(u64, String)>>,
    /// The client's last complaint, which says more than that something timed out.
    trouble: NewestCause,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the Kafka client refuses its configuration: {0}; see [kafka.properties]")]
    Client(#[from] KafkaError),
    #[error("cannot reach Kafka at {brokers} (kafka.brokers): {reason}")]
    Unreachable { brokers: String, reason: String },
    #[error("Kafka at {brokers} has no topic {topic:?} that this client may see; create it, or set kafka.topic")]
    NoTopic { brokers: String, topic: String },
}

impl Sender {
    /// Connects, and makes sure that the topic is there.
    pub(super) fn connect(kafka: &config::Kafka) -> Result<Self, ConnectError> {
        let producer: BaseProducer<Deliveries> = properties(kafka).create_with_context(Deliveries::default())?;
        let brokers = kafka.brokers.clone();
        let topic = kafka.topic.clone();
        // All topics: a broker that creates topics on demand would do so for a topic that is asked for by name.
        match producer.client().fetch_metadata(None, METADATA_TIMEOUT) {
            Ok(metadata) if metadata.topics().iter().any(|known| known.name() == topic) => {
                Ok(Self { producer, topic, sent: 0 })
            }
            Ok(_) => Err(ConnectError::NoTopic { brokers, topic }),
            Err(error) => {
                producer.poll(ROOM_TIMEOUT);
                let reason = producer.context().trouble.take().unwrap_or_else(|| error.to_string());
                Err(ConnectError::Unreachable { brokers, reason })
            }
        }
    }

    /// Queues one record; `number` names it in the report. Waits while the queue is full; returns false, with the record
    /// not queued, where it was told to stop meanwhile.
    ///
    /// # Errors
    ///
    /// Where the producer is beyond repair. A record that cannot be sent is counted as failed instead.
    pub(super) fn send(&mut self, number: u64, payload: &[u8], stop: &CancellationToken) -> anyhow::Result<bool> {
        let id = account_key(payload);
        let key: Option<Cow<'_, str>> = id.map(|id| match id {
            IdRef::Number(number) => Cow::Owned(number.to_string()),
            IdRef::Text(text) => text,
        });
        // The opaque is a machine word, which holds every number of records that was ever sent.
        let opaque = usize::try_from(number).unwrap_or(usize::MAX);
        let mut record = BaseRecord::with_opaque_to(&self.topic, opaque).payload(payload);
        record.key = key.as_ref().map(|key| key.as_bytes());
        while !stop.is_cancelled() {
            match self.producer.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    if self.sent.is_multiple_of(POLL_RECORDS) {
                        self.producer.poll(Duration::ZERO);
                    }
                    return Ok(true);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.producer.poll(ROOM_TIMEOUT);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    self.producer.context().fail(number, "larger than the producer's message.max.bytes".to_owned());
                    return Ok(true);
                }
                Err((error, _)) => bail!("cannot send record {number}: {error}"),
            }
        }
        Ok(false)
    }

    /// Records acknowledged so far.
    pub(super) fn delivered(&self) -> u64 {
        self.producer.context().delivered.load(Ordering::Relaxed)
    }

    /// Takes in delivery reports, for as long as `timeout` if there are none; returns how many records are on their way.
    pub(super) fn poll(&self, timeout: Duration) -> usize {
        self.producer.poll(timeout);
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// What became of the records so far; call it when [`Self::poll`] returns 0.
    pub(super) fn report(&self) -> Report {
        let deliveries = self.producer.context();
        Report {
            delivered: deliveries.delivered.load(Ordering::Relaxed),
            failed: deliveries.failed.load(Ordering::Relaxed),
            first_failure: lock(&deliveries.first_failure).clone(),
        }
    }

    /// The client's last complaint since the last call.
    pub(super) fn last_error(&self) -> Option<String> {
        self.producer.context().trouble.take()
    }
}

/// The client's properties.
pub(super) fn properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = ClientConfig::new();
    properties.set_log_level(RDKafkaLogLevel::Warning);
    // Defaults of ours that a user may change.
    properties
        .set("client.id", "seatmeter")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.kbytes", "65536")
        // The broker has the last word on what is too large.
        .set("message.max.bytes", "16777216");
    for (name, value) in &kafka.properties {
        properties.set(name, value.expose_secret());
    }
    properties
        .set("bootstrap.servers", &kafka.brokers)
        .set("partitioner", "murmur2_random")
        // A retry must neither repeat nor reorder an account's events.
        .set("enable.idempotence", "true");
    properties
}

impl Deliveries {
    fn fail(&self, number: u64, reason: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        lock(&self.first_failure).get_or_insert((number, reason));
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        tracing::debug!(target: "librdkafka", error = text);
        self.trouble.note(error.rdkafka_error_code(), text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                self.fail(number, format!("{error} ({} bytes)", message.payload_len()));
            }
        }
    }
}

// The values are whole between any two calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
