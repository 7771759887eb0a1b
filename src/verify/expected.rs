//! What the log says the tables hold, for the accounts of one pass.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::rows;
use super::value::Value;
use crate::core::rollup::LaneRows;
use crate::store::Compared;

/// Parts that are locked apart, so that threads seldom wait for one another.
const SHARDS: usize = 32;

/// Memory of an entry besides its key and value, bytes.
const ENTRY_BYTES: usize = 48;

/// Expected rows by table and key.
#[derive(Debug)]
pub struct Expected {
    shards: Vec<Mutex<Shard>>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    tables: [HashMap<Box<str>, Entry>; Compared::ALL.len()],
}

#[derive(Debug)]
struct Entry {
    value: Value,
    /// The current reading of the tables has met it.
    is_met: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), bytes: AtomicUsize::new(0) }
    }
}

/// The shard of a key: that of its first column, which is the account or the source.
fn shard_of(key: &str) -> usize {
    let first = key.split('\t').next().unwrap_or_default();
    let shards = u64::try_from(SHARDS).expect("a small number");
    usize::try_from(xxh3_64(first.as_bytes()) % shards).expect("below the number of shards")
}

impl Expected {
    /// Merges the rows of a drain.
    pub fn absorb(&self, rows: &LaneRows) {
        rows::each(rows, |table, key, value| {
            let shard = &self.shards[shard_of(&key)];
            // The values are consistent between calls, so a panic elsewhere has not broken them.
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let grown = match shard.tables[table as usize].get_mut(key.as_str()) {
                Some(entry) => entry.value.join(value),
                None => {
                    let bytes = ENTRY_BYTES + key.len() + value.bytes();
                    let entry = Entry { value, is_met: false };
                    shard.tables[table as usize].insert(key.into(), entry);
                    bytes
                }
            };
            if table.is_by_account() {
                self.bytes.fetch_add(grown, Ordering::Relaxed);
            }
        });
    }

    /// Memory for rows of accounts, bytes, approximately.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of rows.
    pub fn rows(&mut self) -> u64 {
        let rows = self.by_table().iter().map(ExpectedTable::rows).sum::<usize>();
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// The rows of each table, in the order of [`Compared::ALL`], so that tables may be compared
    /// side by side.
    pub fn by_table(&mut self) -> [ExpectedTable<'_>; Compared::ALL.len()] {
        let mut tables = Compared::ALL.map(|_| ExpectedTable { shards: Vec::new() });
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            for (table, entries) in tables.iter_mut().zip(&mut shard.tables) {
                table.shards.push(entries);
            }
        }
        tables
    }
}

/// Expected rows of one table, by key.
#[derive(Debug)]
pub struct ExpectedTable<'e> {
    shards: Vec<&'e mut HashMap<Box<str>, Entry>>,
}

impl ExpectedTable<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// The expected value, marked as met.
    pub fn meet(&mut self, key: &str) -> Option<&Value> {
        let entry = self.entry(key)?;
        entry.is_met = true;
        Some(&entry.value)
    }

    /// The expected value.
    pub fn value(&mut self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn entry(&mut self, key: &str) -> Option<&mut Entry> {
        let entry = self.shards[shard_of(key)].get_mut(key)?;
        entry.value.settle();
        Some(entry)
    }

    /// Passes every row that was not met since the last call to `take`, and forgets which were.
    pub fn unmet(&mut self, mut take: impl FnMut(&str, &Value)) {
        for (key, entry) in self.shards.iter_mut().flat_map(|shard| shard.iter_mut()) {
            if !std::mem::take(&mut entry.is_met) {
                entry.value.settle();
                take(key, &entry.value);
            }
        }
    }
}
