//! The remembered events in the order of the log, packed: there are up to a million of them in a
//! partition, so every byte counts.

use std::collections::VecDeque;

/// What identifies an event: a 128-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) u128);

impl Key {
    /// Bits that choose a bucket.
    pub(super) fn bucket_bits(self) -> u64 {
        u64::try_from(self.0 >> 64).expect("64 bits are left")
    }

    /// Other bits, that tell apart what shares a bucket.
    pub(super) fn mark_bits(self) -> u32 {
        u32::try_from(self.0 & u128::from(u32::MAX)).expect("masked to 32 bits")
    }
}

/// Entries per block: a single doubling buffer would hold twice the memory needed, and three times
/// while it grows.
const BLOCK_ENTRIES: usize = 4096;

/// Neighbouring entries of the log.
#[derive(Debug)]
struct Block {
    keys: Vec<Key>,
    times: Times,
    /// Offsets from the entry before to each; the greatest number stands for that and more, in
    /// [`Entries::far_steps`].
    steps: Vec<u8>,
}

impl Block {
    fn new() -> Self {
        Self {
            keys: Vec::with_capacity(BLOCK_ENTRIES),
            times: Times::new(),
            steps: Vec::with_capacity(BLOCK_ENTRIES),
        }
    }
}

/// Entries whose timestamps are kept by their distance from that of the first.
const GROUP_ENTRIES: usize = 64;

/// Timestamps of the entries of a block, milliseconds since 1970 UTC.
#[derive(Debug)]
enum Times {
    /// Those of the first of each group, and the distances of all.
    Near { firsts_ms: Vec<i64>, distances: Vec<i16> },
    /// Some are more than 32 s from the first of their group.
    Far(Vec<i64>),
}

impl Times {
    fn new() -> Self {
        Self::Near { firsts_ms: Vec::new(), distances: Vec::with_capacity(BLOCK_ENTRIES) }
    }

    fn push(&mut self, time_ms: i64) {
        if let Self::Near { firsts_ms, distances } = self {
            if distances.len() % GROUP_ENTRIES == 0 {
                firsts_ms.push(time_ms);
            }
            let first_ms = firsts_ms.last().copied().unwrap_or(time_ms);
            let distance = time_ms.checked_sub(first_ms).and_then(|ms| i16::try_from(ms).ok());
            if let Some(distance) = distance {
                distances.push(distance);
                return;
            }
            let mut all = Vec::with_capacity(BLOCK_ENTRIES);
            all.extend((0..distances.len()).map(|index| near(firsts_ms, distances, index)));
            *self = Self::Far(all);
        }
        if let Self::Far(all) = self {
            all.push(time_ms);
        }
    }

    fn get(&self, index: usize) -> i64 {
        match self {
            Self::Near { firsts_ms, distances } => near(firsts_ms, distances, index),
            Self::Far(all) => all[index],
        }
    }
}

fn near(firsts_ms: &[i64], distances: &[i16], index: usize) -> i64 {
    firsts_ms[index / GROUP_ENTRIES] + i64::from(distances[index])
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Entries {
    blocks: VecDeque<Block>,
    /// Entries at the start of the first block that were removed.
    gone: usize,
    /// Steps of [`u8::MAX`] offsets and more, in log order.
    far_steps: VecDeque<u64>,
    /// Offset of the oldest entry.
    oldest_offset: u64,
    /// Offset of the newest one.
    newest_offset: u64,
}

impl Entries {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        match self.blocks.back() {
            Some(last) => (self.blocks.len() - 1) * BLOCK_ENTRIES + last.keys.len() - self.gone,
            None => 0,
        }
    }

    /// The offset of the oldest entry; `None` if there is none.
    pub(super) fn oldest_offset(&self) -> Option<u64> {
        (self.len() > 0).then_some(self.oldest_offset)
    }

    /// The offset of the newest entry; `None` if there is none.
    pub(super) fn newest_offset(&self) -> Option<u64> {
        (self.len() > 0).then_some(self.newest_offset)
    }

    /// The key of an entry, counted from the oldest, which is 0.
    pub(super) fn key(&self, index: usize) -> Option<Key> {
        let (block, at) = self.place(index);
        self.blocks.get(block)?.keys.get(at).copied()
    }

    /// The timestamp of an entry that is held.
    pub(super) fn time_ms(&self, index: usize) -> i64 {
        let (block, at) = self.place(index);
        self.blocks[block].times.get(at)
    }

    /// Adds an entry, whose offset must lie beyond all others.
    pub(super) fn push(&mut self, key: Key, time_ms: i64, offset: u64) {
        let is_first = self.len() == 0;
        if is_first {
            self.clear();
            self.oldest_offset = offset;
        }
        let distance = if is_first { 0 } else { offset - self.newest_offset };
        self.newest_offset = offset;
        let step = u8::try_from(distance).unwrap_or(u8::MAX);
        if step == u8::MAX {
            self.far_steps.push_back(distance);
        }
        let is_full = self.blocks.back().is_none_or(|last| last.keys.len() == BLOCK_ENTRIES);
        if is_full {
            self.blocks.push_back(Block::new());
        }
        if let Some(last) = self.blocks.back_mut() {
            last.keys.push(key);
            last.times.push(time_ms);
            last.steps.push(step);
        }
    }

    /// Removes the oldest entry.
    pub(super) fn pop(&mut self) {
        self.gone += 1;
        if self.gone == self.blocks.front().map_or(0, |first| first.keys.len()) {
            self.blocks.pop_front();
            self.gone = 0;
        }
        let Some(&step) = self.blocks.front().and_then(|first| first.steps.get(self.gone)) else {
            return;
        };
        let far = (step == u8::MAX).then(|| self.far_steps.pop_front()).flatten();
        self.oldest_offset += far.unwrap_or(u64::from(step));
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn place(&self, index: usize) -> (usize, usize) {
        let index = self.gone + index;
        (index / BLOCK_ENTRIES, index % BLOCK_ENTRIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_times_of_any_distance_are_kept() {
        let steps = [1, 254, 255, 256, 900_000, 1, 2];
        let times = [0, i64::MAX, i64::MIN, 5, -7, 1 << 40, 3];
        let mut entries = Entries::default();
        let mut offset = 1 << 40;
        let mut expected = Vec::new();
        for round in 0..6_000_usize {
            for (&step, &time_ms) in steps.iter().zip(&times) {
                offset += step;
                // Of some blocks all are near.
                let time_ms = if round % 2_000 < 1_000 { time_ms } else { 7 };
                let key = Key(u128::from(offset));
                entries.push(key, time_ms, offset);
                expected.push((key, time_ms, offset));
            }
        }
        for (index, (key, time_ms, _)) in expected.iter().enumerate() {
            assert_eq!((entries.key(index), entries.time_ms(index)), (Some(*key), *time_ms));
        }
        assert_eq!(entries.key(expected.len()), None);
        for (left, (_, _, offset)) in (1..=expected.len()).rev().zip(&expected) {
            assert_eq!((entries.len(), entries.oldest_offset()), (left, Some(*offset)));
            entries.pop();
        }
        assert_eq!((entries.len(), entries.oldest_offset()), (0, None));
    }
}
