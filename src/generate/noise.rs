//! Noise of a real log: late, duplicate and malformed records.

use std::collections::{BTreeMap, VecDeque};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::line::{Line, LineKind};
use super::load::Shares;

const MINUTE_MS: i64 = 60_000;

/// A duplicate follows its original by at most this many lines, far within the window in which it
/// is recognized.
const DUPLICATE_LINES_MAX: u64 = 2_000;

/// Adds the noise; holds back lines that are to come later.
pub(super) struct Noise {
    rng: ChaCha8Rng,
    shares: Shares,
    /// Lines that are ready.
    ready: VecDeque<Line>,
    /// Late lines by arrival time and by number, so that ties keep their order.
    late: BTreeMap<(i64, u64), Line>,
    /// Duplicates by the number of the line that they precede, and by that of their original.
    duplicates: BTreeMap<(u64, u64), Line>,
    /// Lines taken in.
    lines: u64,
}

impl Noise {
    pub(super) fn new(seed: u64, shares: Shares) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Accounts use the streams from 1 on, the merge uses 0.
        rng.set_stream(u64::MAX);
        Self {
            rng,
            shares,
            ready: VecDeque::new(),
            late: BTreeMap::new(),
            duplicates: BTreeMap::new(),
            lines: 0,
        }
    }

    /// Takes the next good line; lines come by order of time.
    pub(super) fn take(&mut self, line: Line, kind: LineKind) {
        self.lines += 1;
        self.release(line.time_ms);
        if self.rng.random_bool(self.shares.malformed) {
            let json = malformed(&mut self.rng, &line.json);
            self.ready.push_back(Line { time_ms: line.time_ms, json });
        }
        if kind == LineKind::Test && self.rng.random_bool(self.shares.duplicates) {
            let before = self.lines + self.rng.random_range(1..=DUPLICATE_LINES_MAX);
            self.duplicates.insert((before, self.lines), line.clone());
        }
        if self.rng.random_bool(self.shares.late) {
            let delay_ms = match self.rng.random_range(0..100) {
                0..50 => self.rng.random_range(1..60) * MINUTE_MS,
                50..85 => self.rng.random_range(1..24) * 60 * MINUTE_MS,
                _ => self.rng.random_range(1..=20) * 24 * 60 * MINUTE_MS,
            };
            self.late.insert((line.time_ms + delay_ms, self.lines), line);
        } else {
            self.ready.push_back(line);
        }
    }

    /// The next ready line.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    /// The lines that are still held back when nothing follows.
    pub(super) fn last_line(&mut self) -> Option<Line> {
        let late = self.late.pop_first();
        late.map(|(_, line)| line).or_else(|| self.duplicates.pop_first().map(|(_, line)| line))
    }

    fn release(&mut self, time_ms: i64) {
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= time_ms) {
            self.ready.push_back(entry.remove());
        }
        while let Some(entry) =
            self.duplicates.first_entry().filter(|entry| entry.key().0 <= self.lines)
        {
            self.ready.push_back(entry.remove());
        }
    }
}

/// Damages a good line in one of the ways that occur in practice.
fn malformed(rng: &mut ChaCha8Rng, good: &[u8]) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(good).expect("a generated line is JSON");
    match rng.random_range(0..8) {
        0 => return good[..good.len() / 2].to_vec(),
        1 => return b"connection reset by peer".to_vec(),
        2 => event["type"] = json!("user.logged_in"),
        3 => event["time"] = json!("1970-01-01T00:00:00.000Z"),
        4 => event["time"] = json!("2150-01-01T00:00:00.000Z"),
        5 => event["time"] = json!("yesterday"),
        6 => event["data"]["account_id"] = json!(-1),
        _ => event["data"] = Value::Null,
    }
    serde_json::to_vec(&event).expect("a JSON value is always JSON text")
}
