//! The ends of the logs of the assigned partitions, requested periodically.
//!
//! The high watermark that comes with fetches is useless where nothing can be fetched: when the
//! right to read was revoked, it stood still, and so did the lag, at 0. So the lag and empty
//! flushes are based on explicit requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::retry::Dependency;
use super::topic::{AskError, Topic, TopicEnd};

/// The pause between two requests.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// An answer whose request is at most this old may show that there is nothing new: one request may
/// fail or be slow.
const FRESH_FOR: Duration = Duration::from_secs(6);

/// After this time an answer is outdated.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(15);

/// The end of a log, by its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The offset of the next record.
    pub(super) high: u64,
    /// The first offset of an open transaction; `high` if there is none.
    pub(super) stable: u64,
    /// When the request was sent; the log ended there at that time or later.
    pub(super) asked_at: Instant,
}

impl End {
    /// True while the answer may show that there is nothing new.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked_at) < FRESH_FOR
    }

    /// True while the answer is not outdated.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked_at) < KNOWN_FOR
    }
}

/// The last answers about one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndAnswers {
    /// The last end received.
    pub(super) end: Option<End>,
    /// Why the newest request failed; `None` if it succeeded.
    pub(super) refusal: Option<RDKafkaErrorCode>,
}

/// The last answers about each assigned partition, shared by the requesting task and the workers.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<u32, EndAnswers>>);

impl Ends {
    /// The last answers about a partition.
    pub(super) fn of(&self, partition: u32) -> EndAnswers {
        self.lock().get(&partition).copied().unwrap_or_default()
    }

    /// A partition starts; its end was requested just now.
    pub(super) fn begin(&self, partition: u32, high: u64, now: Instant) {
        let end = Some(End { high, stable: high, asked_at: now });
        self.lock().insert(partition, EndAnswers { end, refusal: None });
    }

    /// The brokers deny this client all requests about the topic.
    fn denied(&self) {
        for answers in self.lock().values_mut() {
            answers.refusal = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        }
    }

    fn answered(&self, asked_at: Instant, answers: &[TopicEnd]) {
        let mut kept = self.lock();
        let asked: BTreeSet<u32> = answers.iter().map(|answer| answer.partition).collect();
        // A partition that started after the request was sent is not in the answer.
        kept.retain(|partition, known| {
            asked.contains(partition) || known.end.is_some_and(|end| end.asked_at > asked_at)
        });
        for answer in answers {
            let answers = kept.entry(answer.partition).or_default();
            match answer.end {
                Ok((high, stable)) => {
                    *answers =
                        EndAnswers { end: Some(End { high, stable, asked_at }), refusal: None }
                }
                Err(code) => answers.refusal = Some(code),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, EndAnswers>> {
        // The map is consistent between calls, so a panic elsewhere has not broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Periodically requests the ends of the logs of all assigned partitions.
pub(super) async fn watch_ends(
    topic: Topic,
    ends: Arc<Ends>,
    kafka: Arc<Dependency>,
    stop: CancellationToken,
) {
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
        assert_eq!(
            (answers.end.map(|end| (end.high, end.stable)), answers.refusal),
            (Some((12, 11)), None)
        );
        ends.answered(start, &[]);
        assert!(ends.of(3).end.is_some(), "it has started since");
        ends.answered(start + 2 * KNOWN_FOR, &[]);
        assert!(ends.of(3).end.is_none(), "a partition that went away is forgotten");
    }
}
