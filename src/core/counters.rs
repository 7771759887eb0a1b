//! Cumulative counters: what one source has counted for a key so far, and up to which offset.

use std::hash::Hash;
use std::ops::AddAssign;

use hashbrown::HashMap;

use super::calendar::Day;
use super::id::Id;
use super::quota::QuotaMonth;
use super::rollup::ExecutionCount;

#[derive(Clone, Copy, Debug)]
struct Counter<V> {
    value: V,
    /// The stored value covers every record below this offset, which may lie beyond the lane's own position: the flush
    /// that wrote it need not have been recorded as progress.
    upto: u64,
    changed: bool,
}

/// Counters by key, complete for the keys that their owner holds: a key that is not in here has counted nothing.
#[derive(Clone, Debug)]
pub struct Counters<K, V> {
    counters: HashMap<K, Counter<V>>,
    changed: Vec<K>,
}

impl<K, V> Default for Counters<K, V> {
    fn default() -> Self {
        Self { counters: HashMap::new(), changed: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Copy + AddAssign> Counters<K, V> {
    /// Takes in a stored counter.
    pub fn restore(&mut self, key: K, value: V, upto: u64) {
        self.counters.insert(key, Counter { value, upto, changed: false });
    }

    /// Counts a record, unless the stored value covers it already.
    pub fn add(&mut self, key: &K, amount: V, offset: u64) {
        let Some(counter) = self.counters.get_mut(key) else {
            self.counters.insert(key.clone(), Counter { value: amount, upto: 0, changed: true });
            self.changed.push(key.clone());
            return;
        };
        if counter.upto > offset {
            return;
        }
        counter.value += amount;
        if !counter.changed {
            counter.changed = true;
            self.changed.push(key.clone());
        }
    }

    /// Every counter that changed since the last call, with its value so far.
    pub fn take_changed(&mut self) -> Vec<(K, V)> {
        let keys = std::mem::take(&mut self.changed);
        let take = |key: K| {
            let counter = self.counters.get_mut(&key)?;
            counter.changed = false;
            Some((key, counter.value))
        };
        keys.into_iter().filter_map(take).collect()
    }

    /// How many counters are held.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// How many of them changed since [`take_changed`](Self::take_changed).
    pub fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }
}

impl AddAssign for ExecutionCount {
    // An event holds at most 10^12 ms, so a sum only saturates after 18 million events of 31 years each on one key.
    fn add_assign(&mut self, other: Self) {
        self.run = self.run.saturating_add(other.run);
        self.uploaded = self.uploaded.saturating_add(other.uploaded);
        self.duration_ms = self.duration_ms.saturating_add(other.duration_ms);
    }
}

/// All counters of one organization whose day lies in one calendar month.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// By project and day.
    pub executions: Counters<(Option<Id>, Day), ExecutionCount>,
    /// By quota month and day.
    pub quota: Counters<(QuotaMonth, Day), u64>,
}

impl Block {
    /// How many counters are held.
    pub fn len(&self) -> usize {
        self.executions.len() + self.quota.len()
    }

    /// How many of them wait for the next drain.
    pub fn changed_len(&self) -> usize {
        self.executions.changed_len() + self.quota.changed_len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_the_stored_value_covers_is_not_counted_again() {
        let mut counters = Counters::default();
        counters.restore('k', 7, 5);
        counters.add(&'k', 10, 4);
        assert_eq!(counters.take_changed(), []);
        counters.add(&'k', 10, 5);
        assert_eq!(counters.take_changed(), [('k', 17)]);
        assert_eq!(counters.take_changed(), []);
    }
}
