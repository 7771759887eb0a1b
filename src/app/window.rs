//! Keeps the records of the embedded broker that the worker has not read within what the broker
//! keeps of a partition, so that none is ever evicted unread.
//!
//! A record in flight may come to lie in any partition. Bytes are counted before compression, so
//! the broker holds less than what is counted here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a record beyond its key and value, at most, even where it is a batch of its own.
const OVERHEAD_BYTES: usize = 96;

/// Bytes of the blocks in which records are forgotten.
const BLOCK_BYTES: usize = 16 * 1024;

/// The records that are handed over and not read yet.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Bytes handed to the client and not acknowledged.
    in_flight: AtomicUsize,
    unread: Mutex<BTreeMap<u32, Unread>>,
}

/// The acknowledged records of a partition that were not read when it was last looked.
#[derive(Debug, Default)]
struct Unread {
    bytes: usize,
    /// (offset behind the block, its bytes), in order.
    blocks: VecDeque<(u64, usize)>,
}

/// Memory that a record takes.
pub(super) fn weight(payload: &[u8], key: Option<&[u8]>) -> usize {
    payload.len() + key.map_or(0, <[u8]>::len) + OVERHEAD_BYTES
}

impl Window {
    /// A record is handed to the client.
    pub(super) fn sent(&self, weight: usize) {
        self.in_flight.fetch_add(weight, Ordering::Relaxed);
    }

    /// The broker holds the record at this offset.
    pub(super) fn delivered(&self, partition: u32, offset: u64, weight: usize) {
        let mut unread = self.lock();
        let unread = unread.entry(partition).or_default();
        unread.bytes += weight;
        match unread.blocks.back_mut().filter(|(_, bytes)| *bytes < BLOCK_BYTES) {
            Some(block) => *block = (offset + 1, block.1 + weight),
            None => unread.blocks.push_back((offset + 1, weight)),
        }
        // Only now, so that the record is counted all the time.
        self.in_flight.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Bytes that lie unread in the partition where most do, with those in flight. `next_offset`
    /// says how far a partition is read.
    pub(super) fn bytes(&self, next_offset: impl Fn(u32) -> u64) -> usize {
        // In this order: what is acknowledged in between is counted twice instead of not at all.
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let mut unread = self.lock();
        let most = unread.iter_mut().map(|(&partition, unread)| {
            unread.forget(next_offset(partition));
            unread.bytes
        });
        most.max().unwrap_or(0) + in_flight
    }

    // The values are whole between any two calls, so a panic elsewhere has not broken them.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Unread>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unread {
    fn forget(&mut self, next_offset: u64) {
        while let Some((_, bytes)) = self.blocks.pop_front_if(|(behind, _)| *behind <= next_offset)
        {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_or_unread_counts_until_it_is_read() {
        let window = Window::default();
        let read_to = |offsets: [u64; 2]| move |partition| offsets[partition as usize];
        assert_eq!(window.bytes(read_to([0, 0])), 0);
        for _ in 0..3 {
            window.sent(BLOCK_BYTES);
        }
        window.sent(100);
        assert_eq!(window.bytes(read_to([0, 0])), 3 * BLOCK_BYTES + 100);
        window.delivered(0, 0, BLOCK_BYTES);
        window.delivered(1, 0, BLOCK_BYTES);
        window.delivered(0, 1, BLOCK_BYTES);
        assert_eq!(window.bytes(read_to([0, 0])), 2 * BLOCK_BYTES + 100, "the fullest partition");
        assert_eq!(window.bytes(read_to([1, 0])), BLOCK_BYTES + 100);
        window.delivered(0, 2, 100);
        assert_eq!(window.bytes(read_to([2, 0])), BLOCK_BYTES, "partition 1 is unread");
        assert_eq!(window.bytes(read_to([2, 1])), 100);
        assert_eq!(window.bytes(read_to([3, 1])), 0);
    }

    #[test]
    fn a_block_counts_until_its_last_record_is_read() {
        let window = Window::default();
        for offset in 0..10 {
            window.sent(100);
            window.delivered(0, offset, 100);
        }
        assert_eq!(window.bytes(|_| 9), 1_000);
        assert_eq!(window.bytes(|_| 10), 0);
    }
}
