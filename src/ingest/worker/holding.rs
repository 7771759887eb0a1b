//! Eviction of what the lanes of a worker hold beyond their budget.

use std::collections::BTreeSet;

use super::Worker;
use crate::core::lane::IdleBytes;
use crate::ingest::rebalance::Tenure;
use crate::telemetry::metrics;

/// An eviction frees this part of the budget more than it must, so that not every flush evicts.
const SLACK_PART: usize = 8;

impl Worker {
    /// Acknowledges the last drain, and evicts idle entries beyond the bound.
    pub(super) fn flushed(&mut self, tenures: &BTreeSet<Tenure>) {
        for slot in self.state.slots.values_mut().filter(|slot| tenures.contains(&slot.tenure)) {
            slot.flushed();
        }
        self.evict();
    }

    /// Evicts what has been idle longest, of all lanes, where they hold more than they may.
    fn evict(&mut self) {
        let lanes = || self.state.slots.values().map(|slot| &slot.lane);
        let held: usize = lanes().map(|lane| lane.held_bytes()).sum();
        let allowed = self.budget.allowed(self.number, held);
        if held <= allowed {
            return;
        }
        let mut idle = IdleBytes::default();
        lanes().for_each(|lane| lane.tell_idle(&mut idle));
        let edge = idle.edge(held - (allowed - allowed / SLACK_PART));
        for slot in self.state.slots.values_mut() {
            metrics::evicted(slot.lane.evict(edge));
        }
    }
}
