//! The memory that lanes hold. All lanes of all workers share one budget: a busy one may take what
//! idle ones do not need.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that all workers together may hold, and what each does.
pub(super) struct HeldBudget {
    bytes_max: usize,
    held: Vec<AtomicUsize>,
}

impl HeldBudget {
    /// So many bytes for so many workers, which hold nothing.
    pub(super) fn new(bytes_max: usize, workers: usize) -> Self {
        Self { bytes_max, held: (0..workers).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// What the worker may hold, bytes, now that it holds so many: what others do not, and its
    /// equal share in any case. Whoever holds more than its share gives it back at its next flush.
    pub(super) fn allowed(&self, worker: usize, held: usize) -> usize {
        self.held[worker].store(held, Ordering::Relaxed);
        let all: usize = self.held.iter().map(|held| held.load(Ordering::Relaxed)).sum();
        let others = all.saturating_sub(held);
        self.bytes_max.saturating_sub(others).max(self.bytes_max / self.held.len().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_take_what_others_do_not_and_gets_its_share_back() {
        let budget = HeldBudget::new(100, 2);
        assert_eq!(budget.allowed(0, 90), 100);
        assert_eq!(budget.allowed(1, 5), 50, "its share, although the other one holds 90");
        assert_eq!(budget.allowed(1, 30), 50);
        assert_eq!(budget.allowed(0, 90), 70);
        assert_eq!(budget.allowed(1, 50), 50);
        assert_eq!(budget.allowed(0, 70), 50);
        assert_eq!(budget.allowed(1, 0), 50);
        assert_eq!(budget.allowed(0, 50), 100);
    }
}
