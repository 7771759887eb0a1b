//! Seats at instants, and their peaks in between, by one running sum over the starts, activations
//! and ends of seats.

use super::license_history::SeatCounts;

/// A seat, from its assignment to the next assignment or revocation; milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatHolding {
    /// When it was assigned.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: i64,
    /// Its earliest activity; at or after the end where it is not activated.
    pub activated_ms: i64,
}

/// All that happened to seats before the last of some instants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatRecords {
    /// Seats that start, are activated or end at or after the first instant, in any order. Those
    /// that start at or after the last one, or end before the first, change nothing.
    pub changing: Vec<SeatHolding>,
    /// Other seats that are open at all instants.
    pub steady: u64,
    /// Those of them that are activated at all instants; the rest are at none.
    pub steady_activated: u64,
    /// Seats purchased or allocated, by the time from which on they are: ascending, each time once.
    pub purchases: Vec<(i64, u64)>,
}

/// Numbers of seats that are assigned, and of those beyond the purchased ones.
#[derive(Clone, Copy)]
struct Level {
    assigned: u64,
    overage: u64,
}

impl Level {
    fn max(self, other: Self) -> Self {
        Self {
            assigned: self.assigned.max(other.assigned),
            overage: self.overage.max(other.overage),
        }
    }
}

/// A running sum over what happens, in the order of time.
struct Sweep<'r> {
    /// Starts and ends, ascending: the time doubled, and 1 more for a start.
    changes: Vec<i64>,
    /// Number of them that have happened.
    changed: usize,
    purchases: &'r [(i64, u64)],
    /// Number of them that have been made.
    purchased: usize,
    open: i64,
}

impl<'r> Sweep<'r> {
    /// As it stands at `first_ms`, with what happens from then on and before `last_ms`.
    fn new(records: &'r SeatRecords, first_ms: i64, last_ms: i64) -> Self {
        let mut open = records.steady.cast_signed();
        let mut changes = Vec::with_capacity(2 * records.changing.len());
        let within = first_ms..last_ms;
        for interval in &records.changing {
            if within.contains(&interval.start_ms) {
                changes.push(2 * interval.start_ms + 1);
            } else if interval.start_ms < first_ms && interval.end_ms >= first_ms {
                open += 1;
            }
            if within.contains(&interval.end_ms) {
                changes.push(2 * interval.end_ms);
            }
        }
        changes.sort_unstable();
        let purchased = records.purchases.partition_point(|&(time_ms, _)| time_ms < first_ms);
        Self { changes, changed: 0, purchases: &records.purchases, purchased, open }
    }

    /// When something happens next.
    fn next_ms(&self) -> Option<i64> {
        let change = self.changes.get(self.changed).map(|change| change >> 1);
        let purchase = self.purchases.get(self.purchased).map(|&(time_ms, _)| time_ms);
        change.into_iter().chain(purchase).min()
    }

    /// Takes in all that happens at an instant, together.
    fn pass(&mut self, time_ms: i64) {
        while let Some(&change) = self.changes.get(self.changed)
            && change >> 1 == time_ms
        {
            self.open += 2 * (change & 1) - 1;
            self.changed += 1;
        }
        if self.purchases.get(self.purchased).is_some_and(|&(purchase, _)| purchase == time_ms) {
            self.purchased += 1;
        }
    }

    fn seats_purchased(&self) -> u64 {
        self.purchased.checked_sub(1).map_or(0, |latest| self.purchases[latest].1)
    }

    fn level(&self) -> Level {
        let assigned = u64::try_from(self.open).unwrap_or(0);
        Level { assigned, overage: assigned.saturating_sub(self.seats_purchased()) }
    }
}

/// Seats as they stood at each of the instants (milliseconds since 1970 UTC, ascending, each once),
/// with the peaks since the instant before it.
pub fn counts_at(instants_ms: &[i64], records: &SeatRecords) -> Vec<SeatCounts> {
    let (Some(&first_ms), Some(&last_ms)) = (instants_ms.first(), instants_ms.last()) else {
        return Vec::new();
    };
    let activated = activated_at(instants_ms, records);
    let mut sweep = Sweep::new(records, first_ms, last_ms);
    let mut counts = Vec::with_capacity(instants_ms.len());
    let mut passed_ms = None;
    for (&edge_ms, activated) in instants_ms.iter().zip(activated) {
        if let Some(start_ms) = passed_ms {
            sweep.pass(start_ms);
        }
        let mut peak = sweep.level();
        while let Some(time_ms) = sweep.next_ms().filter(|&time_ms| time_ms < edge_ms) {
            sweep.pass(time_ms);
            peak = peak.max(sweep.level());
        }
        counts.push(SeatCounts {
            edge_ms,
            purchased: sweep.seats_purchased(),
            assigned: sweep.level().assigned,
            activated,
            peak_assigned: peak.assigned,
            peak_overage: peak.overage,
        });
        passed_ms = Some(edge_ms);
    }
    counts
}

