//! The duplicate filter of one partition.
//!
//! A `test.executed` event is a duplicate if another one with the same (account, source, id) stands
//! in the 1,000,000 offsets before it, in a record stamped at most 24 hours earlier. The filter is
//! a function of the log alone: it is never stored, and is restored by replaying the ids of the
//! offsets before a lane's position.

mod entries;
mod positions;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use self::entries::{Entries, Key};
use self::positions::{POSITIONS, Positions};
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

/// Remembers the ids of the last [`WINDOW_OFFSETS`] offsets.
///
/// An entry has a sequence number, which wraps, and a position: its lower bits, which no two
/// entries of a window share.
#[derive(Debug, Default)]
pub struct DuplicateFilter {
    entries: Entries,
    /// Sequence number of the oldest entry.
    first: u32,
    /// Position of the newest entry of each id.
    newest: Positions,
    /// By the sequence number of an entry: distance, in entries, to the nearest earlier one of the
    /// same id that has a later timestamp. Hardly any has one.
    ///
    /// An earlier entry without a later timestamp is left out of the chain: whatever it matches,
    /// this entry matches too, and for longer. So a walk visits only entries that can change the
    /// result.
    earlier: HashMap<u32, usize>,
}

/// What the filter knows of an event: see [`DuplicateFilter::see`].
#[derive(Debug)]
pub struct Sighting {
    /// True if the event is a duplicate.
    pub is_duplicate: bool,
    key: Key,
    offset: u64,
    timestamp_ms: Option<i64>,
    /// The newest entry of the same id, counted from the oldest of all.
    former: Option<usize>,
}

/// Of a sequence number.
fn position(sequence: u32) -> u32 {
    sequence % POSITIONS
}

impl DuplicateFilter {
    /// Brings what [`see`](Self::see) will read into the processor's cache.
    pub fn prefetch(&self, id: u128) {
        self.newest.prefetch(Key(id));
    }

    /// Looks up whether the event is a duplicate of one that was remembered. `timestamp_ms` is the
    /// Kafka record's; a record without one is treated as near in time to any other.
    pub fn see(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) -> Sighting {
        self.forget_before(offset.saturating_sub(WINDOW_OFFSETS));
        let key = Key(id);
        let former = self.newest_of(key);
        let oldest_ms = timestamp_ms.map_or(i64::MIN, |ms| ms.saturating_sub(WINDOW_MS));
        let mut next = former;
        let mut is_duplicate = false;
        while let Some(index) = next
            && !is_duplicate
        {
            is_duplicate = self.entries.time_ms(index) >= oldest_ms;
            next = self.earlier_than(index);
        }
        Sighting { is_duplicate, key, offset, timestamp_ms, former }
    }

    /// Remembers an event, counted or not, that nothing else was remembered after. An event that
    /// does not lie beyond all remembered ones was delivered twice and is ignored: added again,
    /// behind later ones, it would stay longer than its offset allows.
    pub fn remember(&mut self, seen: Sighting) {
        let Sighting { key, offset, former, .. } = seen;
        if self.entries.newest_offset().is_some_and(|newest| newest >= offset) {
            return;
        }
        let timestamp_ms = seen.timestamp_ms.unwrap_or(i64::MAX);
        let index = self.entries.len();
        let sequence = self.sequence(index);
        if let Some(former) = former {
            debug_assert_eq!(self.entries.key(former), Some(key), "the sighting is out of date");
            let former_position = position(self.sequence(former));
            self.newest.replace(key, former_position, position(sequence));
            let mut next = Some(former);
            while let Some(at) = next {
                if self.entries.time_ms(at) > timestamp_ms {
                    self.earlier.insert(sequence, index - at);
                    break;
                }
                next = self.earlier_than(at);
            }
        } else {
            if !self.newest.has_room() {
                self.grow();
            }
            self.newest.add(key, position(sequence));
        }
        self.entries.push(key, timestamp_ms, offset);
    }

    /// Number of ids that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// The newest entry of an id, counted from the oldest of all.
    fn newest_of(&self, key: Key) -> Option<usize> {
        let is_id = |position| self.entries.key(self.index(position)) == Some(key);
        self.newest.find(key, is_id).map(|position| self.index(position))
    }

    /// The next entry of the chain; `None` once it has left the window.
    fn earlier_than(&self, index: usize) -> Option<usize> {
        let back = self.earlier.get(&self.sequence(index))?;
        index.checked_sub(*back)
    }

    fn sequence(&self, index: usize) -> u32 {
        let index = u32::try_from(index).expect("at most one entry per offset of the window");
        self.first.wrapping_add(index)
    }

    /// The index of the entry with that position.
    fn index(&self, of_position: u32) -> usize {
        position(of_position.wrapping_sub(self.first)) as usize
    }

    fn grow(&mut self) {
        let mut larger = self.newest.larger();
        for index in 0..self.entries.len() {
            let Some(key) = self.entries.key(index) else { continue };
            let position = position(self.sequence(index));
            let is_id = |position| self.entries.key(self.index(position)) == Some(key);
            match larger.find(key, is_id) {
                Some(former) => larger.replace(key, former, position),
                None => larger.add(key, position),
            }
        }
        self.newest = larger;
    }

