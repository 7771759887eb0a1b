//! Realistic load: the usage events of generated accounts, in log order, the same for the same
//! [`Load`].
//!
//! Each account is a stream of its own, planned one local day at a time (`account`), so memory is
//! bounded by a day and by the events that are held back as late. The streams are merged by time,
//! and `noise` adds what a real log has: late, duplicate and malformed records. Nothing here
//! performs I/O or reads a clock.

mod account;
mod noise;
mod showcase;
mod wire;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use self::account::{AccountStream, BUSY};
use self::noise::Noise;

/// How many days before the first instant a plan may have started, at most.
pub const PLAN_AGE_DAYS_MAX: i32 = 199;

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The same seed and the same other fields yield the same lines.
    pub seed: u64,
    /// The first instant, milliseconds since 1970 UTC. Plans may have started earlier.
    pub from_ms: i64,
    /// The end, exclusive.
    pub to_ms: i64,
    /// Accounts, 1 or more.
    pub accounts: u32,
    /// Organizations of each account, 1 or more.
    pub organizations: u32,
    /// Users of each account, 1 or more.
    pub users: u32,
    /// How likely a user's active day is, percent of what it is in an ordinary account.
    pub attendance_percent: u32,
    /// Actions of a user on an active day, mean; a login comes on top.
    pub actions_per_day: u32,
    /// `test.executed` events of an organization on a working day, mean.
    pub test_runs_per_day: u32,
    /// Noise, as shares.
    pub shares: Shares,
    /// The first account shows an organization within its quota, one in its grace (42), and one
    /// that has exhausted both.
    pub showcase: bool,
}

/// Noise in a log. Each field is a share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// `test.executed` events that are delivered twice.
    pub duplicates: f64,
    /// Events that are held back by minutes to weeks.
    pub late: f64,
    /// Malformed lines that are added, per event.
    pub malformed: f64,
}

impl Load {
    /// A few middle-sized accounts.
    pub fn ordinary(from_ms: i64, to_ms: i64) -> Self {
        Self {
            seed: 1,
            from_ms,
            to_ms,
            accounts: 4,
            organizations: 12,
            users: 160,
            attendance_percent: 100,
            actions_per_day: 6,
            test_runs_per_day: 12,
            shares: Shares { duplicates: 0.01, late: 0.01, malformed: 0.001 },
            showcase: false,
        }
    }

    /// What `demo` shows: ordinary accounts, the first of which has an organization for each status
    /// of a quota.
    pub fn demo(from_ms: i64, to_ms: i64) -> Self {
        Self { showcase: true, ..Self::ordinary(from_ms, to_ms) }
    }

    /// One account of 2,000 organizations and about 100,000 seats, for benchmarks of the reports:
    /// over three years some 8 million events.
    pub fn large_account(from_ms: i64, to_ms: i64) -> Self {
        Self {
            accounts: 1,
            organizations: 2_000,
            users: 115_000,
            attendance_percent: 15,
            actions_per_day: 0,
            test_runs_per_day: 1,
            shares: Shares { duplicates: 0.001, late: 0.0005, malformed: 0.0001 },
            ..Self::ordinary(from_ms, to_ms)
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the event happened, milliseconds since 1970 UTC; for a malformed line, that of the
    /// event it was made from.
    pub time_ms: i64,
    /// JSON on one line, without the line end. Malformed lines may be anything, but hold no line
    /// end either.
    pub json: Vec<u8>,
}

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