/// Activated seats that were open at each of the instants.
fn activated_at(instants_ms: &[i64], records: &SeatRecords) -> Vec<u64> {
    let mut changes = vec![0_i64; instants_ms.len() + 1];
    // What lies at an instant counts from the next one on.
    let after = |time_ms: i64| instants_ms.partition_point(|&edge_ms| edge_ms <= time_ms);
    for interval in &records.changing {
        if interval.activated_ms < interval.end_ms {
            changes[after(interval.activated_ms)] += 1;
            changes[after(interval.end_ms)] -= 1;
        }
    }
    let mut open = records.steady_activated.cast_signed();
    let counts = changes.iter().take(instants_ms.len()).map(|change| {
        open += change;
        u64::try_from(open).unwrap_or(0)
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times of the tests; all instants among them can be looked at one by one.
    const TIMES: std::ops::Range<i64> = 0..24;

    fn interval() -> impl Strategy<Value = SeatHolding> {
        (TIMES, 0..12_i64, 0..12_i64).prop_map(|(start_ms, length, use_after)| SeatHolding {
            start_ms,
            end_ms: start_ms + length,
            activated_ms: start_ms + use_after,
        })
    }

    fn purchased_at(purchases: &[(i64, u64)], instant: i64) -> u64 {
        purchases.iter().rfind(|purchase| purchase.0 < instant).map_or(0, |purchase| purchase.1)
    }

    fn open_at(intervals: &[SeatHolding], instant: i64) -> u64 {
        let is_open = |i: &&SeatHolding| i.start_ms < instant && instant <= i.end_ms;
        intervals.iter().filter(is_open).count() as u64
    }

    fn activated_count(intervals: &[SeatHolding], instant: i64) -> u64 {
        let is_activated = |i: &&SeatHolding| {
            i.activated_ms < i.end_ms && i.activated_ms < instant && instant <= i.end_ms
        };
        intervals.iter().filter(is_activated).count() as u64
    }

    /// Looks at every instant.
    fn naive(
        instants: &[i64],
        intervals: &[SeatHolding],
        purchases: &[(i64, u64)],
    ) -> Vec<SeatCounts> {
        let mut before = None;
        let count = |&edge_ms: &i64| {
            let start = before.replace(edge_ms).unwrap_or(edge_ms - 1);
            let assigned = |instant| open_at(intervals, instant);
            let overage =
                |instant| assigned(instant).saturating_sub(purchased_at(purchases, instant));
            SeatCounts {
                edge_ms,
                purchased: purchased_at(purchases, edge_ms),
                assigned: assigned(edge_ms),
                activated: activated_count(intervals, edge_ms),
                peak_assigned: (start + 1..=edge_ms).map(assigned).max().unwrap(),
                peak_overage: (start + 1..=edge_ms).map(overage).max().unwrap(),
            }
        };
        instants.iter().map(count).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn peaks_are_those_of_every_single_instant(
            intervals in prop::collection::vec(interval(), 0..12),
            purchases in prop::collection::btree_map(TIMES, 0..6_u64, 0..5),
            instants in prop::collection::btree_set(TIMES, 1..5),
        ) {
            let purchases: Vec<(i64, u64)> = purchases.into_iter().collect();
            let instants: Vec<i64> = instants.into_iter().collect();
            let (first, last) = (instants[0], instants[instants.len() - 1]);
            // As the store tells them apart.
            let is_steady = |i: &SeatHolding| {
                i.start_ms < first && i.end_ms >= last && !(first..last).contains(&i.activated_ms)
            };
            let (steady, changing): (Vec<_>, Vec<_>) =
                intervals.iter().copied().partition(is_steady);
            let records = SeatRecords {
                changing,
                steady: steady.len() as u64,
                steady_activated: steady.iter().filter(|i| i.activated_ms < first).count() as u64,
                purchases: purchases.clone(),
            };
            prop_assert_eq!(
                counts_at(&instants, &records),
                naive(&instants, &intervals, &purchases)
            );
        }
    }

    #[test]
    fn what_happens_at_one_instant_counts_together() {
        let seat = |start_ms, end_ms| SeatHolding { start_ms, end_ms, activated_ms: i64::MAX };
        let check = |changing: Vec<SeatHolding>, purchases: Vec<(i64, u64)>, peaks: (u64, u64)| {
            let records = SeatRecords { changing, purchases, ..SeatRecords::default() };
            let counts = counts_at(&[10, 20], &records);
            assert_eq!((counts[1].peak_assigned, counts[1].peak_overage), peaks, "{records:?}");
        };
        check(vec![seat(0, 15), seat(15, 30)], vec![], (1, 1));
        check(vec![seat(0, 10), seat(0, 10), seat(10, 30)], vec![], (1, 1));
        check(vec![seat(12, 14), seat(13, 30)], vec![(0, 1)], (2, 1));
        check(vec![seat(12, 30)], vec![(12, 1), (15, 0), (16, 3)], (1, 1));
        check(vec![seat(20, 30)], vec![], (0, 0));
        check(vec![seat(0, 10)], vec![], (0, 0));
        assert_eq!(counts_at(&[], &SeatRecords::default()), []);
    }
}
