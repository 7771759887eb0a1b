//! Progress of the counting, partition by partition.

use serde::Serialize;
use utoipa::ToSchema;

use super::value::Timestamp;
use crate::core::calendar::RELEASE;
use crate::core::rollup::Progress;

/// Progress of one partition, as the store gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The outcomes of its records.
    pub progress: Progress,
    /// The end of the partition's log; `None` where it could not be asked for lately.
    pub high_watermark: Option<u64>,
    /// When its last flush was complete, by ClickHouse's clock, milliseconds since 1970 UTC; `None`
    /// before the first.
    pub flushed_at_ms: Option<i64>,
}

/// What became of the records so far. Each is in exactly one of `events`, `rejected`, `duplicates`
/// and `skipped`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordCounts {
    /// Events accepted.
    #[schema(example = 4086)]
    pub events: u64,
    /// Records that are not events; they are in `rejected_events`, each with its reason.
    #[schema(example = 74)]
    pub rejected: u64,
    /// `test.executed` events that repeat another one's id.
    #[schema(example = 66)]
    pub duplicates: u64,
    /// Tombstones.
    #[schema(example = 0)]
    pub skipped: u64,
    /// Offsets that the log did not hold.
    #[schema(example = 0)]
    pub absent: u64,
    /// Records that are still to be counted; null where the end of a log cannot be asked for.
    #[schema(example = 0, required = true)]
    pub lag: Option<u64>,
}

/// Progress of a feeder in the process that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Nobody feeds: the producers are elsewhere.
    ByNobody,
    /// There is more to come.
    Partly,
    /// Everything: so many records.
    Whole(u64),
}

impl Fed {
    /// Whether everything is handed over and counted.
    fn is_complete(self, counts: &RecordCounts) -> Option<bool> {
        let RecordCounts { events, rejected, duplicates, skipped, .. } = counts;
        match self {
            Self::ByNobody => None,
            Self::Partly => Some(false),
            Self::Whole(records) => Some(events + rejected + duplicates + skipped >= records),
        }
    }
}

/// What has been counted so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct IngestReport {
    #[serde(flatten)]
    pub counts: RecordCounts,
    /// Whether a feeder that this process runs, as `demo` does, has handed over everything, and all
    /// of it is counted; what the demo makes up live is not part of it. Null where nobody feeds.
    #[schema(example = true, required = true)]
    pub complete: Option<bool>,
    /// The release of the IANA time zone database that this program tells days by.
    #[schema(example = "2026f")]
    pub timezones: &'static str,
    /// Accounts that more than one partition has counted without a stop between. They are not
    /// counted exactly; the view `split_accounts` names them.
    #[schema(example = 0)]
    pub split_accounts: u64,
    /// Ordered by topic and partition.
    pub partitions: Vec<PartitionReport>,
}

/// How far one partition has been counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartitionReport {
    /// The topic.
    #[schema(example = "usage-events")]
    pub topic: String,
    /// The partition.
    #[schema(example = 0)]
    pub partition: u32,
    /// The first offset that is not counted yet.
    #[schema(example = 4226)]
    pub next_offset: u64,
    #[serde(flatten)]
    pub counts: RecordCounts,
    /// ClickHouse's time of the partition's last completed flush; null before the first.
    #[schema(required = true)]
    pub data_through: Option<Timestamp>,
}

impl IngestReport {
    /// Puts the report together.
    pub fn assemble(mut partitions: Vec<PartitionProgress>, split_accounts: u64, fed: Fed) -> Self {
        partitions.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let partitions: Vec<PartitionReport> = partitions
            .into_iter()
            .map(|partition| {
                let Progress {
                    first_offset: _,
                    next_offset,
                    accepted,
                    rejected,
                    duplicates,
                    skipped,
                    absent,
                    last_record: _,
                } = partition.progress;
                let lag = partition.high_watermark.map(|end| end.saturating_sub(next_offset));
                PartitionReport {
                    topic: partition.topic,
                    partition: partition.partition,
                    next_offset,
                    counts: RecordCounts {
                        events: accepted,
                        rejected,
                        duplicates,
                        skipped,
                        absent,
                        lag,
                    },
                    data_through: partition.flushed_at_ms.map(Timestamp),
                }
            })
            .collect();
        // Before the first partition is known, nobody has asked where the logs end.
        let lag = partitions.iter().map(|partition| partition.counts.lag).sum::<Option<u64>>();
        let lag = lag.filter(|_| !partitions.is_empty());
        let mut counts = RecordCounts { lag, ..RecordCounts::default() };
        for partition in &partitions {
            counts.events += partition.counts.events;
            counts.rejected += partition.counts.rejected;
            counts.duplicates += partition.counts.duplicates;
            counts.skipped += partition.counts.skipped;
            counts.absent += partition.counts.absent;
        }
        let complete = fed.is_complete(&counts);
        Self { counts, complete, timezones: RELEASE, split_accounts, partitions }
    }

