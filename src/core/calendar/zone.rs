//! Days of a time zone: when they start, and which one an instant lies in.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::DAY_MS;
use super::day::Day;

/// No zone has set its clock back by more than this since 1999, and none is known to plan it (Antarctica/Casey went back
/// 3 hours in 2010). A test asks every zone of the database, so that a new database cannot break the shortcut that
/// [`day_of`] takes.
const CLOCK_BACK_MAX_MS: i64 = 4 * 3_600_000;

/// A day, and the instants that it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayWindow {
    /// The day.
    pub day: Day,
    /// Its first instant, milliseconds since 1970 UTC.
    pub start_ms: i64,
    /// The first instant after it, milliseconds since 1970 UTC.
    pub end_ms: i64,
}

impl DayWindow {
    /// True if the instant lies in the day.
    pub fn contains(&self, time_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&time_ms)
    }
}

/// The day that the instant lies in: the latest day whose [`day_start`] is not after it.
pub fn day_of(zone: Tz, time_ms: i64) -> Day {
    let utc = utc_of(time_ms);
    let local_ms = utc.and_utc().timestamp_millis() + offset_ms(zone, utc);
    let shown = i32::try_from(local_ms.div_euclid(DAY_MS)).expect("days of the years 1 to 9999 fit");
    // The clock shows a day that has begun. It may have shown the next one before, though, if it was set back across
    // midnight; then it is less than that step away from midnight again.
    if local_ms.rem_euclid(DAY_MS) < DAY_MS - CLOCK_BACK_MAX_MS {
        return Day(shown);
    }
    let next = Day(shown).plus_days(1);
    if next <= Day::MAX && day_start(zone, next) <= time_ms { next } else { Day(shown) }
}

/// The first instant of the day, milliseconds since 1970 UTC. A midnight that a clock change skips or repeats is the
/// first instant of its day.
pub fn day_start(zone: Tz, day: Day) -> i64 {
    let midnight = day.date().and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time.timestamp_millis(),
        MappedLocalTime::None => gap_end(zone, midnight.and_utc().timestamp()) * 1000,
    }
}

/// The day that the instant lies in, with its bounds, for a caller that judges many instants of one day.
pub fn day_window_of(zone: Tz, time_ms: i64) -> DayWindow {
    let day = day_of(zone, time_ms);
    DayWindow { day, start_ms: day_start(zone, day), end_ms: day_start(zone, day.plus_days(1)) }
}

/// The instant, in seconds, at which the clock jumps over `local_s` (seconds, as if local time were UTC).
fn gap_end(zone: Tz, local_s: i64) -> i64 {
    // No offset exceeds a day, so the jump lies between these two; the clock shows less than `local_s` before it and more
    // from it on.
    let (mut before, mut from) = (local_s - DAY_MS / 1000, local_s + DAY_MS / 1000);
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        let utc = utc_of(middle * 1000);
        if middle + offset_ms(zone, utc) / 1000 >= local_s {
            from = middle;
        } else {
            before = middle;
        }
    }
    from
}

fn offset_ms(zone: Tz, utc: NaiveDateTime) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000
}

