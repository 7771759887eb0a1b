//! A trial of what a worker does with Kafka: it describes the topic, looks up its group and fetches
//! a record. Nothing is counted or committed, and the group is not joined, so that its members are
//! not disturbed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{consumer_properties, probe_properties};
use super::librdkafka::{
    DescribeError, Message, Queue, TopicDescription, forward_partition, may_read_with_group,
};
use super::opening::Watermarks;
use super::polled_client::PolledClient;
use super::seek::partition_list;
use super::topic::{AskError, Topic};
use crate::config::{Config, Kafka};
use crate::kafka::{Cause, Causes, Kind, Operation, Resource};

/// Time limit for the brokers in each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for a broker to describe the group.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a missing topic is requested again, and the pause between.
const MISSING_PAUSES: u32 = 3;
const MISSING_PAUSE: Duration = Duration::from_millis(300);

/// Partitions that are read from, at most, until one has a record.
const PARTITIONS_ASKED_MAX: u32 = 16;

/// Longest wait of one poll of the queue.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It works.
    Works(String),
    /// The brokers or the client refuse: a worker would fail too.
    Refused(String),
    /// No broker has answered.
    Unanswered(String),
}

/// Tries the steps of a worker; steps that depend on a failed one are skipped. Blocks.
pub fn try_access(config: &Config) -> Vec<Attempt> {
    let trial = match Trial::new(&config.kafka, &consumer_properties(&config.kafka, &config.ingest))
    {
        Ok(trial) => trial,
        Err(refused) => return vec![refused],
    };
    let description = match trial.describe() {
        Ok(description) => description,
        Err(attempt) => return vec![attempt],
    };
    vec![trial.read(&description), trial.look_group_up()]
}

/// A trial by a client of its own.
struct Trial<'c> {
    kafka: &'c Kafka,
    causes: Causes,
    client: PolledClient,
}

impl<'c> Trial<'c> {
    fn new(kafka: &'c Kafka, properties: &ClientConfig) -> Result<Self, Attempt> {
        let causes = Causes::new(kafka);
        let client = PolledClient::new(kafka, properties).map_err(|error| {
            let cause = causes.of_error(&error);
            Attempt::Refused(format!(
                "the Kafka client refuses its configuration: {cause}; see [kafka.properties]"
            ))
        })?;
        Ok(Self { kafka, causes, client })
    }

    fn describe(&self) -> Result<TopicDescription, Attempt> {
        let topic =
            Topic::new(&self.kafka.topic, &self.kafka.brokers, Arc::clone(&self.client.client));
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut missing = 0;
        loop {
            let error = match topic.describe_blocking() {
                Ok(description) => return Ok(description),
                Err(error) => error,
            };
            match error {
                // A topic that was just created is unknown to some brokers for a moment.
                AskError::Missing(_) if missing < MISSING_PAUSES => {
                    missing += 1;
                    std::thread::sleep(MISSING_PAUSE);
                }
                AskError::Missing(_) => return Err(Attempt::Refused(error.to_string())),
                AskError::Denied { .. } => {
                    let cause = self.causes.hidden(&self.kafka.topic, Operation::Read);
                    return Err(Attempt::Refused(cause.to_string()));
                }
                AskError::Failed { .. } => {
                    let cause = self.complaint();
                    if cause.as_ref().is_some_and(|cause| cause.kind == Kind::Refused)
                        || Instant::now() >= deadline
                    {
                        return Err(self.unreachable(cause.as_ref(), &error));
                    }
                }
            }
        }
    }

    /// Fetches a record, or finds that there is none.
    fn read(&self, description: &TopicDescription) -> Attempt {
        let topic =
            Topic::new(&self.kafka.topic, &self.kafka.brokers, Arc::clone(&self.client.client));
        let mut chosen = None;
        for partition in 0..description.partitions.clamp(1, PARTITIONS_ASKED_MAX) {
            match topic.watermarks_blocking(partition) {
                Ok(marks) if marks.low < marks.high => {
                    chosen = Some((partition, marks));
                    break;
                }
                Ok(marks) => chosen = chosen.or(Some((partition, marks))),
                Err(AskError::Denied { .. }) => return self.denied_read(),
                Err(error) => return self.unreachable(self.complaint().as_ref(), &error),
            }
        }
        let Some((partition, marks)) = chosen else { return self.denied_read() };
        match Trial::new(self.kafka, &probe_properties(self.kafka)) {
            Ok(probe) => probe
                .fetch(partition, marks)
                .unwrap_or_else(|error| Attempt::Refused(error.to_string())),
            Err(refused) => refused,
        }
    }

