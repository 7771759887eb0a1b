//! Whether a lane makes headway, and if not, why.
//!
//! A partition is reported as halted (`/readyz`, a metric, one log line) if its log grows and it
//! gets no further, or if its log cannot be read or its end cannot be requested. It completes no
//! empty flush then: its `data_through` stands still. A pause by the worker itself (rows that wait
//! for ClickHouse, a load in flight) is no such halt; the `clickhouse` component reports it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::client_errors::Names;
use super::ends::{End, EndAnswers};
use super::halt::{Halt, HaltCause};
use super::librdkafka::PartitionEvent;
use super::messages::LaneReport;
use crate::telemetry::health::Health;
use crate::telemetry::{events, metrics};

/// A lane that gets no further for this long, although its log goes on, is reported: longer than it
/// takes to find that the rest of the log holds nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time for which a transaction may be open before a lane that waits for its end is reported:
/// longer than the usual timeout of a producer's transaction, 60 s.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(90);

/// The first pause before a partition is read again after its data could not be read; it doubles
/// with each failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// The component on `/readyz`.
const COMPONENT: &str = "headway";

/// State of a lane at a drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// The first offset that is not counted.
    pub(super) next_offset: u64,
    /// The next offset to read, an earlier one while the duplicate filter is warmed.
    pub(super) read_from: u64,
    /// The known end of its log.
    pub(super) answers: EndAnswers,
    /// False if the worker itself has stopped reading.
    pub(super) is_wanted: bool,
    /// The last fetch was answered with data or none, and not with an error.
    pub(super) is_fetched: bool,
}

impl Sight {
    fn end(&self, now: Instant) -> Option<End> {
        self.answers.end.filter(|end| end.is_known(now))
    }
}

/// Watches one lane.
#[derive(Debug)]
pub(super) struct Headway {
    next_offset: u64,
    read_from: u64,
    /// Start of the time in which nothing was counted, although the log goes on.
    uncounted_since: Instant,
    /// Start of the time in which nothing was read either.
    unread_since: Instant,
    reported: Option<(RDKafkaErrorCode, Arc<str>)>,
    /// Failed attempts to read the data at the next offset.
    failures: u32,
    retry_at: Option<Instant>,
}

impl Headway {
    pub(super) fn new(next_offset: u64, read_from: u64, now: Instant) -> Self {
        Self {
            next_offset,
            read_from,
            uncounted_since: now,
            unread_since: now,
            reported: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// The client reports an error of the partition. True if it differs from the one before. Errors
    /// after unreadable data are its consequence: librdkafka reads on somewhere beyond a damaged
    /// batch, finds garbage there, and requests an offset that no log has.
    pub(super) fn reported(&mut self, event: &PartitionEvent, now: Instant) -> bool {
        let is_retry = self.retry_at.is_none_or(|at| at <= now);
        if is_data_error(event.code) && is_retry {
            let pause = BACK_OFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX);
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now + pause);
        }
        let is_new = match &self.reported {
            Some((code, _)) if is_data_error(*code) => {
                event.code == RDKafkaErrorCode::TopicAuthorizationFailed
            }
            Some((code, _)) => *code != event.code,
            None => true,
        };
        if is_new {
            self.reported = Some((event.code, event.text.as_str().into()));
        }
        is_new
    }

    /// The data at the next offset could not be read.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// The state for a partition that is opened again: unchanged if it is at the same offset.
    pub(super) fn reopened(self, next_offset: u64, read_from: u64, now: Instant) -> Self {
        if self.next_offset == next_offset { self } else { Self::new(next_offset, read_from, now) }
    }

    /// The earliest time to read the partition again: data that could not be read is not requested
    /// without a pause.
    pub(super) fn not_before(&self, now: Instant) -> Instant {
        self.retry_at.map_or(now, |at| at.max(now))
    }

    /// Checks the lane: why it stands still, or `None`.
    pub(super) fn look(&mut self, sight: Sight, now: Instant) -> Option<Halt> {
        if sight.next_offset != self.next_offset {
            *self = Self::new(sight.next_offset, sight.read_from, now);
        } else if sight.read_from != self.read_from {
            self.read_from = sight.read_from;
            self.unread_since = now;
        }
        if sight.is_fetched && self.is_denied() {
            self.reported = None;
        }
        let offset = if self.has_failed() { sight.next_offset } else { sight.read_from };
        let halt =
            |end: Option<End>, cause| Some(Halt { offset, end: end.map(|end| end.high), cause });
        let end = sight.end(now);
        if let Some((code, text)) = self.reported.clone().filter(|_| self.is_denied()) {
            return halt(end, HaltCause::Reported { code, text });
        }
        let refusal = sight.answers.refusal;
        let known = match end {
            Some(known) if refusal != Some(RDKafkaErrorCode::TopicAuthorizationFailed) => known,
            _ => return halt(None, HaltCause::EndUnknown(refusal)),
        };
        if sight.read_from >= known.high {
            *self = Self::new(sight.next_offset, sight.read_from, now);
            return None;
        }
        if !(sight.is_wanted || self.has_failed()) {
            (self.uncounted_since, self.unread_since) = (now, now);
            return None;
        }
        let since = if self.has_failed() { self.uncounted_since } else { self.unread_since };
        let waited = now.saturating_duration_since(since);
        match self.reported.clone() {
            _ if waited < PATIENCE => None,
            Some((code, text)) => halt(end, HaltCause::Reported { code, text }),
            None if sight.read_from < known.stable => halt(end, HaltCause::Silence),
            None if waited < TRANSACTION_PATIENCE => None,
            None => halt(end, HaltCause::OpenTransaction),
        }
    }