/// The instant as chrono has it, kept a day away from the ends of the years 1 and 9999 so that no offset leads out.
fn utc_of(time_ms: i64) -> NaiveDateTime {
    let first = i64::from(Day::MIN.0 + 1) * DAY_MS;
    let last = i64::from(Day::MAX.0) * DAY_MS - 1;
    DateTime::from_timestamp_millis(time_ms.clamp(first, last))
        .expect("chrono knows every instant of the years 1 to 9999")
        .naive_utc()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn utc(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    /// Checks the first instant of a day, that the instant before it lies in the day before, and how long the day is.
    #[track_caller]
    fn check(zone: Tz, text: &str, start: &str, length_minutes: i64) {
        let window = day_window_of(zone, utc(start));
        assert_eq!(window.day, day(text), "the day of {start}");
        assert_eq!(window.start_ms, utc(start), "start of {text}");
        assert_eq!(window.end_ms - window.start_ms, length_minutes * 60_000, "length of {text}");
        assert_eq!(day_of(zone, window.start_ms - 1), day(text).plus_days(-1), "the instant before {text}");
        assert_eq!(day_of(zone, window.end_ms - 1), day(text), "the last instant of {text}");
        assert_eq!(day_of(zone, window.end_ms), day(text).plus_days(1), "the instant after {text}");
    }

    #[test]
    fn plain_days_have_24_hours() {
        check(Tz::UTC, "2026-03-01", "2026-03-01T00:00:00Z", 24 * 60);
        check(Tz::Asia__Tokyo, "2026-03-01", "2026-02-28T15:00:00Z", 24 * 60);
        check(Tz::America__Los_Angeles, "2025-12-31", "2025-12-31T08:00:00Z", 24 * 60);
        check(Tz::Pacific__Kiritimati, "2026-01-01", "2025-12-31T10:00:00Z", 24 * 60);
        check(Tz::Etc__GMTPlus12, "2026-01-01", "2026-01-01T12:00:00Z", 24 * 60);
    }

    #[test]
    fn days_of_a_clock_change_have_23_or_25_hours() {
        check(Tz::Europe__Berlin, "2026-03-29", "2026-03-28T23:00:00Z", 23 * 60);
        check(Tz::Europe__Berlin, "2026-10-25", "2026-10-24T22:00:00Z", 25 * 60);
        check(Tz::America__New_York, "2026-03-08", "2026-03-08T05:00:00Z", 23 * 60);
        check(Tz::America__New_York, "2026-11-01", "2026-11-01T04:00:00Z", 25 * 60);
        check(Tz::Australia__Lord_Howe, "2026-04-05", "2026-04-04T13:00:00Z", 24 * 60 + 30);
        check(Tz::Australia__Lord_Howe, "2026-10-04", "2026-10-03T13:30:00Z", 24 * 60 - 30);
    }

    #[test]
    fn offsets_of_30_and_45_minutes() {
        check(Tz::Asia__Kolkata, "2026-03-01", "2026-02-28T18:30:00Z", 24 * 60);
        check(Tz::Asia__Kathmandu, "2026-03-01", "2026-02-28T18:15:00Z", 24 * 60);
        check(Tz::Pacific__Chatham, "2026-04-05", "2026-04-04T10:15:00Z", 25 * 60);
        check(Tz::Australia__Eucla, "2026-03-01", "2026-02-28T15:15:00Z", 24 * 60);
        check(Tz::America__St_Johns, "2026-03-08", "2026-03-08T03:30:00Z", 23 * 60);
    }

    #[test]
    fn a_date_that_apia_left_out_is_empty() {
        let zone = Tz::Pacific__Apia;
        assert_eq!(day_start(zone, day("2011-12-30")), utc("2011-12-30T10:00:00Z"));
        assert_eq!(day_start(zone, day("2011-12-30")), day_start(zone, day("2011-12-31")));
        assert_eq!(day_of(zone, utc("2011-12-30T10:00:00Z")), day("2011-12-31"));
        assert_eq!(day_of(zone, utc("2011-12-30T09:59:59.999Z")), day("2011-12-29"));
        let last = day_window_of(zone, utc("2011-12-30T09:00:00Z"));
        assert_eq!((last.day, last.end_ms - last.start_ms), (day("2011-12-29"), 24 * HOUR_MS));
    }

    #[test]
    fn the_hour_that_st_johns_repeated_after_midnight_belongs_to_the_new_day() {
        // At 00:01 of 7 November 2010 the clock went back to 23:01 of the 6th.
        check(Tz::America__St_Johns, "2010-11-07", "2010-11-07T02:30:00Z", 25 * 60);
        for shown_as_the_6th in ["2010-11-07T02:31:00Z", "2010-11-07T03:00:00Z", "2010-11-07T03:29:59.999Z"] {
            assert_eq!(day_of(Tz::America__St_Johns, utc(shown_as_the_6th)), day("2010-11-07"), "{shown_as_the_6th}");
        }
        check(Tz::America__St_Johns, "2010-11-06", "2010-11-06T02:30:00Z", 24 * 60);
    }

    #[test]
    fn the_three_hours_that_casey_repeated_across_midnight_belong_to_the_new_day() {
        // At 02:00 of 5 March 2010 the clock went back to 23:00 of the 4th.
        check(Tz::Antarctica__Casey, "2010-03-05", "2010-03-04T13:00:00Z", 27 * 60);
        assert_eq!(day_of(Tz::Antarctica__Casey, utc("2010-03-04T15:30:00Z")), day("2010-03-05"));
    }

    #[test]
    fn a_midnight_that_is_skipped_starts_the_day_late() {
        check(Tz::America__Sao_Paulo, "2018-11-04", "2018-11-04T03:00:00Z", 23 * 60);
        check(Tz::America__Havana, "2026-03-08", "2026-03-08T05:00:00Z", 23 * 60);
        check(Tz::Africa__Cairo, "2026-04-24", "2026-04-23T22:00:00Z", 23 * 60);
        check(Tz::Asia__Beirut, "2026-03-29", "2026-03-28T22:00:00Z", 23 * 60);
    }

    #[test]
    fn a_midnight_that_is_repeated_starts_the_day_the_first_time() {
        // Both clocks go back from 24:00 to 23:00, so that midnight itself comes once, after the repeated hour.
        check(Tz::America__Sao_Paulo, "2019-02-16", "2019-02-16T02:00:00Z", 25 * 60);
        check(Tz::Africa__Cairo, "2026-10-29", "2026-10-28T21:00:00Z", 25 * 60);
        check(Tz::Asia__Beirut, "2026-10-24", "2026-10-23T21:00:00Z", 25 * 60);
        // Havana's goes back from 01:00 to 00:00: midnight comes twice.
        check(Tz::America__Havana, "2026-11-01", "2026-11-01T04:00:00Z", 25 * 60);
    }

    #[test]
    fn days_around_the_ends_of_years() {
        check(Tz::America__Sao_Paulo, "1999-12-31", "1999-12-31T02:00:00Z", 24 * 60);
        check(Tz::Pacific__Auckland, "2100-01-01", "2099-12-31T11:00:00Z", 24 * 60);
        check(Tz::Europe__Berlin, "2024-02-29", "2024-02-28T23:00:00Z", 24 * 60);
        // The database reaches to the end of the time that events may have.
        check(Tz::Europe__Berlin, "2099-10-25", "2099-10-24T22:00:00Z", 25 * 60);
        check(Tz::America__New_York, "2099-11-01", "2099-11-01T04:00:00Z", 25 * 60);
    }

    #[test]
    fn instants_beyond_the_calendar_are_taken_as_its_ends() {
        for zone in TZ_VARIANTS {
            for time_ms in [i64::MIN, i64::MAX, 0] {
                let window = day_window_of(zone, time_ms);
                assert!((Day::MIN..=Day::MAX).contains(&window.day), "{zone}");
            }
        }
    }

    /// Every step of a zone's clock between 1999 and 2101, as (instant, milliseconds forward).
    fn clock_steps(zone: Tz) -> Vec<(i64, i64)> {
        let offset = |time_ms: i64| offset_ms(zone, utc_of(time_ms));
        let mut steps = Vec::new();
        let (mut time, end) = (utc("1999-01-01T00:00:00Z"), utc("2101-01-01T00:00:00Z"));
        while time < end {
            let later = time + 7 * DAY_MS;
            if offset(time) != offset(later) {
                let (mut before, mut from) = (time, later);
                while from - before > 1000 {
                    let middle = before + (from - before) / 2000 * 1000;
                    if offset(middle) == offset(time) { before = middle } else { from = middle }
                }
                steps.push((from, offset(from) - offset(before)));
            }
            time = later;
        }
        steps
    }

    /// The definition, word for word: the earliest instant whose clock shows the midnight or anything later.
    fn day_start_by_definition(zone: Tz, day: Day) -> i64 {
        let local_ms = i64::from(day.0) * DAY_MS;
        let minute = 60_000;
        (-15 * 60..27 * 60)
            .map(|minutes| local_ms + minutes * minute)
            .find(|&time| time + offset_ms(zone, utc_of(time)) >= local_ms)
            .unwrap()
    }

    #[test]
    fn every_clock_step_of_every_zone_keeps_the_rules() {
        // Half of the names are aliases; one zone of each history will do.
        let histories: HashMap<_, _> = TZ_VARIANTS.map(|zone| (clock_steps(zone), zone)).into();
        for (steps, zone) in histories {
            for (step, forward_ms) in steps {
                assert!(forward_ms >= -CLOCK_BACK_MAX_MS, "{zone} goes back by {} ms", -forward_ms);
                let day = day_of(zone, step);
                for near in [day, day.plus_days(1)] {
                    assert_eq!(day_start(zone, near), day_start_by_definition(zone, near), "{zone} {near}");
                }
                for time in [step - 1, step, step + 1, step + forward_ms.abs() - 1, step + forward_ms.abs()] {
                    let window = day_window_of(zone, time);
                    assert!(window.contains(time), "{zone}: {window:?} for {time}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn day_of_and_day_start_agree(
            zone in prop::sample::select(&TZ_VARIANTS[..]),
            time in 946_684_800_000_i64..4_102_444_800_000,
            later in 0_i64..3 * DAY_MS,
        ) {
            let window = day_window_of(zone, time);
            prop_assert!(window.contains(time));
            prop_assert_eq!(day_of(zone, window.start_ms), window.day);
            prop_assert_eq!(day_of(zone, window.end_ms - 1), window.day);
            prop_assert!(day_of(zone, window.start_ms - 1) < window.day);
            prop_assert!(day_of(zone, window.end_ms) > window.day);
            prop_assert!(day_of(zone, time + later) >= window.day);
            prop_assert_eq!(window.start_ms, day_start_by_definition(zone, window.day));
        }
    }
}
