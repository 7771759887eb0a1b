//! Descriptions of the topic by the brokers: whether it exists, its incarnation, and its number of
//! partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::client_errors::is_silence;
use super::error::IngestError;
use super::librdkafka::{
    DescribeError, EndOf, LogEnd, TopicDescription, describe_topic, list_ends,
};
use super::messages::{ConsumerHandle, ToConsumer};
use super::opening::Watermarks;
use super::retry::{Dependency, Wait};

/// Time limit for a broker to answer a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval of descriptions while nothing seems wrong.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How often a topic that does not exist at start is requested before that is reported: a new topic
/// is unknown to some brokers for a moment.
const MISSING_ATTEMPTS_MAX: u32 = 4;

/// No broker.
const NO_BROKER: i32 = -1;

/// The subscribed topic, as its brokers know it.
#[derive(Clone)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    brokers: Arc<str>,
    client: Arc<Client>,
    /// The broker that answered last.
    answering: Arc<AtomicI32>,
}

/// A broker to send requests to.
struct Found {
    broker: i32,
    /// Partitions of the topic, by the same answer.
    partitions: u32,
}

/// The answer about the end of one partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicEnd {
    pub(super) partition: u32,
    /// High watermark and last stable offset, or why they are not known.
    pub(super) end: Result<(u64, u64), RDKafkaErrorCode>,
}

/// Why the brokers gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// They know no such topic.
    #[error(
        "topic {0:?} does not exist; create it, or set kafka.topic to the one that holds the events"
    )]
    Missing(String),
    /// They did not answer, or refused to.
    #[error("Kafka at {brokers} does not answer: {reason}")]
    Failed { brokers: String, reason: String },
    /// They deny this client the request.
    #[error("topic {topic:?} on Kafka at {brokers}: {reason}")]
    Denied { topic: String, brokers: String, reason: String },
}

impl Topic {
    pub(super) fn new(name: &str, brokers: &str, client: Arc<Client>) -> Self {
        Self {
            name: name.into(),
            brokers: brokers.into(),
            client,
            answering: Arc::new(AtomicI32::new(NO_BROKER)),
        }
    }

    /// Requests the topic's id and its number of partitions. Brokers without topic ids answer an
    /// empty one; every other failure is an error, because an id wrongly taken for empty would
    /// count the topic from its beginning.
    pub(super) async fn describe(&self) -> Result<TopicDescription, AskError> {
        let topic = self.clone();
        let description = tokio::task::spawn_blocking(move || topic.describe_blocking()).await;
        description.unwrap_or_else(|error| Err(self.failed(None, error.to_string())))
    }

    /// Requests the ends of the logs of all partitions that are assigned to this client, and where
    /// their open transactions begin.
    pub(super) async fn ends(&self) -> Result<Vec<TopicEnd>, AskError> {
        let topic = self.clone();
        let ends = tokio::task::spawn_blocking(move || topic.ends_blocking()).await;
        ends.unwrap_or_else(|error| Err(self.failed(None, error.to_string())))
    }

    fn ends_blocking(&self) -> Result<Vec<TopicEnd>, AskError> {
        let refused =
            |error: KafkaError| self.failed(error.rdkafka_error_code(), error.to_string());
        let mut assigned = self.client.assignment().map_err(refused)?;
        if assigned.count() == 0 {
            return Ok(Vec::new());
        }
        assigned.set_all_offsets(Offset::End).map_err(refused)?;
        let high = self.list_ends(&assigned, LogEnd::High)?;
        let stable: BTreeMap<u32, _> =
            self.list_ends(&assigned, LogEnd::Stable)?.into_iter().collect();
        let ends = high.into_iter().map(|(partition, high)| {
            let stable = stable
                .get(&partition)
                .copied()
                .unwrap_or(Err(RDKafkaErrorCode::OffsetNotAvailable));
            TopicEnd { partition, end: high.and_then(|high| Ok((high, stable?.min(high)))) }
        });
        Ok(ends.collect())
    }

    fn list_ends(
        &self,
        partitions: &TopicPartitionList,
        end: LogEnd,
    ) -> Result<Vec<EndOf>, AskError> {
        match list_ends(&self.client, partitions, end, ANSWER_TIMEOUT) {
            Ok(ends) => Ok(ends),
            Err(DescribeError::Missing(topic)) => Err(AskError::Missing(topic)),
            // The reason for a missing leader is reported by the description of the topic, not
            // here.
            Err(DescribeError::Failed { code: code @ RDKafkaErrorCode::NoEnt, text }) => {
                Err(self.describe_blocking().err().unwrap_or_else(|| self.failed(Some(code), text)))
            }
            Err(DescribeError::Failed { code, text }) => Err(self.failed(Some(code), text)),
            Err(error @ DescribeError::Unsupported) => Err(self.failed(None, error.to_string())),
        }
    }