    fn forget_before(&mut self, offset: u64) {
        let Some(newest_offset) = self.entries.newest_offset() else { return };
        if offset > newest_offset {
            *self = Self::default();
            return;
        }
        while let Some(key) = self.entries.key(0)
            && self.entries.oldest_offset().is_some_and(|oldest| oldest < offset)
        {
            self.newest.remove(key, position(self.first));
            if !self.earlier.is_empty() {
                self.earlier.remove(&self.first);
            }
            self.entries.pop();
            self.first = self.first.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    impl DuplicateFilter {
        fn is_duplicate(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) -> bool {
            self.see(id, offset, timestamp_ms).is_duplicate
        }

        fn add(&mut self, id: u128, offset: u64, timestamp_ms: Option<i64>) {
            let seen = self.see(id, offset, timestamp_ms);
            self.remember(seen);
        }
    }

    /// Feeds (id, offset, hours) and returns which were duplicates.
    fn check(events: &[(u128, u64, i64)]) -> Vec<bool> {
        let mut filter = DuplicateFilter::default();
        let judge = |&(id, offset, hours): &(u128, u64, i64)| {
            let seen = filter.see(id, offset, Some(hours * HOUR_MS));
            let duplicate = seen.is_duplicate;
            filter.remember(seen);
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
            filter.add(id, offset, Some(0));
        }
        assert!(filter.is_duplicate(1, 10 + WINDOW_OFFSETS, Some(0)));
        assert!(!filter.is_duplicate(1, 11 + WINDOW_OFFSETS, Some(0)));
    }

    #[test]
    fn a_gap_beyond_the_window_forgets_everything() {
        let far = 10 + (1 << 32);
        assert_eq!(check(&[(1, 10, 0), (1, far, 0), (1, far + 1, 0)]), [false, false, true]);
    }

    #[test]
    fn entries_of_a_whole_window_fit() {
        assert_eq!(u64::try_from(positions::ENTRIES_MAX), Ok(WINDOW_OFFSETS + 1));
    }

    #[test]
    fn an_id_takes_26_bytes_in_a_full_window() {
        let mut filter = DuplicateFilter::default();
        let fill = |filter: &mut DuplicateFilter| {
            for offset in 0..WINDOW_OFFSETS {
                let id = xxh3_128(&offset.to_le_bytes());
                filter.add(id, offset, Some(i64::try_from(offset).unwrap()));
            }
        };
        let allocated = allocation_counter::measure(|| fill(&mut filter));
        assert_eq!(filter.len(), 1_000_000);
        assert!(allocated.bytes_current < 26_000_000, "{allocated:?}");
    }

    #[test]
    fn blocks_come_and_go() {
        let mut filter = DuplicateFilter::default();
        let step = 300;
        for number in 0..10_000 {
            filter.add(u128::from(number), number * step, Some(0));
            let held = u64::try_from(filter.len()).unwrap();
            assert_eq!(held, (number + 1).min(WINDOW_OFFSETS / step + 1));
        }
        assert!(filter.is_duplicate(9_999, 9_999 * step, Some(0)));
        let oldest = 9_999 - WINDOW_OFFSETS / step;
        assert!(filter.is_duplicate(u128::from(oldest), 9_999 * step, Some(0)));
        assert!(!filter.is_duplicate(u128::from(oldest - 1), 9_999 * step, Some(0)));
    }

    #[test]
    fn numbers_and_positions_are_used_again() {
        let mut filter =
            DuplicateFilter { first: u32::MAX - 300_000, ..DuplicateFilter::default() };
        let id = |number: u64| xxh3_128(&number.to_le_bytes());
        for number in 0..1_200_000_u64 {
            let offset = number * 4;
            filter.add(id(number), offset, Some(0));
            if number % 999 == 0 && number > 250_000 {
                assert!(filter.is_duplicate(id(number - 250_000), offset, Some(0)), "{number}");
                assert!(!filter.is_duplicate(id(number - 250_001), offset, Some(0)), "{number}");
                assert_eq!(filter.len(), 250_001);
            }
        }
    }

    #[test]
    fn agrees_with_a_naive_filter_over_several_windows() {
        let mut filter = DuplicateFilter::default();
        let mut seen: HashMap<u128, Vec<(u64, i64)>> = HashMap::new();
        let (mut offset, mut duplicates) = (0, 0);
        for number in 0..300_000_u64 {
            let random = xxh3_128(&number.to_le_bytes());
            let part = |shift: u32| u64::try_from((random >> shift) & 0xffff_ffff).unwrap();
            offset += 1 + part(0) % 20 + if number % 50_000 == 0 { 400_000 } else { 0 };
            let id = xxh3_128(&(part(32) % 120_000).to_le_bytes());
            let stamped_ms = i64::try_from(offset * 80 + part(64) % 40 * 3_600_000).unwrap();
            let of_id = seen.entry(id).or_default();
            let expected = of_id.iter().rev().any(|&(at, earlier_ms)| {
                at + WINDOW_OFFSETS >= offset && earlier_ms >= stamped_ms - WINDOW_MS
            });
            of_id.push((offset, stamped_ms));
            assert_eq!(filter.is_duplicate(id, offset, Some(stamped_ms)), expected, "{number}");
            filter.add(id, offset, Some(stamped_ms));
            duplicates += u32::from(expected);
        }
        assert!((50_000..200_000).contains(&duplicates), "{duplicates}");
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