    fn fetch(&self, partition: u32, marks: Watermarks) -> Result<Attempt, KafkaError> {
        let topic = &self.kafka.topic;
        let mut queue = Queue::new(Arc::clone(&self.client.client));
        forward_partition(&self.client.client, topic, partition, &queue.target())
            .map_err(|error| KafkaError::Seek(error.to_string()))?;
        self.client.client.assign(&partition_list(topic, [(partition, marks.low)])?)?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut attempt = None;
        while attempt.is_none() && Instant::now() < deadline {
            attempt = queue.take(1, POLL_WAIT).messages().next().map(|message| match message {
                Message::Record { .. } => Attempt::Works(format!("topic {topic:?} can be read")),
                Message::Event(event) => match event.code {
                    RDKafkaErrorCode::PartitionEOF => Attempt::Works(format!(
                        "topic {topic:?} can be read; partition {partition} holds no records"
                    )),
                    RDKafkaErrorCode::TopicAuthorizationFailed => self.denied_read(),
                    code => Attempt::Refused(format!(
                        "topic {topic:?}: {}",
                        self.causes.of(Some(code), &event.text)
                    )),
                },
            });
        }
        self.client.client.unassign()?;
        let seconds = STEP_TIMEOUT.as_secs();
        let silence = format!(
            "topic {topic:?}: no answer to a fetch from partition {partition} within {seconds} s"
        );
        Ok(attempt.unwrap_or_else(|| self.unreachable(self.complaint().as_ref(), &silence)))
    }

    /// Describes the group without being a member.
    fn look_group_up(&self) -> Attempt {
        let group = &self.kafka.group_id;
        let denied = || {
            Attempt::Refused(
                self.causes.denied(Operation::Read, Resource::Group(group)).to_string(),
            )
        };
        match may_read_with_group(&self.client.client, group, ANSWER_TIMEOUT) {
            Ok(Some(true)) => Attempt::Works(format!("group {group:?} can be joined")),
            Ok(Some(false))
            | Err(DescribeError::Failed {
                code: RDKafkaErrorCode::GroupAuthorizationFailed, ..
            }) => denied(),
            Ok(None) => Attempt::Unanswered(format!(
                "group {group:?}: the brokers do not tell whether it can be joined"
            )),
            Err(error) => Attempt::Unanswered(format!(
                "group {group:?}: {}",
                self.causes.mask(&error.to_string())
            )),
        }
    }

    fn denied_read(&self) -> Attempt {
        Attempt::Refused(
            self.causes.denied(Operation::Read, Resource::Topic(&self.kafka.topic)).to_string(),
        )
    }

    /// The newest cause that the client reported. May fetch a certificate, which takes a few
    /// seconds at most.
    fn complaint(&self) -> Option<Cause> {
        let (code, text) = self.client.client.context().complaint()?;
        self.causes.look(&text);
        Some(self.causes.of(code, &text))
    }

    /// No answer came, possibly for this cause.
    fn unreachable(&self, cause: Option<&Cause>, otherwise: &dyn fmt::Display) -> Attempt {
        let brokers = &self.kafka.brokers;
        match cause {
            Some(cause) if cause.kind == Kind::Refused => {
                Attempt::Refused(format!("cannot use Kafka at {brokers} (kafka.brokers): {cause}"))
            }
            Some(cause) => Attempt::Unanswered(format!(
                "cannot reach Kafka at {brokers} (kafka.brokers): {cause}"
            )),
            None => Attempt::Unanswered(self.causes.mask(&otherwise.to_string())),
        }
    }
}
