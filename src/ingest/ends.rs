//! Where the logs of the assigned partitions end, asked for again and again.
//!
//! The high watermark that comes with fetches tells nothing where nothing can be fetched: with the right to read taken
//! away it stood still, and so did the lag, at 0. What the lag and empty flushes rest on is therefore asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::retry::Dependency;
use super::topic::{AskError, Topic};

/// The pause between two questions.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// An answer that was asked for within this time may show that there is nothing new: one question may fail, or take long.
const FRESH_FOR: Duration = Duration::from_secs(6);

/// After this time an answer says nothing about the log any more.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(15);

/// The end of a log, as its leader has told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The offset that the next record gets.
    pub(super) high: u64,
    /// The first offset of a transaction that is open; `high` where none is.
    pub(super) stable: u64,
    /// When the question was sent, which is before the log ended there.
    pub(super) asked_at: Instant,
}

impl End {
    /// True while it may show that there is nothing new.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked_at) < FRESH_FOR
    }

    /// True while it says something about the log.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked_at) < KNOWN_FOR
    }
}

/// The last answers about one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    /// The last end that was told.
    pub(super) end: Option<End>,
    /// Why the newest question was not answered; `None` where it was.
    pub(super) refusal: Option<RDKafkaErrorCode>,
}

/// The last answers about each assigned partition, shared by the task that asks and the workers.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<u32, Answers>>);

impl Ends {
    /// The last answers about a partition.
    pub(super) fn of(&self, partition: u32) -> Answers {
        self.lock().get(&partition).copied().unwrap_or_default()
    }

    /// A partition starts, and was asked for its end just now.
    pub(super) fn begin(&self, partition: u32, high: u64, now: Instant) {
        let end = Some(End { high, stable: high, asked_at: now });
        self.lock().insert(partition, Answers { end, refusal: None });
    }

    /// The brokers let this client ask for nothing about the topic.
    fn denied(&self) {
        for answers in self.lock().values_mut() {
            answers.refusal = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        }
    }

    fn answered(&self, asked_at: Instant, answers: &[TopicEnd]) {
        let mut kept = self.lock();
        let asked: BTreeSet<u32> = answers.iter().map(|answer| answer.partition).collect();
        // A partition that has started since the question was sent is not in the answer.
        kept.retain(|partition, known| {
            asked.contains(partition) || known.end.is_some_and(|end| end.asked_at > asked_at)
        });
        for answer in answers {
            let answers = kept.entry(answer.partition).or_default();
            match answer.end {
                Ok((high, stable)) => *answers = Answers { end: Some(End { high, stable, asked_at }), refusal: None },
                Err(code) => answers.refusal = Some(code),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Answers>> {
        // The map is whole between any two calls, so a panic elsewhere has not broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one question told about one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicEnd {
    pub(super) partition: u32,
    /// High watermark and last stable offset, or why they are not told.
    pub(super) end: Result<(u64, u64), RDKafkaErrorCode>,
}

/// Asks from time to time where the logs of all assigned partitions end.
pub(super) async fn watch_ends(topic: Topic, ends: Arc<Ends>, kafka: Arc<Dependency>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ASK_INTERVAL) => {}
        }
        let asking = kafka.until_ok(|| async {
            let asked_at = Instant::now();
            let answers = topic.ends().await;
            if matches!(answers, Err(AskError::Denied { .. })) {
                ends.denied();
            }
            answers.map(|answers| (asked_at, answers))
        });
        tokio::select! {
            () = stop.cancelled() => return,
            (asked_at, answers) = asking => ends.answered(asked_at, &answers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_leaves_the_last_end_to_grow_old_and_an_answer_ends_it() {
        let (ends, start) = (Ends::default(), Instant::now());
        ends.begin(3, 10, start);
        let denied = Err(RDKafkaErrorCode::TopicAuthorizationFailed);
        ends.answered(start + FRESH_FOR, &[TopicEnd { partition: 3, end: denied }]);
        let answers = ends.of(3);
        assert_eq!(answers.refusal, Some(RDKafkaErrorCode::TopicAuthorizationFailed));
        let end = answers.end.unwrap();
        assert!(!end.is_fresh(start + FRESH_FOR) && end.is_known(start + FRESH_FOR));
        assert!(!end.is_known(start + KNOWN_FOR));

        ends.answered(start + KNOWN_FOR, &[TopicEnd { partition: 3, end: Ok((12, 11)) }]);
        let answers = ends.of(3);
        assert_eq!((answers.end.map(|end| (end.high, end.stable)), answers.refusal), (Some((12, 11)), None));
        ends.answered(start, &[]);
        assert!(ends.of(3).end.is_some(), "it has started since");
        ends.answered(start + 2 * KNOWN_FOR, &[]);
        assert!(ends.of(3).end.is_none(), "a partition that went away is forgotten");
    }
}
