//! The start of a partition's lane, or the reason why it is refused.

use crate::core::continuity::Difference;
use crate::core::rollup::{Progress, Source};
use crate::core::takeover::Claim;

/// The beginning and the end of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermarks {
    /// The first offset that retention has not deleted.
    pub(super) low: u64,
    /// The offset of the next record; beyond the last stable offset if transactions are open.
    pub(super) high: u64,
}

/// Input of a new lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) source: Source,
    /// The recorded progress, or an empty one at the beginning of the log.
    pub(super) progress: Progress,
    /// The claim of this program's zone data, to be recorded before rows with days.
    pub(super) claim: Claim,
    /// Beginning and end of the log.
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
    /// The topic was deleted and created again: its records are not those counted.
    #[error(
        "topic {topic} was recreated: partition {partition} was counted under topic id \
        {recorded:?}, the topic's id is now {current:?}. To count the new topic beside the old \
        one, delete the old topic's rows from source_progress and restart; otherwise give the new \
        topic another name or database"
    )]
    Recreated { topic: String, partition: u32, recorded: String, current: String },
    /// The log ends before the progress.
    #[error(
        "partition {partition} of topic {topic} lost records that were counted: the progress is at \
        offset {next_offset}, the log ends at {high}. Restore the log, or delete this source's row \
        from source_progress and count into another database"
    )]
    BeyondEnd { topic: String, partition: u32, next_offset: u64, high: u64 },
    /// Days were computed by another release of the zone data, and a replay by this one would move
    /// some.
    #[error(
        "partition {partition} of topic {topic} was counted by time zone data {counted}, this \
        program has {current}, and not all that was counted is stored up to its progress: not that \
        of partitions {unfinished:?}. Run the program with {counted} until it has caught up and \
        stopped in an orderly way, then this one; it goes on by itself once that is so"
    )]
    ZoneData {
        topic: String,
        partition: u32,
        counted: String,
        current: String,
        unfinished: Vec<u32>,
    },
    /// The log was cut below the progress, and filled again with other records.
    #[error(
        "partition {partition} of topic {topic} lost records that were counted, and others took \
        their offsets: {difference}. An unclean leader election does this. Restore the log and \
        restart, or count what it holds now into another database (clickhouse.database)"
    )]
    Refilled { topic: String, partition: u32, difference: Difference },
}

impl Refusal {
    /// True if another process may remove the reason, so that checking again makes sense.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::ZoneData { .. })
    }
}
