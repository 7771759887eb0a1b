//! The rules of alerts: which lines a figure has reached, and what is to be told.
//!
//! A rule is armed by a quota month (an anchor and a number) or by a record of purchase. While that
//! stays, each of its lines is raised once at most, and a line that lies below one that was raised
//! is not raised after it. An alert is resolved once its figure has fallen below its line, and ends
//! with its month. All of it follows from the figures and from what was told before, so whoever
//! judges the same figures tells the same.

use super::alert::{
    AlertChange, AlertKey, AlertLine, AlertLines, AlertRule, AlertState, Arming, SeatFigures,
    ToldAlerts,
};
use super::pace::week_before;
use super::quota::{CurrentQuota, Figures, QuotaFacts, QuotaStatus};
use super::value::Hundredths;
use crate::core::calendar::{Day, Zone, day_of, day_start};

/// The quota of an organization at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaFigures {
    /// The anchor of its month, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    pub quota: CurrentQuota,
    /// Its pace had a day on which it runs out at the local midnight before, too.
    pub ran_out_at_midnight: bool,
}

/// What the quota of an organization is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaCourse {
    /// Plans, and what is used of each day from the day before that of now on. The tests of the
    /// week before are not in it.
    pub facts: QuotaFacts,
    /// Tests run on the platform by day, in no order.
    pub ran: Vec<(Day, u64)>,
}

impl QuotaFigures {
    /// The figures at an instant, milliseconds since 1970 UTC; `None` where no plan had started.
    pub fn at(zone: Zone, course: &QuotaCourse, now_ms: i64) -> Option<Self> {
        let today = day_of(zone, now_ms);
        let (week_start, week_end) = week_before(today);
        let in_week = course.ran.iter().filter(|(day, _)| (week_start..=week_end).contains(day));
        let week_tests = in_week.map(|(_, tests)| tests).sum();
        let facts = QuotaFacts { week_tests, ..course.facts.clone() };
        let figures = Figures::new(zone, &facts, now_ms);
        let (anchor_ms, _) = figures.running()?;
        let quota = figures.current()?;
        // At that midnight nothing of the day had run.
        let mut facts = facts.clone();
        facts.used.retain(|used| used.day < today);
        let midnight = Figures::new(zone, &facts, day_start(zone, today)).current();
        let pace = midnight.and_then(|quota| quota.pace);
        let ran_out_at_midnight = pace.is_some_and(|pace| pace.runs_out_on.is_some());
        Some(Self { anchor_ms, quota, ran_out_at_midnight })
    }
}

/// The first instant after now at which figures of quota may change by themselves: the next local
/// midnight, or the time of a plan record that lies ahead. Milliseconds since 1970 UTC.
pub fn next_change_ms<'a>(
    zone: Zone,
    facts: impl IntoIterator<Item = &'a QuotaFacts>,
    now_ms: i64,
) -> i64 {
    let records = facts.into_iter().flat_map(|facts| &facts.records);
    // A record that anchors a month is in force from its time on, any other from the next instant.
    let ahead = records.flat_map(|record| [record.time_ms, record.time_ms + 1]);
    let midnight_ms = day_start(zone, day_of(zone, now_ms).plus_days(1));
    ahead.filter(|&ms| ms > now_ms).min().map_or(midnight_ms, |ms| ms.min(midnight_ms))
}

/// How a figure lies to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Below,
    /// Neither raises nor resolves.
    Between,
    Reached,
}

impl Level {
    fn of(is_reached: bool) -> Self {
        if is_reached { Self::Reached } else { Self::Below }
    }
}

/// A rule on its figure.
trait Judged {
    /// The lines that may be raised.
    fn lines(&self, lines: &AlertLines) -> Vec<AlertLine>;
    /// How the figure lies to a line, also to one that was raised and is configured no more.
    fn level(&self, line: AlertLine) -> Level;
    /// The order of lines: where a figure reaches one, it reaches those before it.
    fn rank(&self, line: AlertLine) -> u64;
}

