//! Progress of a feeder that runs in this process.

use std::sync::OnceLock;

/// Whether the feeder has handed over everything. Shared by the feeder, which sets it, and the API,
/// which tells by it whether all is counted.
#[derive(Debug, Default)]
pub struct Feeding {
    records: OnceLock<u64>,
    is_counted: OnceLock<()>,
}

impl Feeding {
    /// Everything is in the topic: so many records. What the feeder adds later is not part of it.
    pub fn ended(&self, records: u64) {
        // Only the first call counts.
        let _ = self.records.set(records);
    }

    /// Everything that was handed over is counted.
    pub fn counted(&self) {
        let _ = self.is_counted.set(());
    }

    /// Whether [`Self::counted`] was called.
    pub fn is_counted(&self) -> bool {
        self.is_counted.get().is_some()
    }

    /// Records handed over in all; `None` while there are more to come.
    pub fn records(&self) -> Option<u64> {
        self.records.get().copied()
    }
}
