//! Days of a time zone: when they start, and the day of an instant.

use super::day::{DAY_MS, Day};
use super::zone::Zone;

/// No zone has set its clock back by more than this since 1999, and none is known to plan it
/// (Antarctica/Casey went back 3 hours in 2010). A test checks every zone of the database, so that
/// a new release cannot break the shortcut in [`day_of`].
const CLOCK_BACK_MAX_MS: i64 = 4 * 3_600_000;

/// Instants stay a day away from the first and the last instant of the calendar, so that no offset
/// leads out of the years 1 to 9999.
const FIRST_MS: i64 = (Day::MIN.0 as i64 + 1) * DAY_MS;
const LAST_MS: i64 = Day::MAX.0 as i64 * DAY_MS - 1;

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
pub fn day_of(zone: Zone, time_ms: i64) -> Day {
    let nearest_ms = time_ms.clamp(FIRST_MS, LAST_MS);
    let local_ms = nearest_ms + zone.offset_ms(nearest_ms);
    let shown =
        i32::try_from(local_ms.div_euclid(DAY_MS)).expect("days of the years 1 to 9999 fit");
    // The day on the clock has begun. The clock may have shown the next day before, if it was set
    // back across midnight; then it is less than that step away from midnight again.
    if local_ms.rem_euclid(DAY_MS) < DAY_MS - CLOCK_BACK_MAX_MS {
        return Day(shown);
    }
    let next = Day(shown).plus_days(1);
    if next <= Day::MAX && day_start(zone, next) <= time_ms { next } else { Day(shown) }
}

/// The first instant of the day, milliseconds since 1970 UTC. A midnight that a clock change skips
/// or repeats is the first instant of its day.
pub fn day_start(zone: Zone, day: Day) -> i64 {
    let day = day.clamp(Day::MIN, Day::MAX);
    zone.first_showing(i64::from(day.0) * DAY_MS)
}

