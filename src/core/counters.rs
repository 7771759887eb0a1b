//! Cumulative counters: the value that one source has counted for a key so far, and up to which
//! offset.

use std::hash::Hash;
use std::ops::AddAssign;

use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};

use super::calendar::Day;
use super::id::{Id, IdRef};
use super::quota::QuotaMonthKey;
use super::rollup::ExecutionCount;

/// What a source has counted for one key.
#[derive(Clone, Copy, Debug)]
pub struct Counter<V> {
    value: V,
    /// The stored value covers every record below this offset, which may lie beyond the lane's own
    /// position: the flush that wrote it need not have been recorded as progress.
    upto: u64,
    changed: bool,
}

/// Counters by key, complete for the keys that their owner holds: a key that is not in here stands
/// at 0.
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
    /// Admits a stored counter.
    pub fn restore(&mut self, key: K, value: V, upto: u64) {
        self.counters.insert(key, Counter { value, upto, changed: false });
    }

    /// Counts a record, unless the stored value covers it already.
    pub fn add<'q, Q>(&mut self, key: &'q Q, amount: V, offset: u64)
    where
        Q: Hash + Equivalent<K>,
        K: From<&'q Q>,
    {
        let counter = match self.counters.entry_ref(key) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(entry) => {
                self.changed.push(K::from(key));
                entry.insert_with_key(
                    K::from(key),
                    Counter { value: amount, upto: 0, changed: true },
                );
                return;
            }
        };
        if counter.upto > offset {
            return;
        }
        counter.value += amount;
        if !counter.changed {
            counter.changed = true;
            self.changed.push(K::from(key));
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

    /// Number of counters that are held.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Number of them that changed since [`take_changed`](Self::take_changed).
    pub fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }
}

impl AddAssign for ExecutionCount {
    // An event holds at most 10^12 ms, so a sum only saturates after 18 million events of 31 years
    // each on one key.
    fn add_assign(&mut self, other: Self) {
        self.run = self.run.saturating_add(other.run);
        self.uploaded = self.uploaded.saturating_add(other.uploaded);
        self.duration_ms = self.duration_ms.saturating_add(other.duration_ms);
    }
}

/// Key of execution counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProjectDay {
    pub project: Option<Id>,
    pub day: Day,
}

/// The same, borrowing from the event. Hashes like [`ProjectDay`], so that a lookup needs no owned
/// copy.
#[derive(Clone, Copy, Debug, Hash)]
pub struct ProjectDayRef<'a> {
    pub project: Option<&'a IdRef<'a>>,
    pub day: Day,
}

impl Equivalent<ProjectDay> for ProjectDayRef<'_> {
    fn equivalent(&self, key: &ProjectDay) -> bool {
        let is_same_project = match (self.project, &key.project) {
            (None, None) => true,
            (Some(asked), Some(held)) => asked.equivalent(held),
            _ => false,
        };
        self.day == key.day && is_same_project
    }
}

impl From<&ProjectDayRef<'_>> for ProjectDay {
    fn from(key: &ProjectDayRef<'_>) -> Self {
        Self { project: key.project.map(IdRef::to_id), day: key.day }
    }
}

/// Key of quota counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaDay {
    pub month: QuotaMonthKey,
    pub day: Day,
}

impl From<&QuotaDay> for QuotaDay {
    fn from(key: &QuotaDay) -> Self {
        *key
    }
}

/// All counters of one organization whose day lies in one calendar month.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub executions: Counters<ProjectDay, ExecutionCount>,
    pub quota: Counters<QuotaDay, u64>,
}

impl Block {
    /// Number of counters that are held.
    pub fn len(&self) -> usize {
        self.executions.len() + self.quota.len()
    }

    /// Number of them that changed since the last drain.
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
        let key = QuotaDay { month: QuotaMonthKey { anchor_ms: 0, month: 1 }, day: Day(0) };
        counters.restore(key, 7, 5);
        counters.add(&key, 10, 4);
        assert_eq!(counters.take_changed(), []);
        counters.add(&key, 10, 5);
        assert_eq!(counters.take_changed(), [(key, 17)]);
        assert_eq!(counters.take_changed(), []);
    }

    #[test]
    fn a_borrowed_key_finds_the_owned_one() {
        use std::hash::BuildHasher as _;
        let hasher = hashbrown::DefaultHashBuilder::default();
        for project in [None, Some("7"), Some("web"), Some("")] {
            let project = project.map(IdRef::from_text);
            let asked = ProjectDayRef { project: project.as_ref(), day: Day(20_000) };
            let held = ProjectDay::from(&asked);
            assert!(asked.equivalent(&held));
            assert_eq!(hasher.hash_one(asked), hasher.hash_one(&held));
            assert!(!asked.equivalent(&ProjectDay { day: Day(20_001), ..held.clone() }));
            assert!(
                !asked.equivalent(&ProjectDay { project: Some(Id::from_text("other")), ..held })
            );
        }
    }
}
