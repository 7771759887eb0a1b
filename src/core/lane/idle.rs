//! How long the entries of a lane have been idle, and which of them go first.
//!
//! An entry is idle for as many drains as have begun since the one in which it was last used. All
//! lanes of a process are drained together, so their idle times compare.

use std::collections::BTreeMap;

/// How long an entry must have been idle to be evicted, drains: those of the current and of the
/// last one stay, so that a batch that needs more than there is room for cannot thrash.
pub(super) const EVICTABLE_IDLE_DRAINS: u64 = 2;

/// Memory of entries by how long they have been idle.
#[derive(Debug, Default)]
pub struct IdleBytes {
    by_drains: BTreeMap<u64, usize>,
}

impl IdleBytes {
    /// Entries that take so many bytes have been idle for so many drains.
    pub(super) fn add(&mut self, idle_drains: u64, bytes: usize) {
        *self.by_drains.entry(idle_drains).or_default() += bytes;
    }

    /// How long an entry must have been idle to be among those whose eviction frees so many bytes,
    /// the longest idle first; [`EVICTABLE_IDLE_DRAINS`] if all that may be evicted are less.
    pub fn edge(&self, bytes: usize) -> u64 {
        let mut freed = 0;
        for (&idle_drains, of_entries) in self.by_drains.iter().rev() {
            freed += of_entries;
            if freed >= bytes {
                return idle_drains.max(EVICTABLE_IDLE_DRAINS);
            }
        }
        EVICTABLE_IDLE_DRAINS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_go_first_and_no_more_than_needed() {
        let mut idle = IdleBytes::default();
        for (idle_drains, bytes) in [(0, 1_000), (2, 100), (3, 10), (9, 1), (3, 10)] {
            idle.add(idle_drains, bytes);
        }
        assert_eq!(idle.edge(1), 9);
        assert_eq!(idle.edge(2), 3);
        assert_eq!(idle.edge(21), 3);
        assert_eq!(idle.edge(22), 2);
        assert_eq!(idle.edge(122), EVICTABLE_IDLE_DRAINS, "what was used last stays");
        assert_eq!(IdleBytes::default().edge(1), EVICTABLE_IDLE_DRAINS);
    }
}
