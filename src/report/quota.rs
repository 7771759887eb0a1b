//! Quota: how many tests an organization has run in a quota month, how many it may still run, and
//! when it runs out.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::id::{AccountId, OrganizationId};
use super::pace::{Course, Pace};
use super::period::Pinned;
use super::query::{BadParameter, Query};
use super::subject::Subject;
use super::value::{Hundredths, Timestamp};
use super::window::{GRACE_MONTHS, PlanRecord, Plans, Window, grace_until_ms};
use crate::core::calendar::{Day, Zone, day_of};

/// The allowance in those months, percent of the monthly quota.
pub const GRACE_PERCENT: u32 = 130;

/// A parsed request for an organization's quota or its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRequest {
    /// The organization alone, not those below it.
    pub organization: OrganizationId,
    as_of_ms: Option<i64>,
}

impl QuotaRequest {
    /// Whether the report changes as now moves on.
    pub fn pinned(&self) -> Pinned {
        Pinned::by(self.as_of_ms)
    }

    /// Takes a request's parameters. `organization` comes from the path.
    pub fn parse(organization: OrganizationId, mut query: Query) -> Result<Self, BadParameter> {
        let request = Self { organization, as_of_ms: query.take_instant("as_of")? };
        query.finish()?;
        Ok(request)
    }

    /// The instant that is asked about, milliseconds since 1970 UTC.
    pub fn as_of_ms(&self, now_ms: i64) -> i64 {
        self.as_of_ms.unwrap_or(now_ms)
    }
}

/// An organization's plans and use, as the store has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFacts {
    /// Its plan records, in the order of (time, source, offset).
    pub records: Vec<PlanRecord>,
    /// Its use by quota month and day, in no order. Months without use may be missing, and all but
    /// the running one where no others are asked for.
    pub used: Vec<QuotaUsed>,
    /// Tests run on the platform on the 7 days before the day of `as_of`; 0 where no estimate is
    /// asked for.
    pub week_tests: u64,
}

/// Tests that were counted in a quota month on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUsed {
    /// The anchor of the month, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// Its number, 1 = first.
    pub month: u32,
    /// The day; all days before the first one that is asked about stand as that one.
    pub day: Day,
    pub tests: u64,
}

/// The quota of an organization in the month that runs at `as_of`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub quota: CurrentQuota,
}

/// The quota month that runs at `as_of`, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CurrentQuota {
    #[serde(flatten)]
    pub month: QuotaMonth,
    /// An estimate from the 7 days before that of `as_of`; null until the organization has had a
    /// plan for as long.
    #[schema(required = true)]
    pub pace: Option<Pace>,
}

/// A quota month. The figures that a quota bounds are null where it is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaMonth {
    /// The plan in force at its end, or at `as_of` while it runs.
    #[schema(example = "team")]
    pub plan: String,
    pub window: QuotaWindow,
    /// Tests a month; null is unlimited.
    #[schema(example = 1000, required = true)]
    pub monthly_quota: Option<u64>,
    /// Tests that may run in it: the quota, or 130 % of it in the first three months from the
    /// anchor.
    #[schema(example = 1300, required = true)]
    pub allowance: Option<u64>,
    /// Tests that ran in it; whole days, up to and including that of `as_of`.
    #[schema(example = 870)]
    pub used: u64,
    /// The allowance less what is used, at least 0.
    #[schema(example = 430, required = true)]
    pub remaining: Option<u64>,
    /// The quota less what is used; negative where more was used.
    #[schema(example = 130, required = true)]
    pub balance: Option<i64>,
    /// What is used, in percent of the quota. Of a quota of 0 it is 0 while nothing is used, else
    /// 100.
    #[schema(required = true)]
    pub percent_used: Option<Hundredths>,
    pub status: QuotaStatus,
    /// Whether more tests may run.
    pub can_run: bool,
    pub grace: Grace,
}

/// The instants that bound a quota month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaWindow {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// Its number from the anchor on, 1 = first.
    #[schema(minimum = 1, example = 2)]
    pub month: u32,
}

/// The allowance beyond the quota in the first months.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Grace {
    /// The allowance in those months, percent of the quota.
    #[schema(example = 130)]
    pub percent: u32,
    /// Whether this is one of the first three months.
    pub active: bool,
    /// The local midnight that ends the third month if nothing cuts it.
    pub until: Timestamp,
}

/// How far the quota is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotaStatus {
    /// Less than the quota is used.
    Within,
    /// The quota is used, the allowance is not.
    Grace,
    /// The allowance is used, and nothing more may run.
    Exhausted,
}

impl QuotaStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Within, Self::Grace, Self::Exhausted];

    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Grace => "grace",
            Self::Exhausted => "exhausted",
        }
    }
}

