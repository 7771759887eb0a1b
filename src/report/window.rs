//! Quota windows: the quota months of an organization, as they stood at an instant.
//!
//! An anchor is the time of a `plan.started` or `plan.upgraded`; the months run from it until a
//! later anchor ends the running one. Anchors and terms are known only from the records before
//! `as_of`, except that a month which starts at `as_of` itself has begun.

use crate::core::calendar::{Zone, quota_month_of, quota_month_start};
use crate::core::event::PlanKind;

/// Number of quota months from the anchor that have the grace.
pub const GRACE_MONTHS: u32 = 3;

/// A plan record, as the store gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// From when on, milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// Its kind.
    pub kind: PlanKind,
    /// The plan.
    pub plan: String,
    /// Tests per quota month; `None` is unlimited.
    pub monthly_quota: Option<u64>,
}

/// One quota month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// The anchor from which it is counted, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// Its number, 1 = first.
    pub month: u32,
    /// Its first instant, milliseconds since 1970 UTC.
    pub start_ms: i64,
    /// The first instant after it, milliseconds since 1970 UTC: that of the next month, or a later
    /// anchor.
    pub end_ms: i64,
    /// It is not over at `as_of`.
    pub running: bool,
    /// The record in force at its end, or at `as_of` while it runs.
    pub terms: &'a PlanRecord,
}

/// The plan records of an organization, as they are known at an instant.
pub struct Plans<'a> {
    zone: Zone,
    /// In the order of (time, source, offset).
    records: &'a [PlanRecord],
    as_of_ms: i64,
    /// The anchors that have begun, ascending, each once.
    anchors_ms: Vec<i64>,
}

impl<'a> Plans<'a> {
    /// The plans as of `as_of_ms`. `records` are in the order of (time, source, offset).
    pub fn new(zone: Zone, records: &'a [PlanRecord], as_of_ms: i64) -> Self {
        let anchoring =
            records.iter().filter(|record| record.kind.anchors() && record.time_ms <= as_of_ms);
        let mut anchors_ms: Vec<i64> = anchoring.map(|record| record.time_ms).collect();
        anchors_ms.dedup();
        Self { zone, records, as_of_ms, anchors_ms }
    }

    /// The first anchor of all, milliseconds since 1970 UTC; `None` where no plan has started.
    pub fn first_anchor_ms(&self) -> Option<i64> {
        self.anchors_ms.first().copied()
    }

    /// The quota month that runs; `None` where no plan has started.
    pub fn running(&self) -> Option<Window<'a>> {
        let &anchor_ms = self.anchors_ms.last()?;
        self.window(anchor_ms, quota_month_of(self.zone, anchor_ms, self.as_of_ms), i64::MAX)
    }

    /// All quota months that have begun, oldest first. Empty where no plan has started. Instants
    /// end with the year 9999, so they are 96,000 at most, and one for each anchor besides.
    pub fn windows(&self) -> Vec<Window<'a>> {
        let mut windows = Vec::new();
        for (index, &anchor_ms) in self.anchors_ms.iter().enumerate() {
            let cut_ms = self.anchors_ms.get(index + 1).copied().unwrap_or(i64::MAX);
            let mut begun_ms = i64::MIN;
            // Behind the year 9999 no day begins, so no month does.
            for window in (1..).map_while(|month| self.window(anchor_ms, month, cut_ms)) {
                if window.start_ms <= begun_ms {
                    break;
                }
                begun_ms = window.start_ms;
                windows.push(window);
            }
        }
        windows
    }

    /// The quota month; `None` where it has not begun, or not before a later anchor at `cut_ms`.
    fn window(&self, anchor_ms: i64, month: u32, cut_ms: i64) -> Option<Window<'a>> {
        let start_ms = quota_month_start(self.zone, anchor_ms, month);
        if start_ms >= cut_ms || start_ms > self.as_of_ms {
            return None;
        }
        let end_ms = quota_month_start(self.zone, anchor_ms, month + 1).min(cut_ms);
        let terms = terms(self.records, anchor_ms, end_ms.min(self.as_of_ms))?;
        Some(Window { anchor_ms, month, start_ms, end_ms, running: end_ms > self.as_of_ms, terms })
    }
}

/// The latest record before `bound_ms`. The record that anchors a month is in force from the
/// month's first instant on, also where that is the bound.
fn terms(records: &[PlanRecord], anchor_ms: i64, bound_ms: i64) -> Option<&PlanRecord> {
    let known = |record: &&PlanRecord| {
        record.time_ms < bound_ms || (record.time_ms == anchor_ms && record.kind.anchors())
    };
    // No record after both is known, and they are many where plans change often.
    let end =
        records.partition_point(|record| record.time_ms < bound_ms || record.time_ms <= anchor_ms);
    records[..end].iter().rev().find(known)
}

