//! Realistic load: the usage events of generated accounts, in log order, the same for the same
//! [`Load`].
//!
//! Each account is a stream of its own, planned one local day at a time (`account`), so memory is
//! bounded by a day and by the events that are held back as late. The streams are merged by time,
//! and `noise` adds what a real log has: late, duplicate and malformed records. Nothing here
//! performs I/O or reads a clock.

mod account;
mod line;
mod load;
mod noise;
mod showcase;
mod wire;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use self::account::{AccountStream, BUSY};
pub use self::line::Line;
pub use self::load::{Load, PLAN_AGE_DAYS_MAX, Shares};
use self::noise::Noise;

/// The lines of a [`Load`], in the order of the log.
pub struct Generator {
    rng: ChaCha8Rng,
    streams: Vec<AccountStream>,
    /// (time of its next event, stream), earliest first.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    noise: Noise,
}

impl Generator {
    /// Builds the accounts; lines are generated on demand.
    pub fn new(load: &Load) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(load.seed);
        let mut streams: Vec<_> =
            (0..load.accounts).map(|number| AccountStream::new(load, number)).collect();
        let next = streams
            .iter_mut()
            .enumerate()
            .filter_map(|(index, stream)| Some(Reverse((stream.next_time_ms()?, index))))
            .collect();
        let noise = Noise::new(load.seed, load.shares);
        Self { rng, streams, next, noise }
    }

    /// A line of an event at `now_ms`, in one of the accounts in their state after the lines taken
    /// so far: the busier one is at that hour and weekday of its zone, the likelier. Where all are
    /// quiet, often none. A late one is held back until a later call, and a call may yield several
    /// lines.
    pub fn live(&mut self, now_ms: i64) -> Vec<Line> {
        let busy: Vec<u32> = self.streams.iter().map(|stream| stream.busy(now_ms)).collect();
        let total: u32 = busy.iter().sum();
        let mut ticket = self.rng.random_range(0..total.max(BUSY));
        for (stream, busy) in self.streams.iter_mut().zip(busy) {
            if ticket < busy {
                let (line, kind) = stream.live(&mut self.rng, now_ms);
                self.noise.take(line, kind);
                break;
            }
            ticket -= busy;
        }
        std::iter::from_fn(|| self.noise.next_line()).collect()
    }
}

impl Iterator for Generator {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.noise.next_line() {
                return Some(line);
            }
            let Some(Reverse((_, index))) = self.next.pop() else { return self.noise.last_line() };
            let stream = &mut self.streams[index];
            if let Some((line, kind)) = stream.next_line() {
                self.noise.take(line, kind);
            }
            if let Some(time_ms) = stream.next_time_ms() {
                self.next.push(Reverse((time_ms, index)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