impl QuotaMonth {
    fn new(zone: Zone, window: &Window<'_>, used: u64) -> Self {
        let quota = window.terms.monthly_quota;
        let grace_active = window.month <= GRACE_MONTHS;
        let allowance =
            quota.map(|quota| if grace_active { grace_allowance(quota) } else { quota });
        let status = status(used, quota, allowance);
        Self {
            plan: window.terms.plan.clone(),
            window: QuotaWindow {
                start: Timestamp(window.start_ms),
                end: Timestamp(window.end_ms),
                month: window.month,
            },
            monthly_quota: quota,
            allowance,
            used,
            remaining: remaining(allowance, used),
            balance: quota.map(|quota| balance(quota, used)),
            percent_used: quota.map(|quota| Hundredths::percent(used, quota)),
            status,
            can_run: status != QuotaStatus::Exhausted,
            grace: Grace {
                percent: GRACE_PERCENT,
                active: grace_active,
                until: Timestamp(grace_until_ms(zone, window.anchor_ms)),
            },
        }
    }
}

/// The allowance less what is used, at least 0; `None` is unlimited.
pub(super) fn remaining(allowance: Option<u64>, used: u64) -> Option<u64> {
    allowance.map(|allowance| allowance.saturating_sub(used))
}

/// 130 % of the quota, rounded down.
fn grace_allowance(quota: u64) -> u64 {
    u64::try_from(u128::from(quota) * u128::from(GRACE_PERCENT) / 100).unwrap_or(u64::MAX)
}

fn status(used: u64, quota: Option<u64>, allowance: Option<u64>) -> QuotaStatus {
    match (quota, allowance) {
        (Some(quota), Some(allowance)) if used >= quota => {
            if used >= allowance {
                QuotaStatus::Exhausted
            } else {
                QuotaStatus::Grace
            }
        }
        _ => QuotaStatus::Within,
    }
}

