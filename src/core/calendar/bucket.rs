//! Report buckets: calendar units clipped to the range of a report.

use std::fmt;
use std::str::FromStr;

use super::day::{Day, YearMonth};

/// Calendar unit of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// A calendar day.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// January to March, and so on.
    Quarter,
    /// January to December.
    Year,
}

/// The text names no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of day, week, month, quarter, year")]
pub struct ParseIntervalError;

/// One bucket: its first and its last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The first day.
    pub start: Day,
    /// The last day, inclusive.
    pub end: Day,
}

impl Interval {
    /// Every interval, from the shortest to the longest.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The name in queries and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The number of the unit that the day lies in; consecutive units have consecutive numbers.
    fn unit_of(self, day: Day) -> i64 {
        let number = match self {
            Self::Day => day.0,
            // 1970-01-01 was a Thursday, so the Monday of its week is day -3.
            Self::Week => return (i64::from(day.0) + 3).div_euclid(7),
            Self::Month => day.year_month().0,
            Self::Quarter => day.year_month().0.div_euclid(3),
            Self::Year => day.year(),
        };
        i64::from(number)
    }

    /// The last day of the unit that the day lies in.
    fn unit_end(self, day: Day) -> Day {
        let month = day.year_month();
        match self {
            Self::Day => day,
            Self::Week => day.week_start().plus_days(6),
            Self::Month => month.last_day(),
            Self::Quarter => YearMonth(month.0.div_euclid(3) * 3 + 2).last_day(),
            Self::Year => YearMonth(month.0.div_euclid(12) * 12 + 11).last_day(),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Interval {
    type Err = ParseIntervalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|interval| interval.as_str() == text).ok_or(ParseIntervalError)
    }
}

/// How many buckets [`buckets`] would build, without building them: 0 if `from` is after `to`.
pub fn bucket_count(from: Day, to: Day, interval: Interval) -> usize {
    if from > to {
        return 0;
    }
    let (from, to) = (from.clamp(Day::MIN, Day::MAX), to.clamp(Day::MIN, Day::MAX));
    usize::try_from(interval.unit_of(to) - interval.unit_of(from) + 1)
        .expect("to is not before from")
}

/// The calendar units that touch `from` to `to`, both inclusive, in order, the first and the last
/// clipped to the range. Empty if `from` is after `to`. A caller that does not trust the range
/// calls [`bucket_count`] first.
pub fn buckets(from: Day, to: Day, interval: Interval) -> Vec<Bucket> {
    let mut buckets = Vec::with_capacity(bucket_count(from, to, interval));
    let (mut start, to) = (from.max(Day::MIN), to.min(Day::MAX));
    while start <= to {
        let end = interval.unit_end(start).min(to);
        buckets.push(Bucket { start, end });
        start = end.plus_days(1);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(from: &str, to: &str, interval: Interval, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(start, end)| Bucket { start: day(start), end: day(end) })
            .collect();
        assert_eq!(buckets(day(from), day(to), interval), expected);
        assert_eq!(bucket_count(day(from), day(to), interval), expected.len());
    }

    #[test]
    fn days() {
        check(
            "2024-02-28",
            "2024-03-01",
            Interval::Day,
            &[
                ("2024-02-28", "2024-02-28"),
                ("2024-02-29", "2024-02-29"),
                ("2024-03-01", "2024-03-01"),
            ],
        );
    }

    #[test]
    fn weeks_start_on_monday_and_cross_the_ends_of_years() {
        check(
            "2020-12-30",
            "2021-01-12",
            Interval::Week,
            &[
                ("2020-12-30", "2021-01-03"),
                ("2021-01-04", "2021-01-10"),
                ("2021-01-11", "2021-01-12"),
            ],
        );
        check(
            "1969-12-28",
            "1970-01-05",
            Interval::Week,
            &[
                ("1969-12-28", "1969-12-28"),
                ("1969-12-29", "1970-01-04"),
                ("1970-01-05", "1970-01-05"),
            ],
        );
    }

    #[test]
    fn months_quarters_and_years_are_clipped() {
        check(
            "2023-12-31",
            "2024-02-29",
            Interval::Month,
            &[
                ("2023-12-31", "2023-12-31"),
                ("2024-01-01", "2024-01-31"),
                ("2024-02-01", "2024-02-29"),
            ],
        );
        check(
            "2025-11-15",
            "2026-04-01",
            Interval::Quarter,
            &[
                ("2025-11-15", "2025-12-31"),
                ("2026-01-01", "2026-03-31"),
                ("2026-04-01", "2026-04-01"),
            ],
        );
        check(
            "2024-06-01",
            "2026-01-01",
            Interval::Year,
            &[
                ("2024-06-01", "2024-12-31"),
                ("2025-01-01", "2025-12-31"),
                ("2026-01-01", "2026-01-01"),
            ],
        );
    }

    #[test]
    fn a_range_that_ends_before_it_starts_has_no_buckets() {
        for interval in Interval::ALL {
            check("2026-01-02", "2026-01-01", interval, &[]);
        }
    }

    #[test]
    fn counting_is_cheap_and_total() {
        assert_eq!(bucket_count(Day::MIN, Day::MAX, Interval::Day), 3_652_059);
        assert_eq!(bucket_count(Day(i32::MIN), Day(i32::MAX), Interval::Year), 9999);
        assert_eq!(buckets(day("9999-12-30"), Day(i32::MAX), Interval::Month).len(), 1);
    }

    #[test]
    fn intervals_read_as_they_print() {
        for interval in Interval::ALL {
            assert_eq!(interval.to_string().parse(), Ok(interval));
        }
        assert_eq!("Day".parse::<Interval>(), Err(ParseIntervalError));
        assert_eq!("".parse::<Interval>(), Err(ParseIntervalError));
    }

    proptest! {
        #[test]
        fn buckets_cover_the_range_without_gap_or_overlap(
            from in 10_000_i32..50_000,
            days in 0_i32..2_000,
            interval in prop::sample::select(&Interval::ALL[..]),
        ) {
            let (from, to) = (Day(from), Day(from + days));
            let buckets = buckets(from, to, interval);
            prop_assert_eq!(buckets.len(), bucket_count(from, to, interval));
            prop_assert_eq!(buckets.first().map(|bucket| bucket.start), Some(from));
            prop_assert_eq!(buckets.last().map(|bucket| bucket.end), Some(to));
            for pair in buckets.windows(2) {
                prop_assert_eq!(pair[0].end.plus_days(1), pair[1].start);
            }
        }
    }
}
