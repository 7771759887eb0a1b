//! Days, calendar months and quota months in a time zone.

use chrono_tz::Tz;

/// A calendar day, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

/// A calendar month: `year * 12 + month - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct YearMonth(pub i32);

impl Day {
    /// The calendar month that the day lies in.
    pub fn year_month(self) -> YearMonth {
        todo!()
    }
}

/// The day that the instant lies in: the latest day whose [`day_start`] is not after it.
pub fn day_of(_zone: Tz, _time_ms: i64) -> Day {
    todo!()
}

/// The first instant of the day, milliseconds since 1970 UTC. A midnight that a clock change skips or repeats is the
/// first instant of its day.
pub fn day_start(_zone: Tz, _day: Day) -> i64 {
    todo!()
}

/// The first instant of quota month `month` (1 = first, which starts at the anchor itself).
pub fn quota_month_start(_zone: Tz, _anchor_ms: i64, _month: u32) -> i64 {
    todo!()
}

/// The quota month, 1 = first, that the instant lies in. `time_ms` is not before the anchor.
pub fn quota_month_of(_zone: Tz, _anchor_ms: i64, _time_ms: i64) -> u32 {
    todo!()
}