fn balance(quota: u64, used: u64) -> i64 {
    i64::try_from(i128::from(quota) - i128::from(used)).unwrap_or(if quota > used {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// The state of an organization at an instant.
pub struct Figures<'a> {
    zone: Zone,
    as_of_ms: i64,
    plans: Plans<'a>,
    /// By anchor and number of the month.
    used: HashMap<(i64, u32), MonthUsed>,
    week_tests: u64,
}

/// Tests that were counted in a quota month.
#[derive(Clone, Copy, Debug, Default)]
struct MonthUsed {
    /// On all days.
    all: u64,
    /// Up to and including the day of `as_of`.
    to_as_of: u64,
}

impl<'a> Figures<'a> {
    /// The figures in the account's zone of now, as of an instant (milliseconds since 1970 UTC).
    pub fn new(zone: Zone, facts: &'a QuotaFacts, as_of_ms: i64) -> Self {
        let as_of_day = day_of(zone, as_of_ms);
        let mut used: HashMap<(i64, u32), MonthUsed> = HashMap::new();
        for row in &facts.used {
            let of_month = used.entry((row.anchor_ms, row.month)).or_default();
            of_month.all = of_month.all.saturating_add(row.tests);
            if row.day <= as_of_day {
                of_month.to_as_of = of_month.to_as_of.saturating_add(row.tests);
            }
        }
        let plans = Plans::new(zone, &facts.records, as_of_ms);
        Self { zone, as_of_ms, plans, used, week_tests: facts.week_tests }
    }

    /// The quota month that runs, with its pace; `None` where no plan had started.
    pub fn current(&self) -> Option<CurrentQuota> {
        let (_, month) = self.running()?;
        let course = Course {
            as_of_day: day_of(self.zone, self.as_of_ms),
            end_day: day_of(self.zone, month.window.end.0),
            used: month.used,
            allowance: month.allowance,
            week_tests: self.week_tests,
        };
        let first_day = day_of(self.zone, self.plans.first_anchor_ms()?);
        Some(CurrentQuota { month, pace: Pace::estimate(first_day, &course) })
    }

    /// The anchor of the quota month that runs, milliseconds since 1970 UTC, and the month; `None`
    /// where no plan had started.
    pub(super) fn running(&self) -> Option<(i64, QuotaMonth)> {
        let window = self.plans.running()?;
        Some((window.anchor_ms, self.month(&window)))
    }

    /// All quota months that have begun, newest first. Empty where no plan had started.
    pub fn months(&self) -> Vec<QuotaMonth> {
        self.plans.windows().iter().rev().map(|window| self.month(window)).collect()
    }

    fn month(&self, window: &Window<'_>) -> QuotaMonth {
        let used = self.used.get(&(window.anchor_ms, window.month)).copied().unwrap_or_default();
        QuotaMonth::new(self.zone, window, if window.running { used.to_as_of } else { used.all })
    }
}

impl QuotaReport {
    /// Puts the report together; `None` where no plan had started.
    pub fn assemble(
        account: &AccountId,
        organization: &OrganizationId,
        figures: &Figures<'_>,
    ) -> Option<Self> {
        let quota = figures.current()?;
        Some(Self { subject: Subject::new(account, Some(organization), figures.zone), quota })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::PlanKind;

    const DAY_MS: i64 = 86_400_000;

    fn started(quota: Option<u64>) -> PlanRecord {
        PlanRecord {
            time_ms: 0,
            kind: PlanKind::Started,
            plan: "free".to_owned(),
            monthly_quota: quota,
        }
    }

    fn current(quota: Option<u64>, used: u64, week_tests: u64, as_of_day: i64) -> CurrentQuota {
        let month = u32::try_from(as_of_day / 31 + 1).unwrap();
        let on = |day: i64, tests| QuotaUsed {
            anchor_ms: 0,
            month,
            day: Day(i32::try_from(day).unwrap()),
            tests,
        };
        let used = vec![on(as_of_day, used), on(as_of_day + 1, 1_000_000)];
        let facts = QuotaFacts { records: vec![started(quota)], used, week_tests };
        let current = Figures::new(Zone::UTC, &facts, as_of_day * DAY_MS).current().unwrap();
        assert_eq!(current.month.window.month, month);
        current
    }

    fn month(quota: Option<u64>, used: u64, as_of_day: i64) -> QuotaMonth {
        current(quota, used, 0, as_of_day).month
    }

    #[test]
    fn the_grace_lets_130_percent_run_in_the_first_three_months() {
        let check = |used, status, remaining, can_run| {
            let month = month(Some(55), used, 1);
            assert_eq!(month.allowance, Some(71));
            assert_eq!(
                (month.status, month.remaining, month.can_run),
                (status, Some(remaining), can_run),
                "{used}"
            );
        };
        check(0, QuotaStatus::Within, 71, true);
        check(54, QuotaStatus::Within, 17, true);
        check(55, QuotaStatus::Grace, 16, true);
        check(70, QuotaStatus::Grace, 1, true);
        check(71, QuotaStatus::Exhausted, 0, false);
        check(72, QuotaStatus::Exhausted, 0, false);
        assert!(month(Some(55), 0, 62).grace.active);
    }

    #[test]
    fn after_the_grace_the_quota_is_the_allowance() {
        let month = month(Some(55), 55, 100);
        assert_eq!(
            (month.allowance, month.status, month.grace.active),
            (Some(55), QuotaStatus::Exhausted, false)
        );
        assert_eq!(month.grace.until.to_string(), "1970-04-01T00:00:00.000Z");
    }

    #[test]
    fn an_unlimited_quota_has_no_bounds() {
        let month = month(None, 1_000, 1);
        assert_eq!(
            (month.allowance, month.remaining, month.balance, month.percent_used),
            (None, None, None, None)
        );
        assert_eq!(
            (month.status, month.can_run, month.grace.active),
            (QuotaStatus::Within, true, true)
        );
    }

    #[test]
    fn a_quota_of_0_is_exhausted_from_the_start() {
        let month = month(Some(0), 0, 1);
        assert_eq!(
            (month.status, month.can_run, month.percent_used),
            (QuotaStatus::Exhausted, false, Some(Hundredths::percent(0, 0)))
        );
    }

    #[test]
    fn pace_goes_by_the_first_anchor_and_the_days_of_the_month() {
        assert_eq!(current(Some(40), 20, 70, 6).pace, None);
        let pace = current(Some(40), 20, 70, 7).pace.unwrap();
        // 23 days of January are left.
        assert_eq!((pace.projected_used, pace.daily_average), (250, Hundredths::ratio(10, 1)));
        assert_eq!(pace.runs_out_on.unwrap().to_string(), "1970-01-12", "52 are allowed");
        let anew = PlanRecord { time_ms: 10 * DAY_MS, ..started(Some(40)) };
        let facts =
            QuotaFacts { records: vec![started(Some(40)), anew], used: Vec::new(), week_tests: 70 };
        let pace = Figures::new(Zone::UTC, &facts, 12 * DAY_MS).current().unwrap().pace.unwrap();
        // From 14 January to 10 February.
        assert_eq!(pace.projected_used, 280);
    }

    proptest::proptest! {
        /// The kind of key that an answer of the present is cached under.
        #[test]
        fn where_nothing_happens_both_reports_are_the_same_all_day_long(
            zone in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "America/Havana", "Pacific/Apia", "Asia/Kathmandu",
            ]),
            anchors in proptest::collection::vec(946_684_800_000_i64..1_893_456_000_000, 1..4),
            after_ms in 1..400 * DAY_MS,
            later_ms in 1..DAY_MS,
        ) {
            let zone = Zone::named(zone);
            let mut anchors = anchors;
            anchors.sort_unstable();
            let record = |&time_ms| PlanRecord { time_ms, ..started(Some(10)) };
            let records = anchors.iter().map(record).collect();
            let facts = QuotaFacts { records, used: Vec::new(), week_tests: 100 };
            let now_ms = anchors[anchors.len() - 1] + after_ms;
            let day = crate::core::calendar::day_window_of(zone, now_ms);
            let reports = |as_of_ms| {
                let figures = Figures::new(zone, &facts, as_of_ms);
                (figures.current(), figures.months())
            };
            proptest::prop_assert_eq!(
                reports(now_ms),
                reports((now_ms + later_ms).min(day.end_ms - 1))
            );
        }
    }
}