/// The day that the instant lies in, with its bounds, for a caller that looks up many instants of
/// one day.
pub fn day_window_of(zone: Zone, time_ms: i64) -> DayWindow {
    let day = day_of(zone, time_ms);
    DayWindow { day, start_ms: day_start(zone, day), end_ms: day_start(zone, day.plus_days(1)) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn utc(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    /// Checks the first instant of a day, that the instant before it lies in the day before, and
    /// how long the day is.
    #[track_caller]
    fn check(zone: Zone, text: &str, start: &str, length_minutes: i64) {
        let window = day_window_of(zone, utc(start));
        assert_eq!(window.day, day(text), "the day of {start}");
        assert_eq!(window.start_ms, utc(start), "start of {text}");
        assert_eq!(window.end_ms - window.start_ms, length_minutes * 60_000, "length of {text}");
        assert_eq!(
            day_of(zone, window.start_ms - 1),
            day(text).plus_days(-1),
            "the instant before {text}"
        );
        assert_eq!(day_of(zone, window.end_ms - 1), day(text), "the last instant of {text}");
        assert_eq!(day_of(zone, window.end_ms), day(text).plus_days(1), "the instant after {text}");
    }

    #[test]
    fn plain_days_have_24_hours() {
        check(Zone::UTC, "2026-03-01", "2026-03-01T00:00:00Z", 24 * 60);
        check(Zone::named("Asia/Tokyo"), "2026-03-01", "2026-02-28T15:00:00Z", 24 * 60);
        check(Zone::named("America/Los_Angeles"), "2025-12-31", "2025-12-31T08:00:00Z", 24 * 60);
        check(Zone::named("Pacific/Kiritimati"), "2026-01-01", "2025-12-31T10:00:00Z", 24 * 60);
        check(Zone::named("Etc/GMT+12"), "2026-01-01", "2026-01-01T12:00:00Z", 24 * 60);
    }

    #[test]
    fn days_of_a_clock_change_have_23_or_25_hours() {
        check(Zone::named("Europe/Berlin"), "2026-03-29", "2026-03-28T23:00:00Z", 23 * 60);
        check(Zone::named("Europe/Berlin"), "2026-10-25", "2026-10-24T22:00:00Z", 25 * 60);
        check(Zone::named("America/New_York"), "2026-03-08", "2026-03-08T05:00:00Z", 23 * 60);
        check(Zone::named("America/New_York"), "2026-11-01", "2026-11-01T04:00:00Z", 25 * 60);
        check(
            Zone::named("Australia/Lord_Howe"),
            "2026-04-05",
            "2026-04-04T13:00:00Z",
            24 * 60 + 30,
        );
        check(
            Zone::named("Australia/Lord_Howe"),
            "2026-10-04",
            "2026-10-03T13:30:00Z",
            24 * 60 - 30,
        );
    }

    #[test]
    fn offsets_of_30_and_45_minutes() {
        check(Zone::named("Asia/Kolkata"), "2026-03-01", "2026-02-28T18:30:00Z", 24 * 60);
        check(Zone::named("Asia/Kathmandu"), "2026-03-01", "2026-02-28T18:15:00Z", 24 * 60);
        check(Zone::named("Pacific/Chatham"), "2026-04-05", "2026-04-04T10:15:00Z", 25 * 60);
        check(Zone::named("Australia/Eucla"), "2026-03-01", "2026-02-28T15:15:00Z", 24 * 60);
        check(Zone::named("America/St_Johns"), "2026-03-08", "2026-03-08T03:30:00Z", 23 * 60);
    }

    #[test]
    fn a_date_that_apia_left_out_is_empty() {
        let zone = Zone::named("Pacific/Apia");
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
        check(Zone::named("America/St_Johns"), "2010-11-07", "2010-11-07T02:30:00Z", 25 * 60);
        for shown_as_the_6th in
            ["2010-11-07T02:31:00Z", "2010-11-07T03:00:00Z", "2010-11-07T03:29:59.999Z"]
        {
            assert_eq!(
                day_of(Zone::named("America/St_Johns"), utc(shown_as_the_6th)),
                day("2010-11-07"),
                "{shown_as_the_6th}"
            );
        }
        check(Zone::named("America/St_Johns"), "2010-11-06", "2010-11-06T02:30:00Z", 24 * 60);
    }

    #[test]
    fn the_three_hours_that_casey_repeated_across_midnight_belong_to_the_new_day() {
        // At 02:00 of 5 March 2010 the clock went back to 23:00 of the 4th.
        check(Zone::named("Antarctica/Casey"), "2010-03-05", "2010-03-04T13:00:00Z", 27 * 60);
        assert_eq!(
            day_of(Zone::named("Antarctica/Casey"), utc("2010-03-04T15:30:00Z")),
            day("2010-03-05")
        );
    }

    #[test]
    fn a_midnight_that_is_skipped_starts_the_day_late() {
        check(Zone::named("America/Sao_Paulo"), "2018-11-04", "2018-11-04T03:00:00Z", 23 * 60);
        check(Zone::named("America/Havana"), "2026-03-08", "2026-03-08T05:00:00Z", 23 * 60);
        check(Zone::named("Africa/Cairo"), "2026-04-24", "2026-04-23T22:00:00Z", 23 * 60);
        check(Zone::named("Asia/Beirut"), "2026-03-29", "2026-03-28T22:00:00Z", 23 * 60);
    }

    #[test]
    fn a_midnight_that_is_repeated_starts_the_day_the_first_time() {
        // Both clocks go back from 24:00 to 23:00, so that midnight itself comes once, after the
        // repeated hour.
        check(Zone::named("America/Sao_Paulo"), "2019-02-16", "2019-02-16T02:00:00Z", 25 * 60);
        check(Zone::named("Africa/Cairo"), "2026-10-29", "2026-10-28T21:00:00Z", 25 * 60);
        check(Zone::named("Asia/Beirut"), "2026-10-24", "2026-10-23T21:00:00Z", 25 * 60);
        // Havana's goes back from 01:00 to 00:00: midnight comes twice.
        check(Zone::named("America/Havana"), "2024-11-03", "2024-11-03T04:00:00Z", 25 * 60);
    }

    #[test]
    fn days_around_the_ends_of_years() {
        check(Zone::named("America/Sao_Paulo"), "1999-12-31", "1999-12-31T02:00:00Z", 24 * 60);
        check(Zone::named("Pacific/Auckland"), "2100-01-01", "2099-12-31T11:00:00Z", 24 * 60);
        check(Zone::named("Europe/Berlin"), "2024-02-29", "2024-02-28T23:00:00Z", 24 * 60);
        // The database reaches to the end of the time that events may have.
        check(Zone::named("Europe/Berlin"), "2099-10-25", "2099-10-24T22:00:00Z", 25 * 60);
        check(Zone::named("America/New_York"), "2099-11-01", "2099-11-01T04:00:00Z", 25 * 60);
    }

    #[test]
    fn instants_beyond_the_calendar_are_taken_as_its_ends() {
        for zone in Zone::all() {
            for time_ms in [i64::MIN, i64::MAX, 0] {
                let window = day_window_of(zone, time_ms);
                assert!((Day::MIN..=Day::MAX).contains(&window.day), "{zone}");
            }
        }
    }

    /// Every step of a zone's clock between 1999 and 2101, as (instant, milliseconds forward).
    fn clock_steps(zone: Zone) -> Vec<(i64, i64)> {
        let offset = |time_ms: i64| zone.offset_ms(time_ms);
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

    /// The definition, literally: the earliest instant whose clock shows the midnight or anything
    /// later.
    fn day_start_by_definition(zone: Zone, day: Day) -> i64 {
        let local_ms = i64::from(day.0) * DAY_MS;
        let minute = 60_000;
        (-15 * 60..27 * 60)
            .map(|minutes| local_ms + minutes * minute)
            .find(|&time| time + zone.offset_ms(time) >= local_ms)
            .unwrap()
    }

    #[test]
    fn every_clock_step_of_every_zone_keeps_the_rules() {
        // Half of the names are aliases; one zone per history is enough.
        let histories: HashMap<_, _> = Zone::all().map(|zone| (clock_steps(zone), zone)).collect();
        for (steps, zone) in histories {
            for (step, forward_ms) in steps {
                assert!(forward_ms >= -CLOCK_BACK_MAX_MS, "{zone} goes back by {} ms", -forward_ms);
                let day = day_of(zone, step);
                for near in [day, day.plus_days(1)] {
                    assert_eq!(
                        day_start(zone, near),
                        day_start_by_definition(zone, near),
                        "{zone} {near}"
                    );
                }
                for time in
                    [step - 1, step, step + 1, step + forward_ms.abs() - 1, step + forward_ms.abs()]
                {
                    let window = day_window_of(zone, time);
                    assert!(window.contains(time), "{zone}: {window:?} for {time}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn day_of_and_day_start_agree(
            zone in prop::sample::select(Zone::all().collect::<Vec<_>>()),
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