/// The first instant of the fourth quota month, if nothing cuts the first three: the end of the
/// grace.
pub fn grace_until_ms(zone: Zone, anchor_ms: i64) -> i64 {
    quota_month_start(zone, anchor_ms, GRACE_MONTHS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn record(time: &str, kind: PlanKind, quota: u64) -> PlanRecord {
        PlanRecord {
            time_ms: ms(time),
            kind,
            plan: format!("plan-{quota}"),
            monthly_quota: Some(quota),
        }
    }

    /// Each expected window is (start, end, month, quota, running), oldest first.
    fn check(
        zone: Zone,
        records: &[PlanRecord],
        as_of: &str,
        expected: &[(&str, &str, u32, u64, bool)],
    ) {
        let plans = Plans::new(zone, records, ms(as_of));
        let found = plans.windows();
        assert_eq!(plans.running(), found.last().copied(), "as of {as_of}");
        let found: Vec<_> = found
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
        check(Zone::UTC, &[], "2026-06-01T00:00:00Z", &[]);
        let adjusted = [record("2026-01-01T00:00:00Z", Adjusted, 10)];
        check(Zone::UTC, &adjusted, "2026-06-01T00:00:00Z", &[]);
        let later = [record("2026-07-01T00:00:00Z", Started, 10)];
        check(Zone::UTC, &later, "2026-06-01T00:00:00Z", &[]);
    }

    #[test]
    fn a_month_that_starts_at_as_of_has_begun() {
        let records = [record("2026-01-31T10:00:00Z", Started, 10)];
        check(Zone::UTC, &records, "2026-01-31T09:59:59.999Z", &[]);
        check(
            Zone::UTC,
            &records,
            "2026-01-31T10:00:00Z",
            &[("2026-01-31T10:00:00Z", "2026-02-28T00:00:00Z", 1, 10, true)],
        );
        check(
            Zone::UTC,
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
        check(Zone::UTC, &records, "2026-02-10T00:00:00Z", &[first, second(10)]);
        check(Zone::UTC, &records, "2026-02-20T00:00:00Z", &[first, second(20)]);
        check(Zone::UTC, &records, "2026-02-20T00:00:00.001Z", &[first, second(30)]);
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
        check(Zone::UTC, &records, "2026-03-01T00:00:00Z", &expected);
        // What comes after as_of is not known then.
        let before = [expected[0], ("2026-02-10T00:00:00Z", "2026-03-10T00:00:00Z", 2, 10, true)];
        check(Zone::UTC, &records, "2026-02-15T11:59:59.999Z", &before);
    }

    #[test]
    fn records_of_the_same_time_follow_the_log() {
        let records = [
            record("2026-01-10T10:00:00Z", Started, 10),
            record("2026-01-10T10:00:00Z", Upgraded, 20),
            record("2026-01-10T10:00:00Z", Adjusted, 30),
        ];
        let window = |quota| [("2026-01-10T10:00:00Z", "2026-02-10T00:00:00Z", 1, quota, true)];
        check(Zone::UTC, &records, "2026-01-10T10:00:00Z", &window(20));
        check(Zone::UTC, &records, "2026-01-10T10:00:00.001Z", &window(30));
    }

    #[test]
    fn anchors_at_the_end_of_long_months_come_back() {
        let records = [record("2028-01-31T12:00:00Z", Started, 10)];
        check(
            Zone::UTC,
            &records,
            "2028-04-01T00:00:00Z",
            &[
                ("2028-01-31T12:00:00Z", "2028-02-29T00:00:00Z", 1, 10, false),
                ("2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", 2, 10, false),
                ("2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z", 3, 10, true),
            ],
        );
    }

    #[test]
    fn a_history_goes_on_to_the_last_instant_that_can_be_named() {
        let records = [record("2026-01-31T12:00:00Z", Started, 10)];
        let far = Plans::new(Zone::UTC, &records, ms("9999-12-31T23:59:59Z"));
        let windows = far.windows();
        assert_eq!(windows.len(), (9_999 - 2_026) * 12 + 12);
        assert_eq!(
            windows.last().map(|window| window.start_ms),
            far.running().map(|window| window.start_ms)
        );
    }

    #[test]
    fn terms_are_found_among_many_changes() {
        let mut records = vec![record("2026-01-01T00:00:00Z", Started, 0)];
        records.extend((1..20_000).map(|hours: i64| PlanRecord {
            time_ms: ms("2026-01-01T00:00:00Z") + hours * 3_600_000,
            ..record("2026-01-01T00:00:00Z", Adjusted, u64::try_from(hours).unwrap())
        }));
        let plans = Plans::new(Zone::UTC, &records, ms("2027-01-15T00:30:00Z"));
        let quotas: Vec<_> =
            plans.windows().iter().map(|window| window.terms.monthly_quota.unwrap()).collect();
        assert_eq!(quotas[..2], [31 * 24 - 1, (31 + 28) * 24 - 1]);
        assert_eq!(quotas[12], 379 * 24);
    }
}
