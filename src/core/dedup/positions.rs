//! A table from ids to the positions of their newest entries, in which a probe touches one cache
//! line: 15 places and a count of what did not fit, 64 bytes. A place holds twelve bits of the id
//! beside the position, so that nearly no other entry is looked at.

use hashbrown::HashMap;

use super::entries::Key;
use crate::core::prefetch::prefetch;

/// Bits of a position.
const POSITION_BITS: u32 = 20;

/// Positions run from 0 to one less than this.
pub(super) const POSITIONS: u32 = 1 << POSITION_BITS;

/// Places of a bucket.
const PLACES: usize = 15;

/// Positions for each bucket, at most, on average: with more, many would not fit.
const MEAN_MAX: usize = 10;

/// Buckets at the start.
const BUCKETS_MIN: usize = 16;

/// Entries at most: one for each offset of the window and of its end.
pub(super) const ENTRIES_MAX: usize = 1_000_001;

/// Buckets for so many.
const BUCKETS_MAX: usize = ENTRIES_MAX.div_ceil(MEAN_MAX);

/// A bucket, in a cache line of its own.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// 0, or the mark of an id above the bits of a position.
    places: [u32; PLACES],
    /// How many more belong here, and are in [`Positions::beyond`].
    beyond: u32,
}

impl Bucket {
    /// The places of which this holds, a bit each. All are looked at, without a branch, in a few
    /// vector instructions.
    #[inline(always)]
    fn places_where(&self, holds: impl Fn(u32) -> bool) -> u32 {
        let bits = self.places.iter().enumerate();
        bits.fold(0, |found, (at, place)| found | u32::from(holds(*place)) << at)
    }
}

/// The table. Positions are of entries that its owner holds.
#[derive(Debug, Default)]
pub(super) struct Positions {
    buckets: Vec<Bucket>,
    /// Places that did not fit, by the number of their bucket: one in a hundred.
    beyond: HashMap<usize, Vec<u32>>,
    len: usize,
}

/// Never 0, so that no place is.
fn mark(key: Key) -> u32 {
    (key.mark_bits() % ((1 << (u32::BITS - POSITION_BITS)) - 1)) + 1
}

fn place(key: Key, position: u32) -> u32 {
    mark(key) << POSITION_BITS | position
}

impl Positions {
    /// Brings what [`find`](Self::find) will read into the processor's cache.
    pub(super) fn prefetch(&self, key: Key) {
        if let Some(number) = self.bucket_of(key) {
            prefetch(&self.buckets[number]);
        }
    }

    /// The position of an entry that is of this id, as `is_id` tells by the position.
    pub(super) fn find(&self, key: Key, is_id: impl Fn(u32) -> bool) -> Option<u32> {
        let number = self.bucket_of(key)?;
        let bucket = &self.buckets[number];
        let mark = mark(key);
        let of_id = |place: u32| Some(place & (POSITIONS - 1)).filter(|position| is_id(*position));
        let mut marked = bucket.places_where(|place| place >> POSITION_BITS == mark);
        while marked != 0 {
            let found = of_id(bucket.places[marked.trailing_zeros() as usize]);
            if found.is_some() {
                return found;
            }
            marked &= marked - 1;
        }
        if bucket.beyond == 0 {
            return None;
        }
        let mut beyond = self.beyond.get(&number).into_iter().flatten();
        beyond.find_map(|place| of_id(*place).filter(|_| place >> POSITION_BITS == mark))
    }

    /// Puts a position in the place of a former one of the same id.
    pub(super) fn replace(&mut self, key: Key, former: u32, position: u32) {
        if let Some(held) = self.place_mut(key, former) {
            *held = place(key, position);
        }
    }

    /// Adds the position of an id that has none. There must be [room](Self::has_room).
    pub(super) fn add(&mut self, key: Key, position: u32) {
        let Some(number) = self.bucket_of(key) else { return };
        self.len += 1;
        let bucket = &mut self.buckets[number];
        let free = bucket.places_where(|place| place == 0).trailing_zeros() as usize;
        match bucket.places.get_mut(free) {
            Some(free) => *free = place(key, position),
            None => {
                bucket.beyond += 1;
                self.beyond.entry(number).or_default().push(place(key, position));
            }
        }
    }

    /// Removes a position, if it is held.
    pub(super) fn remove(&mut self, key: Key, position: u32) {
        let Some(number) = self.bucket_of(key) else { return };
        let wanted = place(key, position);
        let bucket = &mut self.buckets[number];
        let held = bucket.places_where(|place| place == wanted).trailing_zeros() as usize;
        if let Some(held) = bucket.places.get_mut(held) {
            *held = 0;
            self.len -= 1;
        } else if let Some(beyond) = self.beyond.get_mut(&number)
            && let Some(at) = beyond.iter().position(|place| *place == wanted)
        {
            beyond.swap_remove(at);
            if beyond.is_empty() {
                self.beyond.remove(&number);
            }
            bucket.beyond -= 1;
            self.len -= 1;
        }
    }

    /// False if a larger table is needed before another position is added.
    pub(super) fn has_room(&self) -> bool {
        self.len < self.buckets.len() * MEAN_MAX || self.buckets.len() == BUCKETS_MAX
    }

    /// An empty table with room for twice as many.
    pub(super) fn larger(&self) -> Self {
        let buckets = (self.buckets.len() * 2).clamp(BUCKETS_MIN, BUCKETS_MAX);
        Self { buckets: vec![Bucket::default(); buckets], beyond: HashMap::new(), len: 0 }
    }

    /// `None` as long as there are no buckets.
    fn bucket_of(&self, key: Key) -> Option<usize> {
        let buckets = u128::try_from(self.buckets.len()).ok().filter(|buckets| *buckets > 0)?;
        // The upper half of the product is below the number of buckets, each equally likely.
        usize::try_from((u128::from(key.bucket_bits()) * buckets) >> 64).ok()
    }

    fn place_mut(&mut self, key: Key, position: u32) -> Option<&mut u32> {
        let number = self.bucket_of(key)?;
        let wanted = place(key, position);
        let beyond = self.beyond.get_mut(&number).into_iter().flatten();
        let mut places = self.buckets[number].places.iter_mut().chain(beyond);
        places.find(|place| **place == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id that falls into the first bucket, whatever their number.
    fn crowded(number: u32) -> Key {
        Key(u128::from(number))
    }

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }

    #[test]
    fn what_does_not_fit_into_its_bucket_is_found_replaced_and_removed() {
        let mut table = Positions::default().larger();
        let count = 100;
        (0..count).for_each(|number| table.add(crowded(number), number));
        let find = |table: &Positions, number: u32, position: u32| {
            table.find(crowded(number), |at| at == position)
        };
        assert!((0..count).all(|number| find(&table, number, number) == Some(number)));
        (0..count).for_each(|number| table.replace(crowded(number), number, number + 1_000));
        assert!((0..count).all(|number| find(&table, number, number).is_none()));
        (0..count).for_each(|number| table.remove(crowded(number), number + 1_000));
        assert_eq!((table.len, table.beyond.len()), (0, 0));
        assert!(table.buckets.iter().all(|bucket| bucket.beyond == 0 && bucket.places == [0; 15]));
    }

    #[test]
    fn the_largest_table_has_room_for_all_entries_and_positions_for_each() {
        let mut table = Positions::default();
        while table.buckets.len() < BUCKETS_MAX {
            assert!(table.larger().buckets.len() > table.buckets.len());
            table = table.larger();
        }
        assert!(table.has_room());
        assert!(ENTRIES_MAX <= POSITIONS as usize);
    }
}
