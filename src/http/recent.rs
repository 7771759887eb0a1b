//! Seats that rows have touched lately. A merge makes one part of old rows and new ones: the old ones are remembered, so
//! that what comes in is known row by row, also where ClickHouse has merged it before it was seen.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::store::{SeatRow, SeatRowIdentity};

/// Touched seats that are held back for polls to come, at most, for each account; with more the oldest are dropped.
const TOUCHED_MAX: usize = 20_000;
/// Rows that are remembered for each account: the latest so many, and as many before them at most.
const REMEMBERED_MAX: usize = 40_000;
/// How long an account is followed after it was asked for.
const PATIENCE: Duration = Duration::from_secs(600);

/// A seat that a row has touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TouchedSeat {
    pub(super) user: String,
    pub(super) organization: String,
}

/// What stands for the identity of a row: half of its SHA-256, so that nobody can make up two that are alike.
type RowHash = [u8; 16];

/// First and last time of a row, milliseconds since 1970 UTC.
type Times = (i64, i64);

/// What came in lately about the seats of an account that is followed.
#[derive(Debug)]
pub(super) struct RecentSeats {
    /// What came before this version is not among it.
    known_since: u64,
    touched: VecDeque<(u64, TouchedSeat)>,
    latest: HashMap<RowHash, Times>,
    before: HashMap<RowHash, Times>,
    asked_at: Instant,
}

impl RecentSeats {
    /// Nothing has come since that version.
    pub(super) fn since(version: u64) -> Self {
        Self {
            known_since: version,
            touched: VecDeque::new(),
            latest: HashMap::new(),
            before: HashMap::new(),
            asked_at: Instant::now(),
        }
    }

    /// Somebody asks for it.
    pub(super) fn asked_for(&mut self) {
        self.asked_at = Instant::now();
    }

    /// When somebody last did.
    pub(super) fn asked_at(&self) -> Instant {
        self.asked_at
    }

    /// Whether somebody did so lately.
    pub(super) fn is_asked_for(&self) -> bool {
        self.asked_at.elapsed() < PATIENCE
    }

    /// The version saw these rows in new parts, or, if they are `None`, rows that are not known. From when on the new ones
    /// among them change how seats stand and when they were used last, milliseconds since 1970 UTC, the greatest value where
    /// there are none; `None` where that is not known.
    pub(super) fn record(&mut self, version: u64, rows: Option<Vec<SeatRow>>) -> Option<i64> {
        let Some(rows) = rows else {
            self.touched.clear();
            self.known_since = version;
            return None;
        };
        let mut earliest_ms = i64::MAX;
        let mut touched = BTreeSet::new();
        for row in rows {
            let hash = hash_of(&row.identity);
            let known = self.latest.get(&hash).or_else(|| self.before.get(&hash)).copied();
            let (first_ms, last_ms) = known.unwrap_or((i64::MAX, i64::MIN));
            if row.first_ms < first_ms {
                earliest_ms = earliest_ms.min(row.first_ms);
            }
            if row.last_ms > last_ms {
                earliest_ms = earliest_ms.min(row.last_ms);
            }
            let is_of_nobody = row.identity.user.is_empty();
            if !is_of_nobody && (row.first_ms < first_ms || row.last_ms > last_ms) {
                touched.insert(TouchedSeat { user: row.identity.user, organization: row.identity.organization });
            }
            self.remember(hash, (first_ms.min(row.first_ms), last_ms.max(row.last_ms)));
        }
        self.touched.extend(touched.into_iter().map(|seat| (version, seat)));
        while self.touched.len() > TOUCHED_MAX
            && let Some((dropped, _)) = self.touched.pop_front()
        {
            self.known_since = dropped;
        }
        Some(earliest_ms)
    }

    /// The seats that were touched after that version; `None` where they are not known any more.
    pub(super) fn after(&self, version: u64) -> Option<Vec<TouchedSeat>> {
        let start = self.touched.partition_point(|(touched, _)| *touched <= version);
        (version >= self.known_since).then(|| self.touched.range(start..).map(|(_, seat)| seat.clone()).collect())
    }

