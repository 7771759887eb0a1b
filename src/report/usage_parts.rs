//! The days of a usage report in parts that are read, and kept, each on its own: what lies before
//! the latest days seldom changes.

use super::license_usage::{ActiveUserCounts, PeriodUsers};
use super::period::DayRanges;
use crate::core::calendar::Day;

/// The latest days, which change while events come in: today, and yesterday for a while.
const LATEST_DAYS: i32 = 2;

/// Consecutive ranges of days, cut before the latest days of the last range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// All ranges but the last one.
    pub past: Option<DayRanges>,
    /// The last range up to its latest days.
    pub current: Option<DayRanges>,
    /// The latest days of the last range.
    pub latest: DayRanges,
}

/// Active users of some ranges of days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeUsers {
    /// By range, in any order; those without any may be missing.
    pub ranges: Vec<ActiveUserCounts>,
    /// Keys of the users of all of them, ascending, each once.
    pub users: Vec<u64>,
}

impl RangeUsers {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.ranges) + size_of_val(&*self.users)
    }
}

impl Parts {
    /// The parts of the ranges.
    pub fn of(days: &DayRanges) -> Self {
        let (&last, before) = days.first_days.split_last().expect("there is a range");
        let part =
            |first_days: &[Day], last_day| DayRanges { first_days: first_days.to_vec(), last_day };
        let latest = days.last_day.plus_days(1 - LATEST_DAYS).max(last);
        Self {
            past: (!before.is_empty()).then(|| part(before, last.plus_days(-1))),
            current: (last < latest).then(|| part(&[last], latest.plus_days(-1))),
            latest: part(&[latest], days.last_day),
        }
    }

    /// The users of the whole, from those of the parts; of a part that there is not, none.
    pub fn join(
        &self,
        past: &RangeUsers,
        current: &RangeUsers,
        latest: &RangeUsers,
    ) -> PeriodUsers {
        let mut buckets = past.ranges.clone();
        let first_day = self.current.as_ref().unwrap_or(&self.latest).first_days[0];
        let last = current.ranges.first().into_iter().chain(latest.ranges.first());
        let last = last.copied().reduce(|earlier, later| ActiveUserCounts {
            first_day,
            active_users: distinct(&[&current.users, &latest.users]),
            peak_daily: earlier.peak_daily.max(later.peak_daily),
            peak_day: if later.peak_daily > earlier.peak_daily {
                later.peak_day
            } else {
                earlier.peak_day
            },
            user_days: earlier.user_days + later.user_days,
        });
        buckets.extend(last.map(|last| ActiveUserCounts { first_day, ..last }));
        PeriodUsers { distinct: distinct(&[&past.users, &current.users, &latest.users]), buckets }
    }
}

/// Number of keys that are in any of the lists.
fn distinct(lists: &[&Vec<u64>]) -> u64 {
    let mut keys: Vec<u64> = lists.iter().flat_map(|list| list.iter().copied()).collect();
    // Each list is in order, which this sort makes use of.
    keys.sort();
    keys.dedup();
    keys.len() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Users by day.
    type Days = BTreeMap<Day, BTreeSet<u64>>;

    /// The store's answer for the ranges.
    fn stored(days: &Days, asked: Option<&DayRanges>) -> RangeUsers {
        let Some(asked) = asked else { return RangeUsers::default() };
        let ends = asked.first_days[1..].iter().map(|next| next.plus_days(-1));
        let mut found = RangeUsers::default();
        let mut all = BTreeSet::new();
        for (&first_day, last) in asked.first_days.iter().zip(ends.chain([asked.last_day])) {
            let range: Vec<_> = days.range(first_day..=last).collect();
            let users: BTreeSet<u64> =
                range.iter().flat_map(|(_, users)| *users).copied().collect();
            let Some(peak_daily) = range.iter().map(|(_, users)| users.len()).max() else {
                continue;
            };
            let peak = range.iter().find(|(_, users)| users.len() == peak_daily).unwrap();
            found.ranges.push(ActiveUserCounts {
                first_day,
                active_users: users.len() as u64,
                peak_daily: peak_daily as u64,
                peak_day: *peak.0,
                user_days: range.iter().map(|(_, users)| users.len() as u64).sum(),
            });
            all.extend(users);
        }
        found.users = all.into_iter().collect();
        found
    }

    proptest! {
        #[test]
        fn the_parts_make_up_the_whole(
            logins in prop::collection::vec((0..40_i32, 0..6_u64), 0..60),
            firsts in prop::collection::btree_set(0..30_i32, 1..6),
            beyond in 0..12_i32,
        ) {
            let mut days = Days::new();
            for (day, user) in logins {
                days.entry(Day(day)).or_default().insert(user);
            }
            let first_days: Vec<Day> = firsts.into_iter().map(Day).collect();
            let last_day = first_days.last().unwrap().plus_days(beyond);
            let asked = DayRanges { first_days, last_day };
            let parts = Parts::of(&asked);
            let joined = parts.join(
                &stored(&days, parts.past.as_ref()),
                &stored(&days, parts.current.as_ref()),
                &stored(&days, Some(&parts.latest)),
            );
            let whole = stored(&days, Some(&asked));
            prop_assert_eq!(joined.distinct, whole.users.len() as u64);
            prop_assert_eq!(joined.buckets, whole.ranges);
        }
    }
}
