//! Whether a lane makes headway, and why not.
//!
//! A partition whose log goes on and that gets no further, or whose log cannot be read or asked for its end, is told of
//! (`/readyz`, a metric, one log line), and completes no empty flush: its `data_through` holds still. What the worker does
//! not read of its own accord (rows that wait for ClickHouse, a load that is under way) is no such halt; ClickHouse's own
//! component tells of those.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::ends::{Answers, End};
use super::librdkafka::PartitionEvent;
use super::messages::LaneReport;
use super::trouble::{Names, name_of};
use crate::telemetry::health::Health;
use crate::telemetry::{events, metrics};

/// A lane that gets no further for this long, although its log goes on, is told of: longer than it takes to find out that
/// the rest of the log holds nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a transaction may be open before a lane that waits for its end is told of: longer than the usual time-out of
/// a producer's transaction, 60 s.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(90);

/// The first pause before a partition is read again after its data could not be read; it doubles with each failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// The component on `/readyz`.
const COMPONENT: &str = "headway";

/// Why a lane stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halt {
    /// The offset that is to be read next.
    pub(super) offset: u64,
    /// Where its log ends, as far as that is known.
    pub(super) end: Option<u64>,
    pub(super) cause: HaltCause,
}

/// What keeps a lane from headway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HaltCause {
    /// The client reported this about the partition, and it has got no further since.
    Reported { code: RDKafkaErrorCode, text: Arc<str> },
    /// The log's end cannot be asked for; the code is the last refusal, where there is one.
    EndUnknown(Option<RDKafkaErrorCode>),
    /// A transaction is open from the lane's next offset on.
    OpenTransaction,
    /// Nothing comes, and nothing is said about it.
    Silence,
}

/// What a lane looks like at a drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// The offset that is to be read next.
    pub(super) position: u64,
    /// What is known of its log's end.
    pub(super) answers: Answers,
    /// False where the worker does not read of its own accord.
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
    position: u64,
    /// Since when it stands there, although its log goes on.
    since: Instant,
    reported: Option<(RDKafkaErrorCode, Arc<str>)>,
    /// Times that the data at this position could not be read.
    failures: u32,
    retry_at: Option<Instant>,
}

impl Headway {
    pub(super) fn new(position: u64, now: Instant) -> Self {
        Self { position, since: now, reported: None, failures: 0, retry_at: None }
    }

    /// The client reports something about the partition. True where it is not what it reported last.
    pub(super) fn reported(&mut self, event: &PartitionEvent, now: Instant) -> bool {
        if is_data_error(event.code) {
            let pause = BACK_OFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX);
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now + pause);
        }
        let is_new = self.reported.as_ref().is_none_or(|(code, _)| *code != event.code);
        if is_new {
            self.reported = Some((event.code, event.text.as_str().into()));
        }
        is_new
    }

    /// The earliest time to read the partition again: data that could not be read is not asked for without a pause.
    pub(super) fn not_before(&self, now: Instant) -> Instant {
        self.retry_at.map_or(now, |at| at.max(now))
    }

    /// What a look at the lane shows: why it stands still, or nothing.
    pub(super) fn look(&mut self, sight: Sight, now: Instant) -> Option<Halt> {
        if sight.position != self.position {
            *self = Self::new(sight.position, now);
        }
        if sight.is_fetched && self.is_denied() {
            self.reported = None;
        }
        let halt = |end: Option<End>, cause| Some(Halt { offset: sight.position, end: end.map(|end| end.high), cause });
        let end = sight.end(now);
        if let Some((code, text)) = self.reported.clone().filter(|_| self.is_denied()) {
            return halt(end, HaltCause::Reported { code, text });
        }
        let refusal = sight.answers.refusal;
        let known = match end {
            Some(known) if refusal != Some(RDKafkaErrorCode::TopicAuthorizationFailed) => known,
            _ => return halt(None, HaltCause::EndUnknown(refusal)),
        };
        if !sight.is_wanted || sight.position >= known.high {
            self.since = now;
            return None;
        }
        let waited = now.saturating_duration_since(self.since);
        match self.reported.clone() {
            _ if waited < PATIENCE => None,
            Some((code, text)) => halt(end, HaltCause::Reported { code, text }),
            None if sight.position < known.stable => halt(end, HaltCause::Silence),
            None if waited < TRANSACTION_PATIENCE => None,
            None => halt(end, HaltCause::OpenTransaction),
        }
    }

    fn is_denied(&self) -> bool {
        matches!(self.reported, Some((RDKafkaErrorCode::TopicAuthorizationFailed, _)))
    }
}