    fn remember(&mut self, hash: RowHash, times: Times) {
        self.latest.insert(hash, times);
        if self.latest.len() >= REMEMBERED_MAX {
            self.before = std::mem::take(&mut self.latest);
        }
    }
}

fn hash_of(identity: &SeatRowIdentity) -> RowHash {
    let mut hasher = Sha256::new();
    for text in [&identity.user, &identity.organization, &identity.fact] {
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
    }
    hasher.update(identity.start_ms.to_le_bytes());
    let mut hash = RowHash::default();
    hash.copy_from_slice(&hasher.finalize()[..size_of::<RowHash>()]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(user: usize, first_ms: i64, last_ms: i64) -> SeatRow {
        let identity =
            SeatRowIdentity { user: user.to_string(), organization: "o".to_owned(), fact: String::new(), start_ms: 1 };
        SeatRow { identity, first_ms, last_ms }
    }

    fn users(recent: &RecentSeats, version: u64) -> Option<Vec<String>> {
        Some(recent.after(version)?.into_iter().map(|seat| seat.user).collect())
    }

    #[test]
    fn of_rows_that_were_merged_only_the_new_ones_are_told() {
        let mut recent = RecentSeats::since(3);
        assert_eq!(recent.record(4, Some(vec![used(1, 50, 60), used(2, 55, 55)])), Some(50));
        // The first was used again, the second is what it was, the third is new.
        assert_eq!(recent.record(5, Some(vec![used(1, 50, 70), used(2, 55, 55), used(3, 65, 65)])), Some(65));
        assert_eq!(recent.record(6, Some(vec![used(1, 50, 80), used(3, 65, 65)])), Some(80));
        assert_eq!(recent.record(7, Some(vec![used(1, 50, 60), used(3, 40, 65)])), Some(40));
        let told = [2, 3, 4, 5, 6, 7].map(|version| users(&recent, version).map(|users| users.join(" ")));
        let expected = [None, Some("1 2 1 3 1 3"), Some("1 3 1 3"), Some("1 3"), Some("3"), Some("")];
        assert_eq!(told.each_ref().map(Option::as_deref), expected);
    }

    #[test]
    fn facts_of_one_seat_are_told_apart() {
        let fact = |fact: &str, start_ms| SeatRow {
            identity: SeatRowIdentity { fact: fact.to_owned(), start_ms, ..used(1, 0, 0).identity },
            first_ms: start_ms,
            last_ms: start_ms,
        };
        let mut recent = RecentSeats::since(0);
        assert_eq!(recent.record(1, Some(vec![fact("assigned s 1", 9)])), Some(9));
        assert_eq!(recent.record(2, Some(vec![fact("assigned s 1", 9)])), Some(i64::MAX));
        assert_eq!(recent.record(3, Some(vec![fact("revoked s 2", 9), fact("assigned s 1", 8)])), Some(8));
        assert_eq!(users(&recent, 1).unwrap(), ["1"]);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut recent = RecentSeats::since(0);
        recent.record(1, Some(vec![used(1, 5, 5)]));
        assert_eq!(recent.record(2, None), None);
        recent.record(3, Some(vec![used(2, 6, 6)]));
        assert_eq!([1, 2, 3].map(|version| users(&recent, version).map(|users| users.len())), [None, Some(1), Some(0)]);
        recent.record(4, Some((0..TOUCHED_MAX).map(|user| used(user, 4, 9)).collect()));
        assert_eq!(users(&recent, 2), None);
        assert_eq!(users(&recent, 3).map(|users| users.len()), Some(TOUCHED_MAX));
    }

    #[test]
    fn what_was_forgotten_counts_as_new() {
        let mut recent = RecentSeats::since(0);
        recent.record(1, Some(vec![used(0, 5, 5)]));
        for round in 0..2_usize {
            let others = (1..=REMEMBERED_MAX).map(|user| used(round * REMEMBERED_MAX + user, 9, 9));
            recent.record(2, Some(others.collect()));
        }
        assert!(recent.latest.len() + recent.before.len() <= 2 * REMEMBERED_MAX);
        assert_eq!(recent.record(3, Some(vec![used(0, 5, 5)])), Some(5));
        assert_eq!(users(&recent, 2).unwrap(), ["0"]);
    }
}
