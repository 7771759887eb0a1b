//! Standings: what an organization may still run, at an instant and in the days that follow.
//!
//! All figures are those of the quota report, computed by the same functions. A standing changes
//! with the data and, while the data stays, at few instants alone: at midnights, where quota months
//! and the grace end and tests of days ahead begin to count, and at the times of plan records that
//! lie ahead. So a [`Timeline`] holds it from one such instant to the next, and nobody has to read
//! anything where a month ends.

use super::quota::{Figures, QuotaFacts, QuotaStatus, remaining};
use crate::core::calendar::{Day, Zone, day_of, day_start};

/// What an organization that has a plan may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStanding {
    /// The anchor of its quota month, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// The number of that month, 1 = first.
    pub month: u32,
    /// The first instant after it, milliseconds since 1970 UTC.
    pub ends_ms: i64,
    /// `None` where the plan is unlimited.
    pub bounds: Option<QuotaBounds>,
    /// Tests that ran in it; whole days.
    pub used: u64,
    /// How far the quota is used.
    pub status: QuotaStatus,
}

/// What bounds the tests of a quota month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaBounds {
    /// Tests a month.
    pub quota: u64,
    /// Tests that may run in it: the quota, or more in the grace.
    pub allowance: u64,
}

impl QuotaStanding {
    /// The standing at the instant, milliseconds since 1970 UTC; `None` where no plan had started.
    fn at(zone: Zone, facts: &QuotaFacts, as_of_ms: i64) -> Option<Self> {
        let (anchor_ms, month) = Figures::new(zone, facts, as_of_ms).running()?;
        let bounds = month.monthly_quota.zip(month.allowance);
        Some(Self {
            anchor_ms,
            month: month.window.month,
            ends_ms: month.window.end.0,
            bounds: bounds.map(|(quota, allowance)| QuotaBounds { quota, allowance }),
            used: month.used,
            status: month.status,
        })
    }

    /// Tests that may run in the month at most; `None` where the plan is unlimited.
    pub fn allowance(&self) -> Option<u64> {
        self.bounds.map(|bounds| bounds.allowance)
    }

    /// Tests that may still run; `None` where the plan is unlimited.
    pub fn remaining(&self) -> Option<u64> {
        remaining(self.allowance(), self.used)
    }

    /// Whether so many tests more stay within the allowance.
    pub fn lets_run(&self, tests: u64) -> bool {
        self.allowance().is_none_or(|allowance| {
            self.used.checked_add(tests).is_some_and(|used| used <= allowance)
        })
    }
}

/// The standing of an organization from an instant on, as far as the data tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Up to the first change.
    first: Option<QuotaStanding>,
    /// The changes that follow, in the order of time.
    later: Box<[Change]>,
}

/// A change of a standing that time alone brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Its first instant, milliseconds since 1970 UTC.
    from_ms: i64,
    standing: Option<QuotaStanding>,
}

impl Timeline {
    /// The timeline from one instant to before another, milliseconds since 1970 UTC, in the
    /// account's zone of now; `None` where no plan starts before its end. The facts hold the use of
    /// each day from that of the first instant on.
    pub fn draw(zone: Zone, facts: &QuotaFacts, from_ms: i64, until_ms: i64) -> Option<Self> {
        let first = QuotaStanding::at(zone, facts, from_ms);
        let mut latest = first;
        let mut later = Vec::new();
        for from_ms in changes_of(zone, facts, from_ms, until_ms) {
            let standing = QuotaStanding::at(zone, facts, from_ms);
            if standing != latest {
                later.push(Change { from_ms, standing });
                latest = standing;
            }
        }
        let has_plan = first.is_some() || !later.is_empty();
        has_plan.then(|| Self { first, later: later.into() })
    }

    /// The standing at an instant of the timeline, milliseconds since 1970 UTC; `None` where no
    /// plan had started. An earlier instant is read as its first, and a later one as its last.
    pub fn at(&self, now_ms: i64) -> Option<&QuotaStanding> {
        let change = self.later.iter().rev().find(|change| change.from_ms <= now_ms);
        change.map_or(self.first.as_ref(), |change| change.standing.as_ref())
    }
}

