//! The duplicate filter of one partition.
//!
//! A `test.executed` event is a duplicate if another one with the same (account, source, id) stands in the 1,000,000
//! offsets before it, in a record stamped at most 24 hours earlier. The filter is a function of the log alone: it is never
//! stored, and is made whole again by replaying the ids of the offsets before a lane's position.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// How many offsets back a duplicate is looked for.
pub const WINDOW_OFFSETS: u64 = 1_000_000;

/// How much earlier than its duplicate a record may be stamped, milliseconds.
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// One `test.executed` event that was read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: u128,
    offset: u64,
    timestamp_ms: i64,
    /// The sequence number of an earlier entry of the same id that is stamped later than this one.
    ///
    /// An earlier entry that is not stamped later can be left out of the chain: whatever it matches, this one matches too,
    /// and for longer. So a walk meets only entries that could matter.
    earlier: Option<u32>,
}

/// Remembers the ids of the last [`WINDOW_OFFSETS`] offsets.
#[derive(Debug, Default)]
pub struct DuplicateFilter {
    /// In offset order; entry `i` has sequence number `first + i`, wrapping.
    seen: VecDeque<Seen>,
    first: u32,
    /// Sequence number of the newest entry of each id.
    newest: HashTable<u32>,
}

/// The hash table's hash: the id is a good hash already, so any of its halves will do.
fn table_hash(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).expect("masked to 64 bits")
}

impl DuplicateFilter {
    /// True if the event is a duplicate of one that was [`remember`](Self::remember)ed. `timestamp_ms` is the Kafka
    /// record's; a record without one is taken as near to any other.
    pub fn is_duplicate(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) -> bool {
        self.forget_before(offset.saturating_sub(WINDOW_OFFSETS));
        let oldest_ms = timestamp_ms.map_or(i64::MIN, |ms| ms.saturating_sub(WINDOW_MS));
        let mut next = self.find(id);
        while let Some(entry) = next.and_then(|sequence| self.entry(sequence)) {
            if entry.timestamp_ms >= oldest_ms {
                return true;
            }
            next = entry.earlier;
        }
        false
    }

    /// Remembers an event, counted or not. One that does not lie beyond all that are remembered was delivered twice, and
    /// is remembered already: once more, behind later ones, it would stay longer than its offset may.
    pub fn remember(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) {
        if self.seen.back().is_some_and(|newest| newest.offset >= offset) {
            return;
        }
        self.forget_before(offset.saturating_sub(WINDOW_OFFSETS));
        let timestamp_ms = timestamp_ms.unwrap_or(i64::MAX);
        let previous = self.find(id);
        let mut earlier = previous;
        while let Some(entry) = earlier.and_then(|sequence| self.entry(sequence)) {
            if entry.timestamp_ms > timestamp_ms {
                break;
            }
            earlier = entry.earlier;
        }
        let held = u32::try_from(self.seen.len()).expect("at most one entry per offset of the window");
        let sequence = self.first.wrapping_add(held);
        self.seen.push_back(Seen { id, offset, timestamp_ms, earlier });

        let (seen, first) = (&self.seen, self.first);
        let id_of = |sequence: &u32| seen[sequence.wrapping_sub(first) as usize].id;
        match self.newest.find_mut(table_hash(id), |other| id_of(other) == id) {
            Some(newest) => *newest = sequence,
            None => {
                self.newest.insert_unique(table_hash(id), sequence, |other| table_hash(id_of(other)));
            }
        }
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn find(&self, id: u128) -> Option<u32> {
        let is_id = |sequence: &u32| self.entry(*sequence).is_some_and(|entry| entry.id == id);
        self.newest.find(table_hash(id), is_id).copied()
    }

    /// The entry of that number; `None` once it has left the window.
    fn entry(&self, sequence: u32) -> Option<Seen> {
        self.seen.get(sequence.wrapping_sub(self.first) as usize).copied()
    }

    fn forget_before(&mut self, offset: u64) {
        while let Some(oldest) = self.seen.front() {
            if oldest.offset >= offset {
                return;
            }
            let (id, sequence) = (oldest.id, self.first);
            if let Ok(newest) = self.newest.find_entry(table_hash(id), |other| *other == sequence) {
                newest.remove();
            }
            self.seen.pop_front();
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
        assert_eq!(check(&[(1, 0, 100), (1, 500_000, 10), (1, 1_000_001, 50)]), [false, true, false]);
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
    fn agrees_with_a_scan_of_the_log() {
        use proptest::prelude::*;
        let event = (0u128..4, 1u64..600_000, 0i64..60);
        proptest!(|(steps in proptest::collection::vec(event, 1..60))| {
            let mut offset = 0;
            let events: Vec<_> = steps.into_iter().map(|(id, step, hours)| { offset += step; (id, offset, hours) }).collect();
            let expected: Vec<bool> = events.iter().enumerate().map(|(i, &(id, offset, hours))| {
                events[..i].iter().any(|&(other, at, stamped)| {
                    other == id && at + WINDOW_OFFSETS >= offset && stamped >= hours - 24
                })
            }).collect();
            prop_assert_eq!(check(&events), expected);
        });
    }
}