    pub(super) fn describe_blocking(&self) -> Result<TopicDescription, AskError> {
        let broker = match self.answering.load(Ordering::Relaxed) {
            NO_BROKER => self.find_broker()?.broker,
            broker => broker,
        };
        match describe_topic(&self.client, broker, &self.name, ANSWER_TIMEOUT) {
            Ok(description) => {
                self.answering.store(broker, Ordering::Relaxed);
                self.client.context().forget_error();
                Ok(description)
            }
            Err(DescribeError::Missing(topic)) => Err(AskError::Missing(topic)),
            Err(DescribeError::Unsupported) => Ok(TopicDescription {
                id: String::new(),
                partitions: self.find_broker()?.partitions,
            }),
            Err(DescribeError::Failed { code, text }) => {
                self.answering.store(NO_BROKER, Ordering::Relaxed);
                Err(self.failed(Some(code), text))
            }
        }
    }

    /// A broker that answers, and the metadata that brokers of any version have about the topic.
    fn find_broker(&self) -> Result<Found, AskError> {
        let metadata = self.client.fetch_metadata(Some(&self.name), ANSWER_TIMEOUT);
        let metadata =
            metadata.map_err(|error| self.failed(error.rdkafka_error_code(), error.to_string()))?;
        let topic = metadata.topics().first();
        if let Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) =
            topic.and_then(|topic| topic.error())
        {
            return Err(
                self.failed(Some(RDKafkaErrorCode::TopicAuthorizationFailed), String::new())
            );
        }
        let partitions = topic.map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(AskError::Missing(self.name.to_string()));
        }
        // The answer may come over a bootstrap connection, whose broker id is not known.
        let broker = match metadata.orig_broker_id() {
            NO_BROKER => metadata.brokers().first().map(|broker| broker.id()),
            broker => Some(broker),
        };
        let broker =
            broker.ok_or_else(|| self.failed(None, "the cluster names no brokers".to_owned()))?;
        Ok(Found { broker, partitions: u32::try_from(partitions).unwrap_or(u32::MAX) })
    }

    /// Requests the beginning and the end of a partition's log.
    pub(super) async fn watermarks(&self, partition: u32) -> Result<Watermarks, AskError> {
        let topic = self.clone();
        let marks = tokio::task::spawn_blocking(move || topic.watermarks_blocking(partition));
        marks.await.unwrap_or_else(|error| Err(self.failed(None, error.to_string())))
    }

    pub(super) fn watermarks_blocking(&self, partition: u32) -> Result<Watermarks, AskError> {
        let number =
            i32::try_from(partition).map_err(|error| self.failed(None, error.to_string()))?;
        let answer = self.client.fetch_watermarks(&self.name, number, ANSWER_TIMEOUT);
        let (low, high) = answer.map_err(|error| self.watermark_error(&error))?;
        match (u64::try_from(low), u64::try_from(high)) {
            (Ok(low), Ok(high)) => Ok(Watermarks { low, high }),
            _ => Err(self.failed(None, format!("partition {partition} has no watermarks yet"))),
        }
    }

    fn watermark_error(&self, error: &KafkaError) -> AskError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                AskError::Missing(self.name.to_string())
            }
            code => self.failed(code, error.to_string()),
        }
    }

    /// Why there is no answer. The client's newest report is more specific than "timed out".
    fn failed(&self, code: Option<RDKafkaErrorCode>, reason: String) -> AskError {
        let context = self.client.context();
        let brokers = self.brokers.to_string();
        if code == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            let reason = context.names().describe_denied();
            return AskError::Denied { topic: self.name.to_string(), brokers, reason };
        }
        let complaint = context.last_error().filter(|_| is_silence(code));
        AskError::Failed { brokers, reason: complaint.unwrap_or(reason) }
    }
}

/// Waits until the brokers answer. Fails only if they answer that there is no such topic.
pub(super) async fn wait_for_topic(
    topic: &Topic,
    kafka: &Arc<Dependency>,
) -> Result<TopicDescription, IngestError> {
    let mut wait = Wait::new(Arc::clone(kafka));
    let mut missing = 0;
    loop {
        match topic.describe().await {
            Ok(description) => {
                wait.succeeded();
                return Ok(description);
            }
            Err(AskError::Missing(name)) if missing + 1 >= MISSING_ATTEMPTS_MAX => {
                return Err(IngestError::TopicMissing {
                    topic: name,
                    brokers: topic.brokers.to_string(),
                });
            }
            Err(error) => {
                missing += u32::from(matches!(error, AskError::Missing(_)));
                wait.after(&error).await;
            }
        }
    }
}

/// Describes the topic periodically, and at once when `look` is notified, and sends the result to
/// the consumer thread.
pub(super) async fn watch_topic(
    topic: Topic,
    kafka: Arc<Dependency>,
    look: Arc<Notify>,
    consumer: ConsumerHandle,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = look.notified() => {}
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
        let description = tokio::select! {
            () = stop.cancelled() => return,
            description = kafka.until_ok(|| topic.describe()) => description,
        };
        consumer.send(ToConsumer::TopicSeen(description));
    }
}
