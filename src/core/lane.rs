//! A lane: the state machine that meters one partition.

use super::event::{Decoded, Record};
use super::load::{Loaded, Missing};
use super::rollup::{LaneRows, Progress, Source};

/// The state machine of one partition.
pub struct Lane {
    source: Source,
    progress: Progress,
}

/// How far [`Lane::apply`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every record was applied.
    All,
    /// Record `index` of the batch, and those after it, were not: it needs something that the lane does not hold. Ask
    /// [`Lane::missing`] about the rest, load, [`Lane::admit`], and apply the rest.
    Blocked { index: usize },
    /// Record `index` lies beyond the lane's next offset, and the lane has reason to doubt that the offsets between are
    /// really absent: discard the rest, seek to [`Lane::next_offset`], and read again.
    Gap { index: usize },
}

impl Lane {
    /// A lane that starts where `progress` ended. Its duplicate filter is empty: feed it the records of
    /// [`Lane::rewind_offset`]`..next_offset` by [`Lane::warm`] first.
    pub fn new(source: Source, progress: Progress) -> Self {
        Self { source, progress }
    }
    pub fn source(&self) -> &Source {
        &self.source
    }
    pub fn progress(&self) -> Progress {
        self.progress
    }
    pub fn next_offset(&self) -> u64 {
        self.progress.next_offset
    }
    /// Where reading has to start so that the duplicate filter is whole: 1,000,000 offsets before the next one.
    pub fn rewind_offset(&self) -> u64 {
        todo!()
    }
    /// Remembers the id of a record below the next offset, and does nothing else.
    pub fn warm(&mut self, _record: &Record<'_>, _decoded: &Decoded<'_>) {
        todo!()
    }
    /// The next gap is to be doubted: call it after every assignment, rebalance, seek, pause or error.
    pub fn doubt(&mut self) {
        todo!()
    }
    /// Passes the offsets up to `offset`, which the log is known not to hold.
    pub fn skip_to(&mut self, _offset: u64) {
        todo!()
    }
    /// What the batch is likely to need and the lane does not hold.
    pub fn missing(&self, _batch: &[(Record<'_>, Decoded<'_>)]) -> Missing {
        todo!()
    }
    /// Takes in what the store answered to `missing`.
    pub fn admit(&mut self, _missing: &Missing, _loaded: Loaded) {
        todo!()
    }
    /// Applies records in order. Records below the next offset are dropped.
    pub fn apply(&mut self, _batch: &[(Record<'_>, Decoded<'_>)]) -> Applied {
        todo!()
    }
    /// Yields every row that changed since the last drain. The caller writes them, and writes nothing newer before they
    /// are acknowledged.
    pub fn drain(&mut self) -> LaneRows {
        todo!()
    }
    /// The rows of all drains so far are acknowledged, and the progress with them.
    pub fn flushed(&mut self) {
        todo!()
    }
    /// Rows that the next drain will yield, about.
    pub fn pending_rows(&self) -> usize {
        todo!()
    }
    /// Accounts, users and counters held.
    pub fn held_entries(&self) -> usize {
        todo!()
    }
    /// Forgets entries that are clean and flushed, idle longest first, until at most `entries_max` are held; returns how
    /// many were forgotten.
    pub fn evict(&mut self, _entries_max: usize) -> usize {
        todo!()
    }
}
