//! The offset at which a partition starts.
//!
//! The start is decided here, from the progress in ClickHouse, never by librdkafka or by the
//! group's committed offset. With `p` the recorded progress' next offset, and the log holding the
//! offsets `[low, high)`:
//!
//! | recorded progress | start |
//! |---|---|
//! | none, and none of any other incarnation of the topic | at `low` |
//! | `low <= p <= high` | at `p` |
//! | `p < low` | at `low`; the offsets `[p, low)` were deleted before they were counted, and are absent |
//! | `p > high` | refused: the log lost records that were counted |
//! | the last record before `p` is another than the one counted | refused: the log was cut and filled again |
//! | under another topic id, none under this one | refused: the topic was recreated |
//! | under another topic id, but some partition's under this one | as without progress: an operator has accepted the new topic |
//! | counted by another release of the zone data | as above, or refused as long as `core::takeover` requires |
//!
//! Reading starts earlier, so that the duplicate filter is complete (see `Lane::rewind_offset`) and
//! the last record is read again (see [`crate::core::continuity`]): the lane itself finds a
//! difference.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::messages::{ConsumerHandle, ToConsumer};
use super::opening::Watermarks;
use super::opening::{Opening, Refusal};
use super::rebalance::Tenure;
use super::retry::Dependency;
use super::topic::Topic;
use crate::core::calendar::RELEASE;
use crate::core::rollup::{Progress, Source};
use crate::core::takeover::{Claim, Claims, Standing, claim};
use crate::store::{Store, StoreError, StoredProgress};

/// How often a progress beyond the end of the log is checked before it is reported: after a change
/// of leader the end may lag behind for a moment.
const BEYOND_END_ATTEMPTS: u32 = 4;

/// The pause between two of these checks.
const BEYOND_END_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two checks of a reason that may pass.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Progress of every partition of every incarnation of the topic, as ClickHouse holds it.
#[derive(Clone, Debug, Default)]
struct Recorded {
    progress: Vec<StoredProgress>,
    /// Read after the progress: in the other order, rows could wrongly seem to be covered.
    claims: BTreeMap<Source, Claims>,
}

/// Decides where the source starts.
fn decide(source: &Source, recorded: &Recorded, marks: Watermarks) -> Result<Opening, Refusal> {
    let rows = &recorded.progress;
    let is_known_topic = rows.iter().any(|row| row.source.topic_id() == source.topic_id());
    let others = || rows.iter().filter(|row| row.source.topic_id() != source.topic_id());
    let own = rows.iter().find(|row| row.source == *source);
    let of_this_partition = others().find(|row| row.source.partition() == source.partition());
    let former = match own {
        Some(_) => None,
        None if is_known_topic => of_this_partition,
        None => of_this_partition.or_else(|| others().next()),
    };
    if let Some(former) = former {
        return Err(Refusal::Recreated {
            topic: source.topic().to_owned(),
            partition: source.partition(),
            recorded: former.source.topic_id().to_owned(),
            current: source.topic_id().to_owned(),
        });
    }
    let progress = own.map_or_else(|| Progress::starting_at(marks.low), |row| row.progress);
    if progress.next_offset > marks.high {
        return Err(Refusal::BeyondEnd {
            topic: source.topic().to_owned(),
            partition: source.partition(),
            next_offset: progress.next_offset,
            high: marks.high,
        });
    }
    let claim = decide_claim(source, recorded)?;
    Ok(Opening { source: source.clone(), progress, claim, marks })
}

/// The claim with which this program's zone data counts the source.
fn decide_claim(source: &Source, recorded: &Recorded) -> Result<Claim, Refusal> {
    let none = Claims::new();
    let progress = |of: &Source| {
        let row = recorded.progress.iter().find(|row| row.source == *of);
        row.map_or(0, |row| row.progress.next_offset)
    };
    let standing = |of: &Source, claims| Standing {
        partition: of.partition(),
        next_offset: progress(of),
        claims,
    };
    let of_topic = recorded.claims.iter().filter(|(of, _)| of.topic_id() == source.topic_id());
    let all: Vec<Standing<'_>> = of_topic.map(|(of, claims)| standing(of, claims)).collect();
    let own = standing(source, recorded.claims.get(source).unwrap_or(&none));
    claim(RELEASE, own, &all).map_err(|unfinished| Refusal::ZoneData {
        topic: source.topic().to_owned(),
        partition: source.partition(),
        counted: own.latest().map(|(release, _)| release.to_owned()).unwrap_or_default(),
        current: RELEASE.to_owned(),
        unfinished,
    })
}

