//! The duplicate filter of one partition.
//!
//! A `test.executed` event is a duplicate if another one with the same (account, source, id) stands
//! in the 1,000,000 offsets before it, in a record stamped at most 24 hours earlier. The filter is
//! a function of the log alone: it is never stored, and is restored by replaying the ids of the
//! offsets before a lane's position.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use xxhash_rust::xxh3::xxh3_128;

use super::event::{Event, TestExecuted};
use super::id::IdRef;

/// Number of offsets back within which a duplicate is looked for.
pub const WINDOW_OFFSETS: u64 = 1_000_000;

/// How much earlier than its duplicate a record may be stamped, milliseconds.
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// The identity of a `test.executed` event, of which `test` is the meaning: a 128-bit hash of
/// (account, source, id), each with its length, so that no two triples yield the same bytes.
/// `bytes` is reused to hash in one piece.
pub fn event_id(event: &Event<'_>, test: &TestExecuted<'_>, bytes: &mut Vec<u8>) -> u128 {
    bytes.clear();
    match &event.account {
        IdRef::Number(number) => {
            bytes.push(0);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        IdRef::Text(text) => {
            bytes.push(1);
            bytes.extend_from_slice(&text.len().to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes.extend_from_slice(&test.event_source.len().to_le_bytes());
    bytes.extend_from_slice(test.event_source.as_bytes());
    bytes.extend_from_slice(event.id.as_bytes());
    xxh3_128(bytes)
}

/// One `test.executed` event that was read. There are up to a million of them in a partition, so
/// every byte counts.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: u128,
    timestamp_ms: i64,
    /// The lower half of its offset. All entries lie within [`WINDOW_OFFSETS`] of the newest, whose
    /// offset gives the upper half.
    offset_low: u32,
    /// Distance, in entries, to the nearest earlier entry of the same id that has a later
    /// timestamp.
    ///
    /// An earlier entry without a later timestamp is left out of the chain: whatever it matches,
    /// this entry matches too, and for longer. So a walk visits only entries that can change the
    /// result.
    earlier: Option<NonZeroU32>,
}

/// Entries in the order in which they came, in blocks of one size: a single doubling buffer would
/// hold twice the memory needed, and three times while it grows.
#[derive(Debug, Default)]
struct Ring {
    blocks: VecDeque<Vec<Seen>>,
    /// Entries at the start of the first block that have left the window.
    gone: usize,
}

/// Entries per block.
const BLOCK_ENTRIES: usize = 4096;

impl Ring {
    fn len(&self) -> usize {
        match self.blocks.back() {
            Some(last) => (self.blocks.len() - 1) * BLOCK_ENTRIES + last.len() - self.gone,
            None => 0,
        }
    }

    fn get(&self, index: usize) -> Option<&Seen> {
        let index = self.gone + index;
        self.blocks.get(index / BLOCK_ENTRIES)?.get(index % BLOCK_ENTRIES)
    }

    fn push(&mut self, entry: Seen) {
        match self.blocks.back_mut().filter(|last| last.len() < BLOCK_ENTRIES) {
            Some(last) => last.push(entry),
            None => {
                let mut block = Vec::with_capacity(BLOCK_ENTRIES);
                block.push(entry);
                self.blocks.push_back(block);
            }
        }
    }

    fn pop(&mut self) {
        self.gone += 1;
        if self.gone == self.blocks.front().map_or(0, Vec::len) {
            self.blocks.pop_front();
            self.gone = 0;
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Remembers the ids of the last [`WINDOW_OFFSETS`] offsets.
#[derive(Debug, Default)]
pub struct DuplicateFilter {
    /// Hashes in offset order; entry `i` has sequence number `first + i`, wrapping.
    seen: Ring,
    first: u32,
    /// The offset of the last entry of `seen`.
    newest_offset: u64,
    /// Sequence number of the newest entry of each id.
    newest: HashTable<u32>,
}

/// The hash for the table: the id is a good hash already, so either half will do.
fn table_hash(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).expect("masked to 64 bits")
}

/// The lower half of an offset.
fn low(offset: u64) -> u32 {
    u32::try_from(offset & u64::from(u32::MAX)).expect("masked to 32 bits")
}

impl DuplicateFilter {
    /// True if the event is a duplicate of one that was [`remember`](Self::remember)ed.
    /// `timestamp_ms` is the Kafka record's; a record without one is treated as near in time to any
    /// other.
    pub fn is_duplicate(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) -> bool {
        self.forget_before(offset.saturating_sub(WINDOW_OFFSETS));
        let oldest_ms = timestamp_ms.map_or(i64::MIN, |ms| ms.saturating_sub(WINDOW_MS));
        let is_id = |sequence: &u32| self.entry(*sequence).is_some_and(|entry| entry.id == id);
        let mut next = self.newest.find(table_hash(id), is_id).copied();
        while let Some((sequence, entry)) =
            next.and_then(|sequence| Some((sequence, self.entry(sequence)?)))
        {
            if entry.timestamp_ms >= oldest_ms {
                return true;
            }
            next = entry.earlier.map(|back| sequence.wrapping_sub(back.get()));
        }
        false
    }

    /// Remembers an event, counted or not. An event that does not lie beyond all remembered ones
    /// was delivered twice and is ignored: added again, behind later ones, it would stay longer
    /// than its offset allows.
    pub fn remember(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) {
        if !self.is_empty() && self.newest_offset >= offset {
            return;
        }
        self.forget_before(offset.saturating_sub(WINDOW_OFFSETS));
        let timestamp_ms = timestamp_ms.unwrap_or(i64::MAX);
        let held =
            u32::try_from(self.seen.len()).expect("at most one entry per offset of the window");
        let sequence = self.first.wrapping_add(held);
        let (seen, first) = (&self.seen, self.first);
        let entry_of = |sequence: u32| seen.get(sequence.wrapping_sub(first) as usize);
        let id_of =
            |sequence: &u32| entry_of(*sequence).expect("the table names entries that are held").id;
        let mut earlier = None;
        match self.newest.entry(
            table_hash(id),
            |other| id_of(other) == id,
            |other| table_hash(id_of(other)),
        ) {
            TableEntry::Vacant(entry) => {
                entry.insert(sequence);
            }
            TableEntry::Occupied(mut entry) => {
                let mut next = Some(std::mem::replace(entry.get_mut(), sequence));
                while let Some((at, entry)) = next.and_then(|at| Some((at, entry_of(at)?))) {
                    if entry.timestamp_ms > timestamp_ms {
                        earlier = NonZeroU32::new(sequence.wrapping_sub(at));
                        break;
                    }
                    next = entry.earlier.map(|back| at.wrapping_sub(back.get()));
                }
            }
        }
        self.seen.push(Seen { id, timestamp_ms, offset_low: low(offset), earlier });
        self.newest_offset = offset;
    }

    /// Number of ids that are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.len() == 0
    }

    /// The entry with that sequence number; `None` once it has left the window.
    fn entry(&self, sequence: u32) -> Option<Seen> {
        self.seen.get(sequence.wrapping_sub(self.first) as usize).copied()
    }

    fn forget_before(&mut self, offset: u64) {
        if offset > self.newest_offset {
            // All at once, also because the lower halves of offsets are no longer unique.
            self.seen.clear();
            self.newest.clear();
            return;
        }
        let newest_low = low(self.newest_offset);
        while let Some(oldest) = self.seen.get(0) {
            let age = newest_low.wrapping_sub(oldest.offset_low);
            if self.newest_offset - u64::from(age) >= offset {
                return;
            }
            let (id, sequence) = (oldest.id, self.first);
            if let Ok(newest) = self.newest.find_entry(table_hash(id), |other| *other == sequence) {
                newest.remove();
            }
            self.seen.pop();
            self.first = self.first.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Feeds (id, offset, hours) and returns which were duplicates.
    fn check(events: &[(u128, u64, i64)]) -> Vec<bool> {
        let mut filter = DuplicateFilter::default();
        let judge = |&(id, offset, hours): &(u128, u64, i64)| {
            let duplicate = filter.is_duplicate(id, offset, Some(hours * HOUR_MS));
            filter.remember(id, offset, Some(hours * HOUR_MS));
            duplicate
        };
        events.iter().map(judge).collect()
    }

    #[test]
    fn edges_of_the_offset_window() {
        assert_eq!(check(&[(1, 0, 0), (1, WINDOW_OFFSETS, 0)]), [false, true]);
        assert_eq!(check(&[(1, 0, 0), (1, WINDOW_OFFSETS + 1, 0)]), [false, false]);
    }

    #[test]
    fn edges_of_the_24_hours() {
        assert_eq!(check(&[(1, 0, 0), (1, 1, 24)]), [false, true]);
        assert_eq!(check(&[(1, 0, 0), (1, 1, 25)]), [false, false]);
    }

    #[test]
    fn a_duplicate_carries_the_window_on() {
        assert_eq!(check(&[(1, 0, 0), (1, 900_000, 20), (1, 1_800_000, 40)]), [false, true, true]);
    }

    #[test]
    fn an_earlier_entry_stamped_later_still_counts() {
        assert_eq!(check(&[(1, 0, 100), (1, 1, 10), (1, 2, 50)]), [false, true, true]);
    }

    #[test]
    fn an_entry_stamped_later_leaves_with_its_offset() {
        assert_eq!(
            check(&[(1, 0, 100), (1, 500_000, 10), (1, 1_000_001, 50)]),
            [false, true, false]
        );
    }

    #[test]
    fn an_entry_that_is_delivered_twice_leaves_with_its_offset() {
        let mut filter = DuplicateFilter::default();
        for (id, offset) in [(1, 10), (2, 11), (1, 10)] {
            filter.remember(id, offset, Some(0));
        }
        assert!(filter.is_duplicate(1, 10 + WINDOW_OFFSETS, Some(0)));
        assert!(!filter.is_duplicate(1, 11 + WINDOW_OFFSETS, Some(0)));
    }

    #[test]
    fn a_gap_of_more_offsets_than_the_lower_half_tells_forgets_everything() {
        let far = 10 + (1 << 32);
        assert_eq!(check(&[(1, 10, 0), (1, far, 0), (1, far + 1, 0)]), [false, false, true]);
    }

    #[test]
    fn an_entry_takes_no_more_memory_than_it_must() {
        assert_eq!(size_of::<Seen>(), 32);
    }

    #[test]
    fn blocks_come_and_go() {
        let mut filter = DuplicateFilter::default();
        let step = 300;
        for number in 0..10_000 {
            filter.remember(u128::from(number), number * step, Some(0));
            let held = u64::try_from(filter.len()).unwrap();
            assert_eq!(held, (number + 1).min(WINDOW_OFFSETS / step + 1));
        }
        assert!(filter.is_duplicate(9_999, 9_999 * step, Some(0)));
        let oldest = 9_999 - WINDOW_OFFSETS / step;
        assert!(filter.is_duplicate(u128::from(oldest), 9_999 * step, Some(0)));
        assert!(!filter.is_duplicate(u128::from(oldest - 1), 9_999 * step, Some(0)));
    }

    #[test]
    fn agrees_with_a_scan_of_the_log() {
        use proptest::prelude::*;
        let event = (0u128..4, 1u64..600_000, 0i64..60);
        proptest!(|(steps in proptest::collection::vec(event, 1..60))| {
            let mut offset = 0;
            let events = steps.into_iter().map(|(id, step, hours)| {
                offset += step;
                (id, offset, hours)
            });
            let events: Vec<_> = events.collect();
            let expected: Vec<bool> = events.iter().enumerate().map(|(i, &(id, offset, hours))| {
                events[..i].iter().any(|&(other, at, stamped)| {
                    other == id && at + WINDOW_OFFSETS >= offset && stamped >= hours - 24
                })
            }).collect();
            prop_assert_eq!(check(&events), expected);
        });
    }
}