impl Judged for CurrentQuota {
    fn lines(&self, lines: &AlertLines) -> Vec<AlertLine> {
        let percents = lines.quota_percent.iter().map(|&percent| AlertLine::Percent(percent));
        percents.chain([AlertLine::Exhausted]).collect()
    }

    fn level(&self, line: AlertLine) -> Level {
        match line {
            AlertLine::Percent(percent) => {
                let line = Hundredths::ratio(percent.into(), 1);
                Level::of(self.month.percent_used.is_some_and(|used| used >= line))
            }
            _ => Level::of(self.month.status == QuotaStatus::Exhausted),
        }
    }

    fn rank(&self, line: AlertLine) -> u64 {
        let grace = &self.month.grace;
        match line {
            AlertLine::Percent(percent) => 2 * u64::from(percent),
            // Where the allowance is the quota, to be exhausted says more than to have used 100 %.
            _ => 2 * u64::from(if grace.active { grace.percent } else { 100 }) + 1,
        }
    }
}

impl Judged for QuotaFigures {
    fn lines(&self, _: &AlertLines) -> Vec<AlertLine> {
        vec![AlertLine::RunsOut]
    }

    fn level(&self, _: AlertLine) -> Level {
        let runs_out = self.quota.pace.is_some_and(|pace| pace.runs_out_on.is_some());
        match (runs_out, self.ran_out_at_midnight) {
            (true, true) => Level::Reached,
            (true, false) => Level::Between,
            // What has run out has not come to last the month.
            (false, _) if self.quota.month.status == QuotaStatus::Exhausted => Level::Between,
            (false, _) => Level::Below,
        }
    }

    fn rank(&self, _: AlertLine) -> u64 {
        0
    }
}

impl Judged for SeatFigures {
    fn lines(&self, lines: &AlertLines) -> Vec<AlertLine> {
        let percents = lines.seats_percent.iter().map(|&percent| AlertLine::Percent(percent));
        percents.chain([AlertLine::Overage]).collect()
    }

    fn level(&self, line: AlertLine) -> Level {
        let (purchased, assigned) = (u128::from(self.purchased), u128::from(self.assigned));
        Level::of(match line {
            // No share of no seats is reached while none is assigned.
            AlertLine::Percent(percent) => {
                assigned > 0 && assigned * 100 >= purchased * u128::from(percent)
            }
            _ => assigned > purchased,
        })
    }

    fn rank(&self, line: AlertLine) -> u64 {
        match line {
            AlertLine::Percent(percent) => 2 * u64::from(percent),
            _ => 2 * 100 + 1,
        }
    }
}

/// What is to be told of an organization's quota and pace. `None` where it has no plan.
pub fn judge_quota(
    lines: &AlertLines,
    organization: &str,
    figures: Option<&QuotaFigures>,
    told: &ToldAlerts,
) -> Vec<AlertChange> {
    let arming = figures.map(|figures| Arming {
        at_ms: figures.anchor_ms,
        month: figures.quota.month.window.month,
    });
    let quota = figures.map(|figures| &figures.quota as &dyn Judged);
    let pace = figures.map(|figures| figures as &dyn Judged);
    let mut changes = Vec::new();
    for (rule, figure) in [(AlertRule::Quota, quota), (AlertRule::Pace, pace)] {
        let judged = arming.zip(figure);
        changes.extend(judge(lines, (rule, Some(organization)), judged, told));
    }
    changes
}

/// What is to be told of an account's seats. `purchase_ms` is the time of the latest record of
/// purchase, milliseconds since 1970 UTC.
pub fn judge_seats(
    lines: &AlertLines,
    figures: &SeatFigures,
    purchase_ms: Option<i64>,
    told: &ToldAlerts,
) -> Vec<AlertChange> {
    let arming = Arming { at_ms: purchase_ms.unwrap_or(0), month: 0 };
    judge(lines, (AlertRule::Seats, None), Some((arming, figures)), told)
}

