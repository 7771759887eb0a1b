//! Sends events to the topic as the producers of the contract do: keyed by account, partitioned
//! like Java clients, and stamped with the time of sending. The bytes are sent unchanged and not
//! validated.

use std::borrow::Cow;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use rdkafka::Message as _;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio_util::sync::CancellationToken;

use super::window::{Window, weight};
use crate::config;
use crate::core::decode::account_key;
use crate::core::id::IdRef;
use crate::ingest::NewestCause;
use crate::kafka::{Cause, Causes, Kind, Operation, Resource, Tokens, producer_properties};
use crate::telemetry::events;

/// Timeouts of the attempts to list the topics: a refusal is known early, and an answer may be
/// large.
const METADATA_TIMEOUTS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Pause before room in the queue, or deliveries, are looked for again.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Bytes of a paced batch: the broker keeps a batch whole as long as any of it is unread.
pub(super) const PACED_BATCH_BYTES: usize = 256 * 1024;

/// The key of an event's record: its account.
pub(super) fn key(payload: &[u8]) -> Option<Cow<'_, str>> {
    account_key(payload).map(|id| match id {
        IdRef::Number(number) => Cow::Owned(number.to_string()),
        IdRef::Text(text) => text,
    })
}

/// A producer for one topic. A separate thread serves librdkafka's callbacks (delivery reports,
/// errors, token requests), whatever the caller waits for.
pub(super) struct Sender {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
}

/// Outcome of the records.
#[derive(Debug)]
pub(super) struct SendOutcome {
    /// Records that the brokers have acknowledged.
    pub(super) delivered: u64,
    /// Records that the brokers refused or did not answer for.
    pub(super) failed: u64,
    /// One failed record: the number given to [`Sender::send`], and why.
    pub(super) first_failure: Option<(u64, String)>,
}

/// State set by the callbacks.
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<Failure>>,
    /// The client's newest error, which is more specific than a timeout.
    trouble: NewestCause,
    causes: Causes,
    tokens: Tokens,
    /// Told about each record, where the caller paces itself.
    window: Option<Arc<Window>>,
}

/// Why a record was not delivered.
#[derive(Clone, Debug)]
struct Failure {
    number: u64,
    code: Option<RDKafkaErrorCode>,
    text: String,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the Kafka client refuses its configuration: {0}; see [kafka.properties]")]
    Client(Cause),
    #[error("cannot reach Kafka at {brokers} (kafka.brokers): {reason}")]
    Unreachable { brokers: String, reason: String },
    #[error("cannot use Kafka at {brokers} (kafka.brokers): {cause}")]
    Refused { brokers: String, cause: Cause },
    #[error("{0}")]
    NoTopic(Cause),
}

impl Sender {
    /// Connects, and checks that the topic exists.
    pub(super) fn connect(kafka: &config::Kafka) -> Result<Self, ConnectError> {
        Self::connect_with(kafka, &producer_properties(kafka), None)
    }

    /// As [`Self::connect`], for a broker in this process that keeps little: batches are small and
    /// soon sent, and the window is told about each record.
    pub(super) fn connect_paced(
        kafka: &config::Kafka,
        window: Arc<Window>,
    ) -> Result<Self, ConnectError> {
        let mut properties = producer_properties(kafka);
        properties.set("linger.ms", "5").set("batch.size", PACED_BATCH_BYTES.to_string());
        Self::connect_with(kafka, &properties, Some(window))
    }

    fn connect_with(
        kafka: &config::Kafka,
        properties: &ClientConfig,
        window: Option<Arc<Window>>,
    ) -> Result<Self, ConnectError> {
        let causes = Causes::new(kafka);
        let tokens = Tokens::new(kafka.token_source.clone(), events::token_changed);
        let deliveries = Deliveries { window, ..Deliveries::new(causes.clone(), tokens) };
        let producer = properties.create_with_context(deliveries);
        let producer =
            producer.map_err(|error: KafkaError| ConnectError::Client(causes.of_error(&error)))?;
        let sender = Self { producer, topic: kafka.topic.clone() };
        let mut reason = String::new();
        for timeout in METADATA_TIMEOUTS {
            // All topics: a broker that creates topics automatically would create one that is
            // requested by name.
            match sender.producer.client().fetch_metadata(None, timeout) {
                Ok(metadata)
                    if metadata.topics().iter().any(|known| known.name() == sender.topic) =>
                {
                    return Ok(sender);
                }
                Ok(_) => {
                    return Err(ConnectError::NoTopic(
                        causes.hidden(&sender.topic, Operation::Write),
                    ));
                }
                Err(error) => {
                    let cause = sender.cause().unwrap_or_else(|| causes.of_error(&error));
                    if cause.kind == Kind::Refused {
                        return Err(ConnectError::Refused {
                            brokers: kafka.brokers.clone(),
                            cause,
                        });
                    }
                    reason = cause.to_string();
                }
            }
        }
        Err(ConnectError::Unreachable { brokers: kafka.brokers.clone(), reason })
    }

