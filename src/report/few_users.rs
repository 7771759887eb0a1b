//! Active users of ranges of days, counted from the users of each day.

use std::collections::{BTreeMap, HashSet};

use super::license_usage::{ActiveUserCounts, PeriodUsers};
use super::period::DayRanges;
use crate::core::calendar::Day;

/// Keys of the users of each day.
pub type UsersByDay = BTreeMap<Day, HashSet<u64>>;

/// The active users of the ranges, in their order; a range without any is missing.
pub fn users_of(by_day: &UsersByDay, days: &DayRanges) -> PeriodUsers {
    let ends = days.first_days.iter().skip(1).map(|next| next.plus_days(-1));
    let ranges = days.first_days.iter().zip(ends.chain([days.last_day]));
    let mut buckets = Vec::new();
    let mut all: HashSet<u64> = HashSet::new();
    for (&first_day, last_day) in ranges {
        let mut users: HashSet<u64> = HashSet::new();
        let mut counts = ActiveUserCounts {
            first_day,
            active_users: 0,
            peak_daily: 0,
            peak_day: first_day,
            user_days: 0,
        };
        for (&day, of_day) in by_day.range(first_day..=last_day) {
            let count = of_day.len() as u64;
            if count > counts.peak_daily {
                (counts.peak_daily, counts.peak_day) = (count, day);
            }
            counts.user_days += count;
            users.extend(of_day);
        }
        if users.is_empty() {
            continue;
        }
        counts.active_users = users.len() as u64;
        all.extend(users);
        buckets.push(counts);
    }
    PeriodUsers { distinct: all.len() as u64, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_its_users_and_its_busiest_day() {
        let by_day: UsersByDay = [(1, vec![1, 2]), (3, vec![2, 3]), (4, vec![9]), (8, vec![7])]
            .map(|(day, users)| (Day(day), users.into_iter().collect()))
            .into();
        let days = DayRanges { first_days: vec![Day(1), Day(4), Day(6)], last_day: Day(7) };
        let range = |first, active_users, peak_daily, peak, user_days| ActiveUserCounts {
            first_day: Day(first),
            active_users,
            peak_daily,
            peak_day: Day(peak),
            user_days,
        };
        let found = users_of(&by_day, &days);
        assert_eq!(found.distinct, 4);
        assert_eq!(found.buckets, [range(1, 3, 2, 1, 4), range(4, 1, 1, 4, 1)]);
    }
}
