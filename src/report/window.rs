//! Quota windows: the quota months of an organization, as they stood at an instant.
//!
//! An anchor is the time of a `plan.started` or `plan.upgraded`; the months run from it until a later anchor ends the
//! running one. Anchors and terms are known only from the records before `as_of`, except that a month which starts at
//! `as_of` itself has begun.

use chrono_tz::Tz;

use crate::core::calendar::quota_month_start;
use crate::core::event::PlanKind;

/// A plan record, as the store gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// From when on, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// What it does.
    pub kind: PlanKind,
    /// The plan.
    pub plan: String,
    /// Tests per quota month; `None` is unlimited.
    pub monthly_quota: Option<u64>,
}

/// One quota month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// What it is counted from, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// Its number, 1 = first.
    pub month: u32,
    /// Its first instant, milliseconds since 1970 UTC.
    pub start_ms: i64,
    /// The first instant after it, milliseconds since 1970 UTC: that of the next month, or a later anchor.
    pub end_ms: i64,
    /// It is not over at `as_of`.
    pub running: bool,
    /// The record in force at its end, or at `as_of` while it runs.
    pub terms: &'a PlanRecord,
}

/// All quota months that have begun at `as_of_ms`, oldest first. `records` are in the order of (time, source, offset).
/// Empty where no plan has started.
pub fn windows(zone: Tz, records: &[PlanRecord], as_of_ms: i64) -> Vec<Window<'_>> {
    let mut anchors: Vec<i64> =
        records.iter().filter(|record| record.kind.anchors()).map(|record| record.time_ms).collect();
    anchors.retain(|&anchor_ms| anchor_ms <= as_of_ms);
    anchors.dedup();
    let mut windows = Vec::new();
    for (index, &anchor_ms) in anchors.iter().enumerate() {
        let cut_ms = anchors.get(index + 1).copied().unwrap_or(i64::MAX);
        for month in 1.. {
            let start_ms = quota_month_start(zone, anchor_ms, month);
            if start_ms >= cut_ms || start_ms > as_of_ms {
                break;
            }
            let end_ms = quota_month_start(zone, anchor_ms, month + 1).min(cut_ms);
            let Some(terms) = terms(records, anchor_ms, end_ms.min(as_of_ms)) else { break };
            windows.push(Window { anchor_ms, month, start_ms, end_ms, running: end_ms > as_of_ms, terms });
        }
    }
    windows
}

/// The latest record before `bound_ms`. The record that anchors a month is in force from the month's first instant on,
/// also where that is the bound.
fn terms(records: &[PlanRecord], anchor_ms: i64, bound_ms: i64) -> Option<&PlanRecord> {
    let known =
        |record: &&PlanRecord| record.time_ms < bound_ms || (record.time_ms == anchor_ms && record.kind.anchors());
    records.iter().rev().find(known)
}

