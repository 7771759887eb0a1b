//! What the first account of a demo shows side by side: an organization within its quota, one in
//! its grace, and one that has exhausted both.
//!
//! How much of a quota is used when the history ends depends on where in its month that is. So
//! their plans begin anew some weeks before the end, and at its last midnight each quota is
//! adjusted to what has been used by then.

use super::wire::Happening;
use super::world::Organization;
use crate::core::calendar::{Zone, quota_month_of};
use crate::core::event::{Origin, PlanKind};
use crate::core::id::Id;

/// How many days before the end the plans begin anew: the running month is then their third, the
/// last with a grace, and about three weeks old.
pub(super) const PLAN_DAYS: i32 = 80;

/// `test.executed` events on a working day in an organization that is to show something.
pub(super) const TEST_RUNS_MIN: u32 = 8;

/// The organizations by position: id, and percent of the quota that is used before the last day,
/// which adds up to some 15.
const SHOWCASES: [(u64, u64); 3] = [(42, 108), (101, 160), (102, 60)];

/// One of the organizations.
pub(super) struct Showcase {
    /// Its position.
    pub(super) organization: u32,
    percent: u64,
    anchor_ms: Option<i64>,
    /// Quota month of the last test that was run, and tests run in it.
    month: u32,
    used: u64,
}

/// Makes the organizations what they are to show.
pub(super) fn prepare(organizations: &mut [Organization]) -> Vec<Showcase> {
    let mut showcases = Vec::new();
    for ((organization, (id, percent)), number) in organizations.iter_mut().zip(SHOWCASES).zip(0..)
    {
        organization.id = Id::Number(id);
        organization.plan = "team";
        organization.monthly_quota = organization.monthly_quota.or(Some(2_000));
        organization.upgraded_on = None;
        organization.test_runs_per_day = organization.test_runs_per_day.max(TEST_RUNS_MIN);
        showcases.push(Showcase {
            organization: number,
            percent,
            anchor_ms: None,
            month: 0,
            used: 0,
        });
    }
    showcases
}

impl Showcase {
    /// The plan that begins anew.
    pub(super) fn begin(&mut self, time_ms: i64, monthly_quota: Option<u64>) -> Happening {
        self.anchor_ms = Some(time_ms);
        self.plan(PlanKind::Upgraded, monthly_quota)
    }

    /// Takes what happens at that time.
    pub(super) fn note(&mut self, zone: Zone, time_ms: i64, happening: &Happening) {
        let Happening::Test(test) = happening else { return };
        let Some(anchor_ms) = self.anchor_ms.filter(|&anchor_ms| anchor_ms <= time_ms) else {
            return;
        };
        if test.organization != self.organization || test.origin != Origin::Run {
            return;
        }
        let month = quota_month_of(zone, anchor_ms, time_ms);
        if month != self.month {
            (self.month, self.used) = (month, 0);
        }
        self.used += u64::from(test.tests);
    }

    /// The quota of which what has been used is the right share; `None` while nothing has been.
    pub(super) fn adjust(&self) -> Option<Happening> {
        let quota = self.used * 100 / self.percent;
        (quota > 0).then(|| self.plan(PlanKind::Adjusted, Some(quota)))
    }

    fn plan(&self, kind: PlanKind, monthly_quota: Option<u64>) -> Happening {
        Happening::Plan { kind, organization: self.organization, plan: "team", monthly_quota }
    }
}