/// What a rule tells: of the alerts of its present arming, and of those before it that are open.
fn judge(
    lines: &AlertLines,
    (rule, organization): (AlertRule, Option<&str>),
    judged: Option<(Arming, &dyn Judged)>,
    told: &ToldAlerts,
) -> Vec<AlertChange> {
    let known = told
        .iter()
        .filter(|(key, _)| key.rule == rule && key.organization.as_deref() == organization);
    let mut changes = Vec::new();
    let mut highest_told = None;
    for (key, told) in known {
        let current = judged.filter(|(arming, _)| *arming == key.arming);
        if let Some((_, figure)) = current {
            highest_told = highest_told.max(Some(figure.rank(key.line)));
        }
        let is_below = |figure: &dyn Judged| figure.level(key.line) == Level::Below;
        let state = match (told.state, current, judged) {
            (AlertState::Resolved, ..) => continue,
            (_, Some((_, figure)), _) if is_below(figure) => AlertState::Resolved,
            // A purchase resolves what it brings below the line.
            (AlertState::Raised, None, Some((_, figure)))
                if rule == AlertRule::Seats && is_below(figure) =>
            {
                AlertState::Resolved
            }
            (AlertState::Raised, None, _) => AlertState::Ended,
            _ => continue,
        };
        changes.push(AlertChange { key: key.clone(), state, is_silent: told.is_silent });
    }
    let Some((arming, figure)) = judged else { return changes };
    let reached = figure.lines(lines).into_iter();
    let reached = reached.filter(|&line| figure.level(line) == Level::Reached);
    let highest = reached.max_by_key(|&line| figure.rank(line));
    if let Some(line) = highest.filter(|&line| Some(figure.rank(line)) > highest_told) {
        let organization = organization.map(str::to_owned);
        let key = AlertKey { rule, organization, arming, line };
        changes.push(AlertChange { key, state: AlertState::Raised, is_silent: false });
    }
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::event::PlanKind;
    use crate::report::alert::ToldAlert;
    use crate::report::quota::QuotaUsed;
    use crate::report::window::PlanRecord;

    const DAY_MS: i64 = 86_400_000;

    fn lines() -> AlertLines {
        AlertLines { quota_percent: vec![80, 100], seats_percent: vec![90, 100] }
    }

    /// Plans at times, and tests that ran on days of the first months.
    fn course(plans: &[(i64, PlanKind, Option<u64>)], ran: &[(i32, u64)]) -> QuotaCourse {
        let record = |&(time_ms, kind, monthly_quota): &(i64, PlanKind, Option<u64>)| PlanRecord {
            time_ms,
            kind,
            plan: "p".to_owned(),
            monthly_quota,
        };
        let used = |&(day, tests): &(i32, u64)| QuotaUsed {
            anchor_ms: 0,
            month: u32::try_from(day / 31 + 1).unwrap(),
            day: Day(day),
            tests,
        };
        let facts = QuotaFacts {
            records: plans.iter().map(record).collect(),
            used: ran.iter().map(used).collect(),
            week_tests: 0,
        };
        QuotaCourse { facts, ran: ran.iter().map(|&(day, tests)| (Day(day), tests)).collect() }
    }

    fn started(quota: u64) -> (i64, PlanKind, Option<u64>) {
        (0, PlanKind::Started, Some(quota))
    }

    /// Takes the changes in, and names them: rule, line, month and state.
    fn take(told: &mut ToldAlerts, changes: Vec<AlertChange>) -> Vec<String> {
        let mut names = Vec::new();
        for AlertChange { key, state, is_silent } in changes {
            let AlertKey { rule, line, arming, .. } = &key;
            names.push(format!("{} {line} {} {}", rule.as_str(), arming.month, state.as_str()));
            told.insert(key, ToldAlert { state, is_silent });
        }
        names
    }

    fn judged(told: &mut ToldAlerts, course: &QuotaCourse, now_ms: i64) -> Vec<String> {
        let figures = QuotaFigures::at(Zone::UTC, course, now_ms);
        let changes = judge_quota(&lines(), "o", figures.as_ref(), told);
        take(told, changes)
    }

    #[test]
    fn the_highest_of_several_lines_is_told_once() {
        let mut told = ToldAlerts::new();
        let used = |used| course(&[started(100)], &[(0, used)]);
        assert!(judged(&mut told, &used(79), 1).is_empty());
        assert_eq!(judged(&mut told, &used(80), 1), ["quota 80 1 raised"]);
        assert!(judged(&mut told, &used(99), 1).is_empty());
        assert_eq!(judged(&mut told, &used(129), 1), ["quota 100 1 raised"]);
        assert_eq!(judged(&mut told, &used(130), 1), ["quota exhausted 1 raised"]);
        assert!(judged(&mut told, &used(500), 1).is_empty());
        let mut told = ToldAlerts::new();
        assert_eq!(judged(&mut told, &used(130), 1), ["quota exhausted 1 raised"]);
        assert!(judged(&mut told, &used(131), 1).is_empty(), "lower lines were passed with it");
    }

    #[test]
    fn a_new_quota_resolves_and_nothing_is_raised_twice_within_a_month() {
        let mut told = ToldAlerts::new();
        let with =
            |quota| course(&[started(100), (5, PlanKind::Adjusted, Some(quota))], &[(0, 100)]);
        assert_eq!(judged(&mut told, &with(100), 9), ["quota 100 1 raised"]);
        assert_eq!(judged(&mut told, &with(120), 9), ["quota 100 1 resolved"]);
        assert!(judged(&mut told, &with(100), 9).is_empty());
        assert_eq!(judged(&mut told, &with(50), 9), ["quota exhausted 1 raised"]);
        let unlimited = course(&[started(100), (5, PlanKind::Adjusted, None)], &[(0, 100)]);
        assert_eq!(judged(&mut told, &unlimited, 9), ["quota exhausted 1 resolved"]);
    }

    #[test]
    fn the_end_of_a_month_ends_and_another_one_arms() {
        let mut told = ToldAlerts::new();
        let course = course(&[started(100)], &[(0, 85), (31, 85)]);
        assert_eq!(judged(&mut told, &course, 31 * DAY_MS - 1), ["quota 80 1 raised"]);
        let next = ["quota 80 1 ended", "quota 80 2 raised"];
        assert_eq!(judged(&mut told, &course, 31 * DAY_MS), next);
        assert!(judged(&mut told, &course, 31 * DAY_MS + 1).is_empty());
    }

    #[test]
    fn a_quota_of_0_is_exhausted_from_the_start() {
        let course = course(&[started(0)], &[]);
        assert_eq!(judged(&mut ToldAlerts::new(), &course, 1), ["quota exhausted 1 raised"]);
    }

    #[test]
    fn the_pace_has_to_last_from_midnight() {
        let mut told = ToldAlerts::new();
        // 10 tests a day; 130 are allowed. On the 8th day 80 are used, 50 left for 5 days.
        let mut ran: Vec<(i32, u64)> = (0..7).map(|day| (day, 10)).collect();
        let calm = course(&[started(1_000)], &ran);
        assert!(judged(&mut told, &calm, 7 * DAY_MS).is_empty());
        let busy = course(&[started(100)], &ran);
        assert_eq!(judged(&mut told, &busy, 7 * DAY_MS), ["pace runs_out 1 raised"]);
        // It may run out by what ran today alone: nobody is told before midnight.
        let mut told = ToldAlerts::new();
        ran.push((7, 900));
        let today = course(&[started(1_000)], &ran);
        let late_ms = 8 * DAY_MS - 1;
        assert_eq!(judged(&mut told, &today, late_ms), ["quota 80 1 raised"]);
        let told_at_midnight = judged(&mut told, &today, 8 * DAY_MS);
        assert_eq!(told_at_midnight, ["pace runs_out 1 raised"]);
        // What is used up does not last again.
        ran.push((8, 330));
        let up = course(&[started(1_000)], &ran);
        assert_eq!(judged(&mut told, &up, 8 * DAY_MS + 1), ["quota exhausted 1 raised"]);
        let more = course(&[started(1_000), (8 * DAY_MS, PlanKind::Adjusted, Some(90_000))], &ran);
        let resolved = judged(&mut told, &more, 8 * DAY_MS + 2);
        assert_eq!(resolved.len(), 3, "{resolved:?}");
    }

    fn seats(
        told: &mut ToldAlerts,
        purchase_ms: i64,
        purchased: u64,
        assigned: u64,
    ) -> Vec<String> {
        let figures = SeatFigures { purchased, assigned };
        let purchase_ms = (purchase_ms > 0).then_some(purchase_ms);
        let changes = judge_seats(&lines(), &figures, purchase_ms, told);
        take(told, changes)
    }

    #[test]
    fn seats_are_armed_by_a_purchase_which_may_resolve() {
        let mut told = ToldAlerts::new();
        assert!(seats(&mut told, 0, 0, 0).is_empty());
        assert_eq!(seats(&mut told, 0, 0, 1), ["seats overage 0 raised"]);
        assert_eq!(seats(&mut told, 5, 10, 1), ["seats overage 0 resolved"]);
        assert_eq!(seats(&mut told, 5, 10, 9), ["seats 90 0 raised"]);
        assert_eq!(seats(&mut told, 5, 10, 10), ["seats 100 0 raised"]);
        assert_eq!(seats(&mut told, 5, 10, 9), ["seats 100 0 resolved"]);
        assert!(seats(&mut told, 5, 10, 10).is_empty(), "it was raised for this purchase");
        assert_eq!(seats(&mut told, 5, 10, 11), ["seats overage 0 raised"]);
        // A purchase that does not suffice: what still holds is told anew, what does not resolves.
        let next = seats(&mut told, 7, 11, 11);
        let expected = ["seats 90 0 ended", "seats overage 0 resolved", "seats 100 0 raised"];
        assert_eq!(next, expected);
    }

    proptest! {
        /// However figures go up and down, a line is raised once in its month, above all that were
        /// raised before, and resolved once, after it was raised and while it is not reached.
        #[test]
        fn alerts_are_told_in_order(steps in prop::collection::vec((0..30_u64, 0..30_u64), 0..30)) {
            let mut told = ToldAlerts::new();
            let mut ranks = Vec::new();
            for (quota, used) in steps {
                let plans = [started(10), (5, PlanKind::Adjusted, Some(quota))];
                let course = course(&plans, &[(0, used)]);
                let figures = QuotaFigures::at(Zone::UTC, &course, 9).unwrap();
                let before = told.clone();
                let changes = judge_quota(&lines(), "o", Some(&figures), &told);
                for change in &changes {
                    let level = figures.quota.level(change.key.line);
                    let is_open = before.get(&change.key).map(|told| told.state);
                    if change.state == AlertState::Raised {
                        prop_assert_eq!((level, is_open), (Level::Reached, None));
                        ranks.push(figures.quota.rank(change.key.line));
                    } else {
                        prop_assert_eq!((level, is_open), (Level::Below, Some(AlertState::Raised)));
                    }
                }
                take(&mut told, changes);
                // What is reached and was never told lies below what was told.
                for line in figures.quota.lines(&lines()) {
                    let is_reached = figures.quota.level(line) == Level::Reached;
                    let highest = ranks.last().copied();
                    prop_assert!(!is_reached || highest >= Some(figures.quota.rank(line)));
                }
                let is_told_anew = judge_quota(&lines(), "o", Some(&figures), &told);
                prop_assert!(is_told_anew.is_empty(), "judging again tells nothing");
            }
            prop_assert!(ranks.is_sorted_by(|a, b| a < b));
        }
    }
}