/// Determines where partitions start, and notifies the consumer thread.
#[derive(Clone)]
pub(super) struct Starter {
    pub(super) store: Store,
    pub(super) topic: Topic,
    /// ClickHouse, for the progress.
    pub(super) progress: Arc<Dependency>,
    /// Kafka, for topic id and watermarks.
    pub(super) kafka: Arc<Dependency>,
    pub(super) consumer: ConsumerHandle,
}

impl Starter {
    /// Starts these tenures, each until its token is cancelled.
    pub(super) async fn start(self, tenures: Vec<(Tenure, CancellationToken)>) {
        let all_ended = async {
            for (_, ended) in &tenures {
                ended.cancelled().await;
            }
        };
        let common = tokio::select! {
            () = all_ended => return,
            common = self.load_common() => common,
        };
        let (recorded, topic_id) = common;
        let starts = tenures.iter().map(|(tenure, ended)| {
            let (starter, recorded, topic_id) = (&self, &recorded, &topic_id);
            async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = starter.tell_outcomes(tenure, recorded, topic_id) => {}
                }
            }
        });
        futures_util::future::join_all(starts).await;
    }

    /// Input of all partitions: the recorded progress and the topic's id.
    async fn load_common(&self) -> (Recorded, String) {
        let recorded = self.load_recorded().await;
        let description = self.kafka.until_ok(|| self.topic.describe()).await;
        (recorded, description.id)
    }

    async fn load_recorded(&self) -> Recorded {
        self.progress
            .until_ok(|| async {
                // The former owner may have written to another replica.
                self.store.sync_replica().await?;
                let progress = self.store.progress(&self.topic.name).await?;
                let claims = self.store.zone_claims(&self.topic.name).await?;
                Ok::<_, StoreError>(Recorded { progress, claims })
            })
            .await
    }

    /// Sends the partition's start to the consumer thread. If it is refused for a reason that may
    /// pass, checks periodically and sends changes.
    async fn tell_outcomes(&self, tenure: &Tenure, recorded: &Recorded, topic_id: &str) {
        let mut told = None;
        let mut recorded = Cow::Borrowed(recorded);
        loop {
            let outcome = self.start_one(tenure.partition, &recorded, topic_id).await;
            let may_pass = outcome.as_ref().is_err_and(Refusal::may_pass);
            if told.as_ref() != Some(&outcome) {
                self.consumer
                    .send(ToConsumer::Started { tenure: *tenure, outcome: outcome.clone() });
                told = Some(outcome);
            }
            if !may_pass {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            recorded = Cow::Owned(self.load_recorded().await);
        }
    }

    async fn start_one(
        &self,
        partition: u32,
        recorded: &Recorded,
        topic_id: &str,
    ) -> Result<Opening, Refusal> {
        let source = Source::new(&self.topic.name, topic_id, partition);
        let mut attempts = 0;
        loop {
            let marks = self.kafka.until_ok(|| self.topic.watermarks(partition)).await;
            attempts += 1;
            match decide(&source, recorded, marks) {
                Err(Refusal::BeyondEnd { .. }) if attempts < BEYOND_END_ATTEMPTS => {
                    tokio::time::sleep(BEYOND_END_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(topic_id: &str, partition: u32, next_offset: u64) -> StoredProgress {
        StoredProgress {
            source: Source::new("events", topic_id, partition),
            progress: Progress { next_offset, accepted: next_offset, ..Progress::default() },
            high_watermark: next_offset,
            is_end_known: true,
            flushed_at_ms: None,
        }
    }

    /// Decides for partition 1 of topic id `now`, whose log holds `[low, high)`: the next offset
    /// and the lost offsets.
    fn start(rows: &[StoredProgress], low: u64, high: u64) -> Result<(u64, u64), Refusal> {
        let recorded = Recorded { progress: rows.to_vec(), ..Recorded::default() };
        let opening =
            decide(&Source::new("events", "now", 1), &recorded, Watermarks { low, high })?;
        Ok((opening.progress.next_offset, opening.lost()))
    }

    #[test]
    fn a_partition_without_progress_starts_at_the_beginning_of_its_log() {
        assert_eq!(start(&[], 0, 0), Ok((0, 0)));
        assert_eq!(
            start(&[], 70, 90),
            Ok((70, 0)),
            "what was deleted before the first start is nobody's loss"
        );
        assert_eq!(
            start(&[recorded("now", 0, 5)], 70, 90),
            Ok((70, 0)),
            "a partition that was added"
        );
    }

    #[test]
    fn a_partition_goes_on_where_its_progress_ended() {
        assert_eq!(start(&[recorded("now", 0, 5), recorded("now", 1, 80)], 0, 90), Ok((80, 0)));
        assert_eq!(start(&[recorded("now", 1, 90)], 90, 90), Ok((90, 0)));
    }

    #[test]
    fn offsets_that_retention_took_are_lost() {
        assert_eq!(start(&[recorded("now", 1, 60)], 70, 90), Ok((60, 10)));
    }

    #[test]
    fn a_log_that_ends_before_the_progress_is_refused() {
        let refusal = start(&[recorded("now", 1, 91)], 0, 90);
        assert!(
            matches!(refusal, Err(Refusal::BeyondEnd { next_offset: 91, high: 90, .. })),
            "{refusal:?}"
        );
    }

    #[test]
    fn other_zone_data_waits_for_an_orderly_stop() {
        let turn = |claims: &[(&str, u32, &str, u64)]| {
            let mut recorded = Recorded {
                progress: vec![
                    recorded("before", 0, 5),
                    recorded("now", 0, 5),
                    recorded("now", 1, 60),
                ],
                ..Recorded::default()
            };
            for &(topic_id, partition, release, upto) in claims {
                let of_source =
                    recorded.claims.entry(Source::new("events", topic_id, partition)).or_default();
                of_source.insert(release.into(), Claim { turn: 3, upto });
            }
            let opening = decide(
                &Source::new("events", "now", 1),
                &recorded,
                Watermarks { low: 0, high: 90 },
            );
            opening.map(|opening| opening.claim)
        };
        assert_eq!(turn(&[]), Ok(Claim { turn: 1, upto: 0 }));
        assert_eq!(turn(&[("now", 1, RELEASE, 70)]), Ok(Claim { turn: 3, upto: 70 }));
        assert_eq!(turn(&[("now", 1, "1999a", 60)]), Ok(Claim { turn: 4, upto: 0 }));
        let refusal = turn(&[("now", 0, "1999a", 6), ("now", 1, "1999a", 60)]).unwrap_err();
        assert!(refusal.may_pass());
        let text = refusal.to_string();
        for part in [
            "partition 1 of topic events was counted by time zone data 1999a",
            RELEASE,
            "partitions [0]",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let of_another_topic = turn(&[("before", 0, "1999a", 6), ("now", 1, "1999a", 60)]);
        assert_eq!(of_another_topic, Ok(Claim { turn: 4, upto: 0 }));
    }

    #[test]
    fn a_recreated_topic_is_refused_until_it_is_accepted() {
        let refused =
            |rows: &[StoredProgress]| matches!(start(rows, 0, 90), Err(Refusal::Recreated { .. }));
        assert!(refused(&[recorded("before", 1, 10)]));
        assert!(refused(&[recorded("", 1, 10)]), "an id that appeared is another incarnation too");
        assert!(
            refused(&[recorded("before", 0, 10)]),
            "also a partition that the old topic did not have"
        );
        assert!(
            refused(&[recorded("before", 1, 10), recorded("now", 0, 10)]),
            "its own old rows are still there"
        );
        assert_eq!(start(&[recorded("before", 0, 10), recorded("now", 0, 10)], 0, 90), Ok((0, 0)));
        assert_eq!(start(&[recorded("before", 1, 10), recorded("now", 1, 20)], 0, 90), Ok((20, 0)));
    }
}
