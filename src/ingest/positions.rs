//! Positions of this process in the partitions that it counts, for a feeder in the same process
//! that must not run ahead.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The next offset of each lane. Shared by the workers, which move them, and the feeder.
#[derive(Debug, Default)]
pub struct Positions {
    next_offsets: Mutex<BTreeMap<u32, u64>>,
    moved: Condvar,
}

impl Positions {
    /// The offsets below `next_offset` of the partition are read and need not be read again as long
    /// as this process keeps it: they are applied to its lane, although not yet durable.
    pub(super) fn moved(&self, lanes: impl IntoIterator<Item = (u32, u64)>) {
        self.lock().extend(lanes);
        self.moved.notify_all();
    }

    /// The next offset of the partition; 0 before it is read.
    pub fn next_offset(&self, partition: u32) -> u64 {
        self.lock().get(&partition).copied().unwrap_or(0)
    }

    /// Waits until a lane has moved, for at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let waited = self.moved.wait_timeout(self.lock(), timeout);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    // A map is consistent between calls, so a panic elsewhere has not broken it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.next_offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