    fn is_denied(&self) -> bool {
        matches!(self.reported, Some((RDKafkaErrorCode::TopicAuthorizationFailed, _)))
    }
}

/// True for errors in fetched data. The client fetches such data again at once, thousands of times
/// a second unless it is stopped.
pub(super) fn is_data_error(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::NotImplemented
    )
}

/// Reports which lanes stand still.
pub(super) struct Teller {
    topic: Arc<str>,
    names: Names,
    health: Arc<Health>,
    told: BTreeMap<u32, Told>,
}

/// The last report about a halted partition.
struct Told {
    cause: &'static str,
    reason: String,
    /// When its lane was last seen.
    seen_at: Instant,
}

impl Teller {
    pub(super) fn new(topic: Arc<str>, names: Names, health: Arc<Health>) -> Self {
        Self { topic, names, health, told: BTreeMap::new() }
    }

    /// Updates metrics and readiness, and logs changes.
    pub(super) fn tell(&mut self, reports: &[LaneReport], now: Instant) {
        let lanes =
            reports.iter().map(|report| (report.lane.tenure.partition, report.lane.halt.as_ref()));
        let lanes: BTreeMap<u32, Option<&Halt>> = lanes.collect();
        let mut told = std::mem::take(&mut self.told);
        let had_any = !told.is_empty();
        told.retain(|partition, told| {
            // A partition that is being opened again, possibly because of the halt, has no lane for
            // a moment.
            let goes_on = match lanes.get(partition) {
                Some(halt) => halt.is_none(),
                None => now.saturating_duration_since(told.seen_at) >= PATIENCE,
            };
            if goes_on {
                events::goes_on(*partition);
            }
            !goes_on
        });
        // Brokers that do not answer are reported once, by the task that describes the topic.
        let is_kafka_away = self.health.waiting_for().contains_key("kafka");
        for (&partition, halt) in
            lanes.iter().filter_map(|(partition, halt)| Some((partition, (*halt)?)))
        {
            let (cause, reason) = (halt.cause.name(), self.reason(partition, halt));
            let is_told = is_kafka_away && matches!(halt.cause, HaltCause::EndUnknown(_));
            if !is_told && told.get(&partition).is_none_or(|told| told.cause != cause) {
                events::halted(partition, &reason);
            }
            told.insert(partition, Told { cause, reason, seen_at: now });
        }
        if let Some(first) = told.values().next() {
            let others = match told.len() {
                1 => String::new(),
                count => format!("{count} partitions make no headway; "),
            };
            self.health.not_ready(COMPONENT, format!("{others}{}", first.reason));
        } else if had_any {
            self.health.ready(COMPONENT);
        }
        if had_any || !told.is_empty() {
            metrics::halted(told.values().map(|told| told.cause));
        }
        self.told = told;
    }

    fn reason(&self, partition: u32, halt: &Halt) -> String {
        let (topic, offset) = (&self.topic, halt.offset);
        let stands = match halt.end {
            Some(end) if end > offset => {
                format!(
                    "partition {partition} of topic {topic} makes no headway at offset {offset}, \
                    although its log goes on to {end}"
                )
            }
            _ => format!(
                "partition {partition} of topic {topic} cannot be read from offset {offset} on"
            ),
        };
        match &halt.cause {
            HaltCause::Reported { code, text } => {
                format!("{stands}: {}", self.names.explain(*code, text))
            }
            HaltCause::EndUnknown(Some(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                format!(
                    "partition {partition} of topic {topic} cannot be asked for its end: {}",
                    self.names.describe_denied()
                )
            }
            HaltCause::EndUnknown(refusal) => {
                let words = refusal.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                format!(
                    "partition {partition} of topic {topic} cannot be asked for its end: {words}"
                )
            }
            HaltCause::OpenTransaction => format!(
                "{stands}: a transaction is open from there on; end or abort it \
                (`kafka-transactions.sh find-hanging`)"
            ),
            HaltCause::Silence => format!(
                "{stands}: the brokers send nothing and say nothing; look at the leader's log, and \
                at whether the batch at this offset can be read (`kafka-console-consumer.sh \
                --partition {partition} --offset {offset}`)"
            ),
        }
    }
}