/// True for what the client says about data that it has fetched. It fetches such data again at once, thousands of times a
/// second where nobody stops it.
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

impl HaltCause {
    /// Its name, for a metric.
    fn name(&self) -> &'static str {
        match self {
            Self::Reported { code, .. } => name_of(Some(*code)),
            Self::EndUnknown(Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed)) => name_of(Some(*code)),
            Self::EndUnknown(_) => "end_unknown",
            Self::OpenTransaction => "open_transaction",
            Self::Silence => "silence",
        }
    }
}

/// Tells which lanes stand still.
pub(super) struct Teller {
    topic: Arc<str>,
    names: Names,
    health: Arc<Health>,
    /// The cause that was told last of each partition.
    told: BTreeMap<u32, &'static str>,
}

impl Teller {
    pub(super) fn new(topic: Arc<str>, names: Names, health: Arc<Health>) -> Self {
        Self { topic, names, health, told: BTreeMap::new() }
    }

    /// Tells metrics, readiness and, where it is new, the log.
    pub(super) fn tell(&mut self, reports: &[LaneReport]) {
        let halted =
            reports.iter().filter_map(|report| Some((report.lane.tenure.partition, report.lane.halt.as_ref()?)));
        let halted: BTreeMap<u32, &Halt> = halted.collect();
        let causes: BTreeMap<u32, &'static str> =
            halted.iter().map(|(&partition, halt)| (partition, halt.cause.name())).collect();
        if halted.is_empty() {
            if !self.told.is_empty() {
                self.health.ready(COMPONENT);
            }
        } else {
            let reasons: Vec<String> = halted.iter().map(|(&partition, halt)| self.reason(partition, halt)).collect();
            let others = match reasons.len() {
                1 => String::new(),
                count => format!("{count} of {} assigned partitions make no headway; ", reports.len()),
            };
            self.health.not_ready(COMPONENT, format!("{others}{}", reasons[0]));
            for ((partition, halt), reason) in halted.iter().zip(&reasons) {
                if self.told.get(partition) != Some(&halt.cause.name()) {
                    events::halted(*partition, reason);
                }
            }
        }
        for partition in self.told.keys().filter(|partition| !halted.contains_key(partition)) {
            events::goes_on(*partition);
        }
        if causes != self.told {
            metrics::halted(causes.values().copied());
        }
        self.told = causes;
    }