    /// The report without the times of the flushes, which move while nothing is counted.
    pub fn undated(&self) -> impl Serialize + use<> {
        let partitions = self.partitions.iter();
        let partitions: Vec<_> = partitions
            .map(|partition| {
                (
                    partition.topic.clone(),
                    partition.partition,
                    partition.next_offset,
                    partition.counts.clone(),
                )
            })
            .collect();
        (self.counts.clone(), self.complete, self.timezones, self.split_accounts, partitions)
    }

    /// When the partition was flushed whose last flush is oldest; `None` where one was not flushed
    /// at all.
    pub fn data_through(&self) -> Option<Timestamp> {
        self.partitions.iter().map(|partition| partition.data_through).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_a_partition_is_known_nothing_is() {
        let report = IngestReport::assemble(Vec::new(), 0, Fed::ByNobody);
        assert_eq!((report.counts.lag, report.data_through()), (None, None));
        assert_eq!(report.counts.events, 0);
    }

    #[test]
    fn it_is_complete_when_every_record_that_was_handed_over_is_counted() {
        let counted = |fed, accepted, absent| {
            let progress = Progress { accepted, rejected: 2, duplicates: 1, ..Progress::default() };
            let partition = PartitionProgress {
                topic: "usage-events".to_owned(),
                partition: 0,
                progress: Progress { absent, ..progress },
                high_watermark: Some(accepted + 3),
                flushed_at_ms: Some(0),
            };
            IngestReport::assemble(vec![partition], 0, fed).complete
        };
        assert_eq!(counted(Fed::ByNobody, 7, 0), None);
        assert_eq!(counted(Fed::Partly, 7, 0), Some(false), "more is to come");
        assert_eq!(counted(Fed::Whole(11), 7, 0), Some(false));
        assert_eq!(counted(Fed::Whole(11), 7, 1), Some(false), "what is absent is not counted");
        assert_eq!(counted(Fed::Whole(10), 7, 0), Some(true));
        assert_eq!(counted(Fed::Whole(10), 8, 0), Some(true), "and stays so while more comes");
        assert_eq!(IngestReport::assemble(Vec::new(), 0, Fed::Whole(0)).complete, Some(true));
    }

    #[test]
    fn figures_add_up_and_the_oldest_flush_tells_the_freshness() {
        let partition = |partition, next_offset, high_watermark, flushed_at_ms| PartitionProgress {
            topic: "usage-events".to_owned(),
            partition,
            progress: Progress {
                first_offset: 0,
                next_offset,
                accepted: next_offset - 3,
                rejected: 1,
                duplicates: 2,
                skipped: 0,
                absent: 0,
                last_record: None,
            },
            high_watermark: Some(high_watermark),
            flushed_at_ms: Some(flushed_at_ms),
        };
        let partitions = vec![partition(1, 10, 15, 500), partition(0, 20, 19, 700)];
        let report = IngestReport::assemble(partitions, 2, Fed::ByNobody);
        assert_eq!(
            report.counts,
            RecordCounts {
                events: 24,
                rejected: 2,
                duplicates: 4,
                skipped: 0,
                absent: 0,
                lag: Some(5)
            }
        );
        assert_eq!(report.split_accounts, 2);
        assert_eq!(report.partitions[0].partition, 0);
        assert_eq!(report.data_through(), Some(Timestamp(500)));
        assert_eq!(IngestReport::assemble(Vec::new(), 0, Fed::Partly).data_through(), None);

        let unknown = PartitionProgress { high_watermark: None, ..partition(2, 5, 0, 900) };
        let partitions = vec![partition(0, 20, 25, 700), unknown];
        let report = IngestReport::assemble(partitions, 0, Fed::ByNobody);
        let lags: Vec<_> = report.partitions.iter().map(|partition| partition.counts.lag).collect();
        assert_eq!(lags, [Some(5), None]);
        assert_eq!(report.counts.lag, None, "what is not known of one is not known of all");

        let unflushed = PartitionProgress { flushed_at_ms: None, ..partition(1, 3, 9, 0) };
        let partitions = vec![partition(0, 20, 25, 700), unflushed];
        let report = IngestReport::assemble(partitions, 0, Fed::ByNobody);
        assert_eq!(report.data_through(), None, "its data goes through no moment");
    }
}