/// The first instant of the fourth quota month, if nothing cuts the first three: the end of the grace.
pub fn grace_until_ms(zone: Tz, anchor_ms: i64) -> i64 {
    quota_month_start(zone, anchor_ms, super::quota::GRACE_MONTHS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn record(time: &str, kind: PlanKind, quota: u64) -> PlanRecord {
        PlanRecord { time_ms: ms(time), kind, plan: format!("plan-{quota}"), monthly_quota: Some(quota) }
    }

    /// Each expected window is (start, end, month, quota, running), oldest first.
    fn check(zone: Tz, records: &[PlanRecord], as_of: &str, expected: &[(&str, &str, u32, u64, bool)]) {
        let found: Vec<_> = windows(zone, records, ms(as_of))
            .into_iter()
            .map(|window| {
                let quota = window.terms.monthly_quota.unwrap();
                (window.start_ms, window.end_ms, window.month, quota, window.running)
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|&(start, end, month, quota, running)| (ms(start), ms(end), month, quota, running))
            .collect();
        assert_eq!(found, expected, "as of {as_of}");
    }

    use PlanKind::{Adjusted, Started, Upgraded};

    #[test]
    fn no_plan_no_window() {
        check(Tz::UTC, &[], "2026-06-01T00:00:00Z", &[]);
        let adjusted = [record("2026-01-01T00:00:00Z", Adjusted, 10)];
        check(Tz::UTC, &adjusted, "2026-06-01T00:00:00Z", &[]);
        let later = [record("2026-07-01T00:00:00Z", Started, 10)];
        check(Tz::UTC, &later, "2026-06-01T00:00:00Z", &[]);
    }

    #[test]
    fn a_month_that_starts_at_as_of_has_begun() {
        let records = [record("2026-01-31T10:00:00Z", Started, 10)];
        check(Tz::UTC, &records, "2026-01-31T09:59:59.999Z", &[]);
        check(
            Tz::UTC,
            &records,
            "2026-01-31T10:00:00Z",
            &[("2026-01-31T10:00:00Z", "2026-02-28T00:00:00Z", 1, 10, true)],
        );
        check(
            Tz::UTC,
            &records,
            "2026-02-28T00:00:00Z",
            &[
                ("2026-01-31T10:00:00Z", "2026-02-28T00:00:00Z", 1, 10, false),
                ("2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", 2, 10, true),
            ],
        );
    }

    #[test]
    fn terms_are_those_before_the_end_or_as_of() {
        let records = [
            record("2026-01-10T10:00:00Z", Started, 10),
            record("2026-02-10T00:00:00Z", Adjusted, 20),
            record("2026-02-20T00:00:00Z", Adjusted, 30),
        ];
        let first = ("2026-01-10T10:00:00Z", "2026-02-10T00:00:00Z", 1, 10, false);
        let second = |quota| ("2026-02-10T00:00:00Z", "2026-03-10T00:00:00Z", 2, quota, true);
        check(Tz::UTC, &records, "2026-02-10T00:00:00Z", &[first, second(10)]);
        check(Tz::UTC, &records, "2026-02-20T00:00:00Z", &[first, second(20)]);
        check(Tz::UTC, &records, "2026-02-20T00:00:00.001Z", &[first, second(30)]);
    }

    #[test]
    fn a_later_anchor_ends_the_running_month_at_once() {
        let records = [
            record("2026-01-10T10:00:00Z", Started, 10),
            record("2026-02-15T12:00:00Z", Upgraded, 20),
            record("2026-02-15T18:00:00Z", Upgraded, 30),
        ];
        let expected = [
            ("2026-01-10T10:00:00Z", "2026-02-10T00:00:00Z", 1, 10, false),
            ("2026-02-10T00:00:00Z", "2026-02-15T12:00:00Z", 2, 10, false),
            ("2026-02-15T12:00:00Z", "2026-02-15T18:00:00Z", 1, 20, false),
            ("2026-02-15T18:00:00Z", "2026-03-15T00:00:00Z", 1, 30, true),
        ];
        check(Tz::UTC, &records, "2026-03-01T00:00:00Z", &expected);
        // What comes after as_of is not known then.
        let before = [expected[0], ("2026-02-10T00:00:00Z", "2026-03-10T00:00:00Z", 2, 10, true)];
        check(Tz::UTC, &records, "2026-02-15T11:59:59.999Z", &before);
    }

    #[test]
    fn records_of_the_same_time_follow_the_log() {
        let records = [
            record("2026-01-10T10:00:00Z", Started, 10),
            record("2026-01-10T10:00:00Z", Upgraded, 20),
            record("2026-01-10T10:00:00Z", Adjusted, 30),
        ];
        let window = |quota| [("2026-01-10T10:00:00Z", "2026-02-10T00:00:00Z", 1, quota, true)];
        check(Tz::UTC, &records, "2026-01-10T10:00:00Z", &window(20));
        check(Tz::UTC, &records, "2026-01-10T10:00:00.001Z", &window(30));
    }

    #[test]
    fn anchors_at_the_end_of_long_months_come_back() {
        let records = [record("2028-01-31T12:00:00Z", Started, 10)];
        check(
            Tz::UTC,
            &records,
            "2028-04-01T00:00:00Z",
            &[
                ("2028-01-31T12:00:00Z", "2028-02-29T00:00:00Z", 1, 10, false),
                ("2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", 2, 10, false),
                ("2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z", 3, 10, true),
            ],
        );
    }
}