    fn reason(&self, partition: u32, halt: &Halt) -> String {
        let (topic, offset) = (&self.topic, halt.offset);
        let stands = match halt.end {
            Some(end) if end > offset => {
                format!(
                    "partition {partition} of topic {topic} makes no headway at offset {offset}, although its log goes on to {end}"
                )
            }
            _ => format!("partition {partition} of topic {topic} cannot be read from offset {offset} on"),
        };
        match &halt.cause {
            HaltCause::Reported { code, text } => format!("{stands}: {}", self.names.explain(*code, text)),
            HaltCause::EndUnknown(Some(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                format!(
                    "partition {partition} of topic {topic} cannot be asked for its end: {}",
                    self.names.describe_denied()
                )
            }
            HaltCause::EndUnknown(refusal) => {
                let words = refusal.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                format!("partition {partition} of topic {topic} cannot be asked for its end: {words}")
            }
            HaltCause::OpenTransaction => format!(
                "{stands}: a transaction is open from there on; end or abort it (`kafka-transactions.sh find-hanging`)"
            ),
            HaltCause::Silence => format!(
                "{stands}: the brokers send nothing and say nothing; look at the leader's log, and at whether the batch at \
                 this offset can be read (`kafka-console-consumer.sh --partition {partition} --offset {offset}`)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of a log, at seconds since its start.
    struct Lane {
        start: Instant,
        headway: Headway,
    }

    impl Lane {
        fn new() -> Self {
            let start = Instant::now();
            Self { start, headway: Headway::new(10, start) }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// What a look shows where the log was asked for its end just now.
        fn look(&mut self, seconds: u64, position: u64, high: u64, stable: u64) -> Option<HaltCause> {
            let now = self.at(seconds);
            let end = Some(End { high, stable, asked_at: now });
            let answers = Answers { end, refusal: None };
            self.headway
                .look(Sight { position, answers, is_wanted: true, is_fetched: true }, now)
                .map(|halt| halt.cause)
        }

        fn report(&mut self, seconds: u64, code: RDKafkaErrorCode) -> bool {
            let event = PartitionEvent { partition: 0, code, offset: None, text: "words".to_owned() };
            let now = self.at(seconds);
            self.headway.reported(&event, now)
        }
    }

    #[test]
    fn a_lane_halts_only_where_its_log_goes_on_and_it_stays() {
        let mut lane = Lane::new();
        assert_eq!(lane.look(0, 10, 10, 10), None);
        assert_eq!(lane.look(3_600, 10, 10, 10), None, "idle for an hour");
        assert_eq!(lane.look(3_601, 10, 11, 11), None, "a record was produced");
        assert_eq!(lane.look(3_614, 10, 11, 11), None);
        assert_eq!(lane.look(3_616, 10, 12, 12), Some(HaltCause::Silence));
        assert_eq!(lane.look(3_617, 11, 12, 12), None, "it goes on");
        assert_eq!(lane.look(3_631, 11, 12, 12), None);
        assert_eq!(lane.look(3_633, 11, 12, 12), Some(HaltCause::Silence));
    }

    #[test]
    fn an_open_transaction_is_waited_for_longer() {
        let mut lane = Lane::new();
        assert_eq!(lane.look(0, 10, 10, 10), None);
        assert_eq!(lane.look(80, 10, 30, 10), None);
        assert_eq!(lane.look(91, 10, 30, 10), Some(HaltCause::OpenTransaction));
    }

    #[test]
    fn what_was_reported_last_is_the_cause_until_the_lane_goes_on() {
        let mut lane = Lane::new();
        assert!(lane.report(0, RDKafkaErrorCode::BadMessage));
        assert!(!lane.report(1, RDKafkaErrorCode::BadMessage), "told already");
        assert_eq!(lane.look(2, 10, 30, 30), None);
        let cause = lane.look(16, 10, 30, 30);
        assert!(matches!(cause, Some(HaltCause::Reported { code: RDKafkaErrorCode::BadMessage, .. })), "{cause:?}");
        assert_eq!(lane.look(17, 11, 30, 30), None);
        assert_eq!(lane.look(40, 11, 30, 30), Some(HaltCause::Silence));
    }

    #[test]
    fn a_denial_is_a_halt_at_once_even_of_an_idle_log_until_a_fetch_is_answered() {
        let mut lane = Lane::new();
        lane.report(0, RDKafkaErrorCode::TopicAuthorizationFailed);
        let now = lane.at(1);
        let end = Some(End { high: 10, stable: 10, asked_at: now });
        let sight = Sight { position: 10, answers: Answers { end, refusal: None }, is_wanted: true, is_fetched: false };
        let cause = lane.headway.look(sight, now).map(|halt| halt.cause.name());
        assert_eq!(cause, Some("topic_authorization"));
        assert_eq!(lane.look(2, 10, 10, 10), None, "the last fetch was answered");
    }

    #[test]
    fn an_end_that_is_not_known_is_a_halt_and_one_that_must_not_be_asked_for_is_so_at_once() {
        let mut lane = Lane::new();
        let asked_at = lane.start;
        let mut look = |seconds, refusal| {
            let now = asked_at + Duration::from_secs(seconds);
            let answers = Answers { end: Some(End { high: 10, stable: 10, asked_at }), refusal };
            let sight = Sight { position: 10, answers, is_wanted: true, is_fetched: true };
            lane.headway.look(sight, now).map(|halt| halt.cause.name())
        };
        assert_eq!(look(1, Some(RDKafkaErrorCode::NotLeaderForPartition)), None);
        assert_eq!(look(2, Some(RDKafkaErrorCode::TopicAuthorizationFailed)), Some("topic_authorization"));
        assert_eq!(look(14, None), None);
        assert_eq!(look(15, None), Some("end_unknown"));
    }

    #[test]
    fn a_lane_that_is_not_read_on_purpose_does_not_halt() {
        let mut lane = Lane::new();
        let now = lane.at(100);
        let end = Some(End { high: 30, stable: 30, asked_at: now });
        let sight = Sight { position: 10, answers: Answers { end, refusal: None }, is_wanted: false, is_fetched: true };
        assert_eq!(lane.headway.look(sight, now), None);
        assert_eq!(lane.look(114, 10, 30, 30), None, "time counts from the end of the pause");
        assert_eq!(lane.look(115, 10, 30, 30), Some(HaltCause::Silence));
    }

    #[test]
    fn data_that_cannot_be_read_is_read_again_ever_more_rarely() {
        let mut lane = Lane::new();
        let now = lane.at(0);
        let pauses = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0];
        for pause in pauses {
            lane.report(0, RDKafkaErrorCode::BadCompression);
            assert_eq!(lane.headway.not_before(now) - now, Duration::from_secs_f64(pause));
        }
        lane.look(1, 11, 30, 30);
        assert_eq!(lane.headway.not_before(now), now);
    }
}
