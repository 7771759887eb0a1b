//! Where a partition starts.
//!
//! That is our decision, made from the progress that ClickHouse holds, never librdkafka's and never the group's committed
//! offset. With `p` the recorded progress' next offset, and the log holding the offsets `[low, high)`:
//!
//! | recorded progress | start |
//! |---|---|
//! | none, and none of any other incarnation of the topic | at `low` |
//! | `low <= p <= high` | at `p` |
//! | `p < low` | at `low`; the offsets `[p, low)` were deleted before they were counted, and are absent |
//! | `p > high` | refused: the log lost records that were counted |
//! | under another topic id, none under this one | refused: the topic was recreated |
//! | under another topic id, but some partition's under this one | as without: an operator has accepted the new topic |
//!
//! The reading itself starts earlier, so that the duplicate filter is whole; see `Lane::rewind_offset`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::messages::{ConsumerHandle, ToConsumer};
use super::rebalance::Tenure;
use super::retry::Dependency;
use super::topic::{Topic, Watermarks};
use crate::core::rollup::{Progress, Source};
use crate::store::{Store, StoredProgress};

/// A progress beyond the end of the log is looked at this often before it is believed: after a change of leader the end
/// may lag behind for a moment.
const BEYOND_END_ATTEMPTS: u32 = 4;

/// The pause between two of these looks.
const BEYOND_END_PAUSE: Duration = Duration::from_secs(1);

/// What a lane is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) source: Source,
    /// As recorded, or none of anything, at the beginning of the log.
    pub(super) progress: Progress,
    /// Where the log begins and ends.
    pub(super) marks: Watermarks,
}

impl Opening {
    /// Offsets that were deleted before they were counted.
    pub(super) fn lost(&self) -> u64 {
        self.marks.low.saturating_sub(self.progress.next_offset)
    }
}

/// Why a partition is not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The topic was deleted and created again: its records are others than those counted.
    #[error(
        "topic {topic} was recreated: partition {partition} was counted under topic id {recorded:?}, the topic's id is now \
         {current:?}. To count the new topic beside the old one, delete the old topic's rows from source_progress and \
         restart; otherwise give the new topic another name or database"
    )]
    Recreated { topic: String, partition: u32, recorded: String, current: String },
    /// The log ends before the progress.
    #[error(
        "partition {partition} of topic {topic} lost records that were counted: the progress is at offset {next_offset}, the \
         log ends at {high}. Restore the log, or delete this source's row from source_progress and count into another \
         database"
    )]
    BeyondEnd { topic: String, partition: u32, next_offset: u64, high: u64 },
}

/// Decides where the source starts. `recorded` is the progress of every partition of every incarnation of the topic.
fn decide(source: &Source, recorded: &[StoredProgress], marks: Watermarks) -> Result<Opening, Refusal> {
    let is_known_topic = recorded.iter().any(|row| row.source.topic_id() == source.topic_id());
    let others = || recorded.iter().filter(|row| row.source.topic_id() != source.topic_id());
    let own = recorded.iter().find(|row| row.source == *source);
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
    let progress = own.map_or(Progress { next_offset: marks.low, ..Progress::default() }, |row| row.progress);
    if progress.next_offset > marks.high {
        return Err(Refusal::BeyondEnd {
            topic: source.topic().to_owned(),
            partition: source.partition(),
            next_offset: progress.next_offset,
            high: marks.high,
        });
    }
    Ok(Opening { source: source.clone(), progress, marks })
}

/// Finds out where partitions start, and tells the consumer thread.
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
                let outcome = tokio::select! {
                    () = ended.cancelled() => return,
                    outcome = starter.start_one(tenure.partition, recorded, topic_id) => outcome,
                };
                starter.consumer.send(ToConsumer::Started { tenure: *tenure, outcome });
            }
        });
        futures_util::future::join_all(starts).await;
    }

    /// What all partitions need to know: the recorded progress, and the topic's id.
    async fn load_common(&self) -> (Vec<StoredProgress>, String) {
        let recorded = self
            .progress
            .until_ok(|| async {
                // The former owner may have written to another replica.
                self.store.sync_replica().await?;
                self.store.progress(&self.topic.name).await
            })
            .await;
        let description = self.kafka.until_ok(|| self.topic.describe()).await;
        (recorded, description.id)
    }

    async fn start_one(&self, partition: u32, recorded: &[StoredProgress], topic_id: &str) -> Result<Opening, Refusal> {
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

    /// Decides for partition 1 of topic id `now`, whose log holds `[low, high)`: the next offset and the lost offsets.
    fn start(rows: &[StoredProgress], low: u64, high: u64) -> Result<(u64, u64), Refusal> {
        let opening = decide(&Source::new("events", "now", 1), rows, Watermarks { low, high })?;
        Ok((opening.progress.next_offset, opening.lost()))
    }

    #[test]
    fn a_partition_without_progress_starts_at_the_beginning_of_its_log() {
        assert_eq!(start(&[], 0, 0), Ok((0, 0)));
        assert_eq!(start(&[], 70, 90), Ok((70, 0)), "what was deleted before the first start is nobody's loss");
        assert_eq!(start(&[recorded("now", 0, 5)], 70, 90), Ok((70, 0)), "a partition that was added");
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
        assert!(matches!(refusal, Err(Refusal::BeyondEnd { next_offset: 91, high: 90, .. })), "{refusal:?}");
    }

    #[test]
    fn a_recreated_topic_is_refused_until_it_is_accepted() {
        let refused = |rows: &[StoredProgress]| matches!(start(rows, 0, 90), Err(Refusal::Recreated { .. }));
        assert!(refused(&[recorded("before", 1, 10)]));
        assert!(refused(&[recorded("", 1, 10)]), "an id that appeared is another incarnation too");
        assert!(refused(&[recorded("before", 0, 10)]), "also a partition that the old topic did not have");
        assert!(refused(&[recorded("before", 1, 10), recorded("now", 0, 10)]), "its own old rows are still there");
        assert_eq!(start(&[recorded("before", 0, 10), recorded("now", 0, 10)], 0, 90), Ok((0, 0)));
        assert_eq!(start(&[recorded("before", 1, 10), recorded("now", 1, 20)], 0, 90), Ok((20, 0)));
    }
}
