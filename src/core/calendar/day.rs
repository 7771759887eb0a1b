//! Calendar days and months as plain numbers, without any zone.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, Weekday};

/// Milliseconds of a day without a clock change.
pub(super) const DAY_MS: i64 = 86_400_000;

/// A calendar day, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

/// A calendar month: `year * 12 + month - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct YearMonth(pub i32);

/// The text is not a day of the form `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a calendar day of the form YYYY-MM-DD")]
pub struct ParseDayError;

impl Day {
    /// 0001-01-01.
    pub const MIN: Self = Self(-719_162);
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// The day of that year (1 to 9999), month (1 to 12) and day of month (from 1); `None` if the
    /// calendar has no such day.
    pub fn from_ymd(year: i32, month: u32, day_of_month: u32) -> Option<Self> {
        let date = NaiveDate::from_ymd_opt(year, month, day_of_month)?;
        Some(Self::from_date(date)).filter(|day| (Self::MIN..=Self::MAX).contains(day))
    }

    pub(super) fn from_date(date: NaiveDate) -> Self {
        Self(date.to_epoch_days())
    }

    pub(super) fn date(self) -> NaiveDate {
        let clamped = self.clamp(Self::MIN, Self::MAX);
        NaiveDate::from_epoch_days(clamped.0)
            .expect("chrono knows every day of the years 1 to 9999")
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> i32 {
        self.date().year()
    }

    /// The day of the month, 1 to 31.
    pub fn day_of_month(self) -> u32 {
        self.date().day()
    }

    /// The calendar month that the day lies in.
    pub fn year_month(self) -> YearMonth {
        let date = self.date();
        let month0 = i32::try_from(date.month0()).expect("a month number is below 12");
        YearMonth(date.year() * 12 + month0)
    }

    /// The day of the week.
    pub fn weekday(self) -> Weekday {
        self.date().weekday()
    }

    /// The day so many days later, or earlier where `days` is negative.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// The Monday on or before the day.
    #[must_use]
    pub fn week_start(self) -> Self {
        let since_monday = self.weekday().num_days_from_monday();
        self.plus_days(-i32::try_from(since_monday).expect("a weekday number is below 7"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    /// Reads exactly `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shaped = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !shaped {
            return Err(ParseDayError);
        }
        let year = text[0..4].parse().map_err(|_| ParseDayError)?;
        let month = text[5..7].parse().map_err(|_| ParseDayError)?;
        let day_of_month = text[8..10].parse().map_err(|_| ParseDayError)?;
        Self::from_ymd(year, month, day_of_month).ok_or(ParseDayError)
    }
}

impl YearMonth {
    /// The first day of the month.
    pub fn first_day(self) -> Day {
        let month = self.clamp(Day::MIN.year_month(), Day::MAX.year_month());
        let month0 =
            u32::try_from(month.0.rem_euclid(12)).expect("a remainder by 12 is not negative");
        Day::from_ymd(month.0.div_euclid(12), month0 + 1, 1)
            .expect("every month of the years 1 to 9999 has a first day")
    }

    /// The last day of the month.
    pub fn last_day(self) -> Day {
        if self < Day::MAX.year_month() {
            self.plus_months(1).first_day().plus_days(-1).max(Day::MIN)
        } else {
            Day::MAX
        }
    }

    /// The month so many months later, or earlier where `months` is negative.
    #[must_use]
    pub fn plus_months(self, months: i32) -> Self {
        Self(self.0.saturating_add(months))
    }

    /// That day of the month (from 1), or the month's last day if the month is shorter.
    pub fn day_clamped(self, day_of_month: u32) -> Day {
        let offset = i32::try_from(day_of_month.saturating_sub(1)).unwrap_or(i32::MAX);
        self.first_day().plus_days(offset).min(self.last_day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_reads_and_prints_as_iso() {
        assert_eq!(day("1970-01-01"), Day(0));
        assert_eq!(day("2000-02-29"), Day(11_016));
        assert_eq!(Day(11_016).to_string(), "2000-02-29");
        assert_eq!(day("0001-01-01"), Day::MIN);
        assert_eq!(day("9999-12-31"), Day::MAX);
        assert_eq!(Day::MIN.to_string(), "0001-01-01");
        assert_eq!(Day::MAX.to_string(), "9999-12-31");
    }

    #[test]
    fn anything_but_an_iso_day_is_refused() {
        let bad = [
            "",
            "2026-1-1",
            "2026-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-04-31",
            "0000-01-01",
            "+026-01-01",
            "2026-01-01 ",
            "2026/01/01",
            "20260101",
            "10000-01-01",
            "2026-01-0é",
            "２０26-1-1",
        ];
        for text in bad {
            assert_eq!(text.parse::<Day>(), Err(ParseDayError), "{text:?}");
        }
    }

    #[test]
    fn leap_years_have_a_29th_of_february() {
        let last = |year: i32| YearMonth(year * 12 + 1).last_day().day_of_month();
        assert_eq!(
            [last(2000), last(2023), last(2024), last(2096), last(2100)],
            [29, 28, 29, 29, 28]
        );
    }

    #[test]
    fn months_know_their_days() {
        let february = day("2024-02-10").year_month();
        assert_eq!(february, YearMonth(2024 * 12 + 1));
        assert_eq!(february.first_day(), day("2024-02-01"));
        assert_eq!(february.last_day(), day("2024-02-29"));
        assert_eq!(february.day_clamped(31), day("2024-02-29"));
        assert_eq!(february.day_clamped(28), day("2024-02-28"));
        assert_eq!(february.plus_months(-2).first_day(), day("2023-12-01"));
        assert_eq!(february.plus_months(11).last_day(), day("2025-01-31"));
    }

    #[test]
    fn weeks_start_on_monday() {
        assert_eq!(day("2026-03-01").weekday(), Weekday::Sun);
        assert_eq!(day("2026-03-01").week_start(), day("2026-02-23"));
        assert_eq!(day("2026-03-02").week_start(), day("2026-03-02"));
        assert_eq!(day("2021-01-03").week_start(), day("2020-12-28"), "ISO week 53 of 2020");
    }

    #[test]
    fn days_beyond_the_calendar_are_taken_as_its_ends() {
        assert_eq!(Day(i32::MAX).to_string(), "9999-12-31");
        assert_eq!(Day(i32::MIN).to_string(), "0001-01-01");
        assert_eq!(Day(i32::MAX).plus_days(1), Day(i32::MAX));
        for month in [YearMonth(i32::MAX), YearMonth(i32::MIN)] {
            assert!((Day::MIN..=Day::MAX).contains(&month.first_day()));
            assert!((Day::MIN..=Day::MAX).contains(&month.last_day()));
        }
        assert_eq!(Day::MAX.year_month().last_day(), Day::MAX);
    }
}
