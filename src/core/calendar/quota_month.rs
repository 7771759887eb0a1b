//! Quota months: the months that an organization's quota is counted by, from the anchor on.
//!
//! The first starts at the anchor itself, each later one at local midnight of the anchor's day of
//! the month. They are always counted from the anchor, never from the month before, so that an
//! anchor on the 31st returns to the 31st after a shorter month (31 Jan, 28 Feb, 31 Mar).

use super::day_window::{day_of, day_start};
use super::zone::Zone;

/// The first instant of quota month `month` (1 = first, which starts at the anchor itself),
/// milliseconds since 1970 UTC.
pub fn quota_month_start(zone: Zone, anchor_ms: i64, month: u32) -> i64 {
    if month <= 1 {
        return anchor_ms;
    }
    let anchor = day_of(zone, anchor_ms);
    let months = i32::try_from(month - 1).unwrap_or(i32::MAX);
    day_start(zone, anchor.year_month().plus_months(months).day_clamped(anchor.day_of_month()))
}

/// The quota month, 1 = first, that the instant lies in. `time_ms` is not before the anchor; an
/// earlier one is read as the anchor.
pub fn quota_month_of(zone: Zone, anchor_ms: i64, time_ms: i64) -> u32 {
    let (anchor, day) = (day_of(zone, anchor_ms), day_of(zone, time_ms));
    let calendar_month = day.year_month();
    let begun = day >= calendar_month.day_clamped(anchor.day_of_month());
    let passed = calendar_month.0 - anchor.year_month().0 + i32::from(begun);
    u32::try_from(passed).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::Day;

    fn utc(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    /// Checks the local days on which quota months 1, 2, 3, … start.
    #[track_caller]
    fn check(zone: Zone, anchor: &str, starts: &[&str]) {
        let anchor_ms = utc(anchor);
        for (index, text) in starts.iter().enumerate() {
            let month = u32::try_from(index).unwrap() + 1;
            let start = quota_month_start(zone, anchor_ms, month);
            let day: Day = text.parse().unwrap();
            assert_eq!(day_of(zone, start), day, "quota month {month} from {anchor}");
            if month == 1 {
                assert_eq!(start, anchor_ms);
            } else {
                assert_eq!(start, day_start(zone, day), "quota month {month} starts at midnight");
                assert_eq!(
                    quota_month_of(zone, anchor_ms, start - 1),
                    month - 1,
                    "the instant before {text}"
                );
            }
            assert_eq!(
                quota_month_of(zone, anchor_ms, start),
                month,
                "the first instant of {text}"
            );
        }
    }

    #[test]
    fn an_anchor_on_the_31st_is_clamped_to_each_month_anew() {
        check(
            Zone::UTC,
            "2026-01-31T15:30:00Z",
            &[
                "2026-01-31",
                "2026-02-28",
                "2026-03-31",
                "2026-04-30",
                "2026-05-31",
                "2026-06-30",
                "2026-07-31",
            ],
        );
    }

    #[test]
    fn an_anchor_on_the_30th_is_clamped_in_february_alone() {
        check(
            Zone::UTC,
            "2026-01-30T00:00:00Z",
            &["2026-01-30", "2026-02-28", "2026-03-30", "2026-04-30"],
        );
    }

    #[test]
    fn an_anchor_on_the_29th_meets_leap_years() {
        check(Zone::UTC, "2024-01-29T23:59:59.999Z", &["2024-01-29", "2024-02-29", "2024-03-29"]);
        check(Zone::UTC, "2024-02-29T12:00:00Z", &["2024-02-29", "2024-03-29"]);
        assert_eq!(
            quota_month_start(Zone::UTC, utc("2024-02-29T12:00:00Z"), 13),
            utc("2025-02-28T00:00:00Z")
        );
        assert_eq!(
            quota_month_start(Zone::UTC, utc("2024-02-29T12:00:00Z"), 49),
            utc("2028-02-29T00:00:00Z")
        );
    }

    #[test]
    fn quota_months_cross_the_ends_of_years() {
        check(
            Zone::UTC,
            "2025-11-30T08:00:00Z",
            &["2025-11-30", "2025-12-30", "2026-01-30", "2026-02-28", "2026-03-30"],
        );
        check(Zone::UTC, "2025-12-31T23:00:00Z", &["2025-12-31", "2026-01-31", "2026-02-28"]);
    }

    #[test]
    fn the_day_of_the_anchor_is_the_local_one() {
        check(
            Zone::named("America/Los_Angeles"),
            "2026-02-01T05:00:00Z",
            &["2026-01-31", "2026-02-28", "2026-03-31"],
        );
        check(
            Zone::named("Asia/Kathmandu"),
            "2026-01-30T20:00:00Z",
            &["2026-01-31", "2026-02-28", "2026-03-31"],
        );
    }

    #[test]
    fn quota_months_start_where_a_clock_change_lets_them() {
        check(
            Zone::named("America/Havana"),
            "2026-02-08T12:00:00Z",
            &["2026-02-08", "2026-03-08", "2026-04-08"],
        );
        check(
            Zone::named("Pacific/Apia"),
            "2011-11-28T12:00:00Z",
            &["2011-11-28", "2011-12-28", "2012-01-28"],
        );
        // Apia had no 30 December 2011: that quota month starts with the 31st, whose midnight came
        // in its place.
        let anchor = utc("2011-12-01T00:00:00Z");
        assert_eq!(day_of(Zone::named("Pacific/Apia"), anchor).to_string(), "2011-11-30");
        assert_eq!(
            quota_month_start(Zone::named("Pacific/Apia"), anchor, 2),
            utc("2011-12-30T10:00:00Z")
        );
        assert_eq!(
            quota_month_of(Zone::named("Pacific/Apia"), anchor, utc("2011-12-30T10:00:00Z")),
            2
        );
    }

    #[test]
    fn an_instant_before_the_anchor_counts_as_the_anchor() {
        assert_eq!(
            quota_month_of(Zone::UTC, utc("2026-05-10T00:00:00Z"), utc("2026-01-01T00:00:00Z")),
            1
        );
        assert_eq!(
            quota_month_of(Zone::UTC, utc("2026-05-10T12:00:00Z"), utc("2026-05-10T00:00:00Z")),
            1
        );
    }

    proptest! {
        #[test]
        fn quota_month_of_and_start_agree(
            zone in prop::sample::select(Zone::all().collect::<Vec<_>>()),
            anchor in 946_684_800_000_i64..4_102_444_800_000,
            after in 0_i64..4_000_000_000_000,
        ) {
            let time = anchor + after % (4_102_444_800_000 - anchor);
            let month = quota_month_of(zone, anchor, time);
            let start = quota_month_start(zone, anchor, month);
            let end = quota_month_start(zone, anchor, month + 1);
            prop_assert!(start <= time && time < end, "{start} <= {time} < {end}");
            prop_assert_eq!(quota_month_of(zone, anchor, end), month + 1);
            prop_assert_eq!(quota_month_of(zone, anchor, end - 1), month);
        }
    }
}