    /// Queues one record with its [`key`]; `number` names it in the report. Waits while the queue
    /// is full; returns false, with the record not queued, if `stop` is cancelled meanwhile.
    ///
    /// # Errors
    ///
    /// The producer failed for good. A record that cannot be sent is counted as failed instead.
    pub(super) fn send(
        &mut self,
        number: u64,
        payload: &[u8],
        key: Option<&str>,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        // The opaque is a machine word, large enough for any number of records.
        let opaque = usize::try_from(number).unwrap_or(usize::MAX);
        let mut record = BaseRecord::with_opaque_to(&self.topic, opaque).payload(payload);
        record.key = key.map(str::as_bytes);
        let weight = weight(payload, record.key);
        if let Some(window) = &self.deliveries().window {
            window.sent(weight);
        }
        while !stop.is_cancelled() {
            match self.producer.send(record) {
                Ok(()) => return Ok(true),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    std::thread::sleep(LOOK_INTERVAL);
                }
                Err((
                    KafkaError::MessageProduction(code @ RDKafkaErrorCode::MessageSizeTooLarge),
                    _,
                )) => {
                    self.refuse(number, code);
                    return Ok(true);
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code();
                    bail!("cannot send: {}", self.reason(code, &error.to_string()));
                }
            }
        }
        Ok(false)
    }

    /// Counts a record as failed that is too large for the client.
    pub(super) fn refuse_large(&self, number: u64) {
        self.refuse(number, RDKafkaErrorCode::MessageSizeTooLarge);
    }

    fn refuse(&self, number: u64, code: RDKafkaErrorCode) {
        let text = "larger than the producer's message.max.bytes".to_owned();
        self.deliveries().fail(Failure { number, code: Some(code), text });
    }

    /// Records acknowledged so far.
    pub(super) fn delivered(&self) -> u64 {
        self.deliveries().delivered.load(Ordering::Relaxed)
    }

    /// Waits until no record is in flight, for at most `timeout`; returns how many are.
    pub(super) fn wait(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        loop {
            let on_their_way = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
            if on_their_way == 0 || Instant::now() >= deadline {
                return on_their_way;
            }
            if self.producer.client().fatal_error().is_some() {
                // Records queued after the client has failed would wait for their timeout, which is
                // minutes.
                self.producer.purge(PurgeConfig::default().queue().inflight());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Outcome of the records so far; to be called when [`Self::wait`] returns 0.
    pub(super) fn report(&self) -> SendOutcome {
        let deliveries = self.deliveries();
        let first = lock(&deliveries.first_failure).clone();
        SendOutcome {
            delivered: deliveries.delivered.load(Ordering::Relaxed),
            failed: deliveries.failed.load(Ordering::Relaxed),
            first_failure: first
                .map(|failure| (failure.number, self.reason(failure.code, &failure.text))),
        }
    }

    /// The cause of the client's newest error. May fetch a certificate, which takes a few seconds
    /// at most.
    pub(super) fn cause(&self) -> Option<Cause> {
        let Deliveries { trouble, causes, tokens, .. } = self.deliveries();
        let (code, text) = tokens.behind(trouble.complaint()?);
        causes.look(&text);
        Some(causes.of(code, &text))
    }

    /// Why a record was not delivered.
    fn reason(&self, code: Option<RDKafkaErrorCode>, text: &str) -> String {
        let causes = &self.deliveries().causes;
        let fatal = self.producer.client().fatal_error();
        let (code, text) = match (code, &fatal) {
            // The purge of a record follows from the client's own failure.
            (
                Some(
                    RDKafkaErrorCode::PurgeQueue
                    | RDKafkaErrorCode::PurgeInflight
                    | RDKafkaErrorCode::Fatal,
                ),
                Some(fatal),
            ) => (Some(fatal.0), fatal.1.as_str()),
            _ => (code, text),
        };
        match code {
            // A producer without Write on any topic does not get the id that it needs to write each
            // record once.
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => causes.denied(Operation::Write, Resource::Topic(&self.topic)).to_string(),
            Some(RDKafkaErrorCode::MessageTimedOut) => match self.cause() {
                Some(cause) => format!("{text}: {cause}"),
                None => text.to_owned(),
            },
            code => causes.of(code, text).to_string(),
        }
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.client().context()
    }
}

impl Deliveries {
    fn new(causes: Causes, tokens: Tokens) -> Self {
        Self {
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            first_failure: Mutex::default(),
            trouble: NewestCause::default(),
            causes,
            tokens,
            window: None,
        }
    }

    fn fail(&self, failure: Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        lock(&self.first_failure).get_or_insert(failure);
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(self.tokens.next()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        events::sender_log(level, facility, &self.causes.mask(message));
        if let Some(complaint) = self.causes.complaint(facility, message) {
            self.trouble.note(Some(RDKafkaErrorCode::BrokerTransportFailure), complaint.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        events::sender_error(&self.causes.mask(&text));
        self.trouble.note(error.rdkafka_error_code(), text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                let place = (u32::try_from(message.partition()), u64::try_from(message.offset()));
                if let (Some(window), (Ok(partition), Ok(offset))) = (&self.window, place) {
                    let payload = message.payload().unwrap_or_default();
                    window.delivered(partition, offset, weight(payload, message.key()));
                }
            }
            Err((error, message)) => {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                let text = format!("{error} ({} bytes)", message.payload_len());
                self.fail(Failure { number, code: error.rdkafka_error_code(), text });
            }
        }
    }
}

// The values are whole between any two calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
