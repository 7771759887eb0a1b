//! The quota of an organization, month by month.

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::id::{AccountId, OrganizationId};
use super::quota::{Figures, QuotaMonth};
use super::subject::Subject;
use crate::core::calendar::Zone;

/// The quota of an organization, month by month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaHistoryReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// One per quota month, newest first, from the first anchor on.
    pub windows: Vec<QuotaMonth>,
}

impl QuotaHistoryReport {
    /// Puts the report together; `None` where no plan had started.
    pub fn assemble(
        account: &AccountId,
        organization: &OrganizationId,
        zone: Zone,
        figures: &Figures<'_>,
    ) -> Option<Self> {
        let windows = figures.months();
        let subject = Subject::new(account, Some(organization), zone);
        (!windows.is_empty()).then_some(Self { subject, windows })
    }

    /// The history as CSV: one line per quota month; cells that a quota bounds are empty where it
    /// is unlimited.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            "Start",
            "End",
            "Plan",
            "Monthly Quota",
            "Allowance",
            "Used",
            "Balance",
            "Status",
        ]);
        for month in &self.windows {
            table.row([
                Cell::Plain(month.window.start.to_string()),
                Cell::Plain(month.window.end.to_string()),
                Cell::Text(month.plan.clone()),
                Cell::number(month.monthly_quota),
                Cell::number(month.allowance),
                Cell::number(Some(month.used)),
                Cell::number(month.balance),
                Cell::Plain(month.status.as_str().to_owned()),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::calendar::Day;
    use crate::core::event::PlanKind;
    use crate::report::quota::{QuotaFacts, QuotaUsed};
    use crate::report::window::PlanRecord;

    const DAY_MS: i64 = 86_400_000;

    fn history(quota: Option<u64>, used: Vec<QuotaUsed>, as_of_day: i64) -> QuotaHistoryReport {
        let record = PlanRecord {
            time_ms: 0,
            kind: PlanKind::Started,
            plan: "free".to_owned(),
            monthly_quota: quota,
        };
        let facts = QuotaFacts { records: vec![record], used, week_tests: 0 };
        let figures = Figures::new(Zone::UTC, &facts, as_of_day * DAY_MS);
        QuotaHistoryReport::assemble(&"a".into(), &"o".into(), Zone::UTC, &figures).unwrap()
    }

    #[test]
    fn history_counts_all_of_a_month_that_is_over_and_whole_days_of_the_running_one() {
        let on = |month, day, tests| QuotaUsed { anchor_ms: 0, month, day: Day(day), tests };
        let gone = QuotaUsed { anchor_ms: 5, month: 1, day: Day(40), tests: 99 };
        let both = |month| [on(month, 40, 7), on(month, 41, 13)];
        let report = history(Some(10), [&both(1)[..], &both(2), &[gone]].concat(), 40);
        let used: Vec<_> =
            report.windows.iter().map(|month| (month.window.month, month.used)).collect();
        assert_eq!(used, [(2, 7), (1, 20)]);
        assert_eq!(report.windows[1].balance, Some(-10));
    }

    #[test]
    fn the_csv_leaves_unlimited_cells_empty() {
        let text = String::from_utf8(history(None, Vec::new(), 1).table().take_bytes()).unwrap();
        assert_eq!(
            text,
            "Start,End,Plan,Monthly Quota,Allowance,Used,Balance,Status\r\n\
             1970-01-01T00:00:00.000Z,1970-02-01T00:00:00.000Z,free,,,0,,within\r\n"
        );
    }
}