/// The instants after `from_ms` and before `until_ms` at which the standing may change, ascending.
/// A record that anchors a month is in force from its time on, any other from the next instant on.
fn changes_of(zone: Zone, facts: &QuotaFacts, from_ms: i64, until_ms: i64) -> Vec<i64> {
    let records = facts.records.iter().flat_map(|record| [record.time_ms, record.time_ms + 1]);
    let (first_day, last_day) = (day_of(zone, from_ms), day_of(zone, until_ms));
    let midnights = (first_day.0..=last_day.0).map(|day| day_start(zone, Day(day)));
    let mut changes: Vec<i64> =
        records.chain(midnights).filter(|&ms| from_ms < ms && ms < until_ms).collect();
    changes.sort_unstable();
    changes.dedup();
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::quota_month_of;
    use crate::core::event::PlanKind;
    use crate::report::quota::QuotaUsed;
    use crate::report::window::PlanRecord;

    const DAY_MS: i64 = 86_400_000;

    fn record(time_ms: i64, kind: PlanKind, monthly_quota: Option<u64>) -> PlanRecord {
        PlanRecord { time_ms, kind, plan: "p".to_owned(), monthly_quota }
    }

    fn used(month: u32, day: i32, tests: u64) -> QuotaUsed {
        QuotaUsed { anchor_ms: 0, month, day: Day(day), tests }
    }

    fn facts(records: Vec<PlanRecord>, used: Vec<QuotaUsed>) -> QuotaFacts {
        QuotaFacts { records, used, week_tests: 0 }
    }

    /// Used, allowance and number of the month at an instant.
    fn told(timeline: &Timeline, now_ms: i64) -> Option<(u64, Option<u64>, u32)> {
        timeline.at(now_ms).map(|it| (it.used, it.allowance(), it.month))
    }

    #[test]
    fn tests_run_as_long_as_the_allowance_holds_them() {
        let facts = facts(vec![record(0, PlanKind::Started, Some(10))], vec![used(1, 0, 12)]);
        let standing = QuotaStanding::at(Zone::UTC, &facts, 1).unwrap();
        assert_eq!((standing.allowance(), standing.remaining()), (Some(13), Some(1)));
        assert_eq!(standing.status, QuotaStatus::Grace);
        assert!(standing.lets_run(1) && !standing.lets_run(2) && !standing.lets_run(u64::MAX));
        let unlimited = QuotaStanding { bounds: None, ..standing };
        assert!(unlimited.lets_run(u64::MAX));
        assert_eq!(unlimited.remaining(), None);
    }

    #[test]
    fn a_month_ends_by_itself() {
        let facts = facts(vec![record(0, PlanKind::Started, Some(10))], vec![used(1, 29, 7)]);
        let timeline = Timeline::draw(Zone::UTC, &facts, 30 * DAY_MS, 32 * DAY_MS).unwrap();
        assert_eq!(told(&timeline, 31 * DAY_MS - 1), Some((7, Some(13), 1)));
        assert_eq!(told(&timeline, 31 * DAY_MS), Some((0, Some(13), 2)));
        assert_eq!(timeline.later.len(), 1, "other midnights change nothing");
        // The grace ends with the third month.
        let timeline = Timeline::draw(Zone::UTC, &facts, 89 * DAY_MS, 91 * DAY_MS).unwrap();
        assert_eq!(told(&timeline, 90 * DAY_MS - 1), Some((0, Some(13), 3)));
        assert_eq!(told(&timeline, 90 * DAY_MS), Some((0, Some(10), 4)));
    }

    #[test]
    fn what_lies_ahead_counts_from_its_day_and_its_instant_on() {
        let records = vec![
            record(0, PlanKind::Started, Some(10)),
            record(DAY_MS + 5, PlanKind::Adjusted, Some(20)),
            record(DAY_MS + 9, PlanKind::Upgraded, None),
        ];
        let facts = facts(records, vec![used(1, 0, 2), used(1, 1, 3)]);
        let timeline = Timeline::draw(Zone::UTC, &facts, 1, 2 * DAY_MS).unwrap();
        assert_eq!(told(&timeline, DAY_MS - 1), Some((2, Some(13), 1)));
        assert_eq!(told(&timeline, DAY_MS + 5), Some((5, Some(13), 1)));
        assert_eq!(told(&timeline, DAY_MS + 6), Some((5, Some(26), 1)));
        assert_eq!(told(&timeline, DAY_MS + 9), Some((0, None, 1)));
        assert_eq!(timeline.at(DAY_MS + 8).unwrap().ends_ms, 31 * DAY_MS, "nobody knows yet");
    }

    #[test]
    fn an_organization_has_a_timeline_once_a_plan_is_known() {
        let ahead = facts(vec![record(DAY_MS, PlanKind::Started, Some(1))], Vec::new());
        assert_eq!(Timeline::draw(Zone::UTC, &ahead, 0, DAY_MS), None);
        let timeline = Timeline::draw(Zone::UTC, &ahead, 0, DAY_MS + 1).unwrap();
        assert_eq!(told(&timeline, DAY_MS - 1), None);
        assert_eq!(told(&timeline, DAY_MS), Some((0, Some(1), 1)));
    }

    fn kind() -> impl Strategy<Value = PlanKind> {
        prop_oneof![Just(PlanKind::Started), Just(PlanKind::Upgraded), Just(PlanKind::Adjusted)]
    }

    proptest! {
        /// Over random plans, zones, edges of months and days ahead, a timeline says at each of its
        /// instants what a report made at that instant says.
        #[test]
        fn a_timeline_says_at_each_instant_what_the_report_says(
            zone in prop::sample::select(Zone::all().collect::<Vec<_>>()),
            from_ms in 946_684_800_000_i64..4_070_908_800_000,
            plans in prop::collection::vec(
                (-100 * DAY_MS..3 * DAY_MS, kind(), prop::option::of(0..40_u64)), 0..5,
            ),
            uses in prop::collection::vec((0..5_usize, 0..2_u32, 0..4_i32, 0..20_u64), 0..8),
            offsets in prop::collection::vec(0..2 * DAY_MS, 20),
        ) {
            let mut plans = plans;
            // Some months end, and some plans begin, right before or after an edge of a day.
            plans.sort_by_key(|plan| plan.0);
            let records: Vec<PlanRecord> = plans
                .iter()
                .map(|&(after_ms, kind, quota)| record(from_ms + after_ms, kind, quota))
                .collect();
            let anchors: Vec<i64> = records.iter().map(|record| record.time_ms).collect();
            let first_day = day_of(zone, from_ms).0;
            let used = uses
                .iter()
                .filter_map(|&(anchor, later, day, tests)| {
                    let &anchor_ms = anchors.get(anchor)?;
                    let month = quota_month_of(zone, anchor_ms, from_ms) + later;
                    Some(QuotaUsed { anchor_ms, month, day: Day(first_day + day), tests })
                })
                .collect();
            let facts = facts(records, used);
            let until_ms = from_ms + 2 * DAY_MS;
            let timeline = Timeline::draw(zone, &facts, from_ms, until_ms);
            let at_edges = changes_of(zone, &facts, from_ms, until_ms);
            let around = at_edges.into_iter().flat_map(|ms| [ms - 1, ms, ms + 1]);
            let anywhere = offsets.into_iter().map(|after_ms| from_ms + after_ms);
            for now_ms in around.chain(anywhere).filter(|ms| (from_ms..until_ms).contains(ms)) {
                let report = Figures::new(zone, &facts, now_ms).current().map(|it| it.month);
                let standing = timeline.as_ref().and_then(|timeline| timeline.at(now_ms));
                prop_assert_eq!(standing.is_some(), report.is_some(), "at {}", now_ms);
                let (Some(standing), Some(report)) = (standing, report) else { continue };
                prop_assert_eq!(standing.allowance(), report.allowance);
                prop_assert_eq!(standing.bounds.map(|it| it.quota), report.monthly_quota);
                prop_assert_eq!(standing.remaining(), report.remaining);
                prop_assert_eq!(standing.used, report.used);
                prop_assert_eq!(standing.status, report.status);
                prop_assert_eq!(standing.ends_ms, report.window.end.0);
                prop_assert_eq!(standing.month, report.window.month);
                prop_assert_eq!(standing.lets_run(1), report.can_run);
            }
        }
    }
}
