//! How far a partition has been counted.

use super::event::Record;

/// How far a partition has been counted, and the outcomes of its records. The five counts add up to
/// the offsets passed since the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The first offset that there was when counting began.
    pub first_offset: u64,
    /// The first offset that is not counted yet.
    pub next_offset: u64,
    /// Events counted.
    pub accepted: u64,
    /// Records written to `rejected_events`.
    pub rejected: u64,
    /// Duplicate `test.executed` events.
    pub duplicates: u64,
    /// Tombstones.
    pub skipped: u64,
    /// Offsets that the log did not hold.
    pub absent: u64,
    /// The last record passed, below the next offset; `None` where none was.
    pub last_record: Option<LastRecord>,
}

/// The last record that a lane has passed, which identifies its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// Its offset.
    pub offset: u64,
    /// The epoch of the leader that appended it, or [`UNKNOWN_EPOCH`](super::event::UNKNOWN_EPOCH).
    pub leader_epoch: i32,
    /// Its [`Record::fingerprint`].
    pub fingerprint: u64,
}

impl LastRecord {
    /// From this record.
    pub fn of(record: &Record<'_>, leader_epoch: i32) -> Self {
        Self { offset: record.offset, leader_epoch, fingerprint: record.fingerprint() }
    }
}

impl Progress {
    /// That of a partition of which nothing is counted yet.
    pub fn starting_at(offset: u64) -> Self {
        Self { first_offset: offset, next_offset: offset, ..Self::default() }
    }

    /// All offsets passed.
    pub fn passed(&self) -> u64 {
        self.accepted + self.rejected + self.duplicates + self.skipped + self.absent
    }
}
