//! Lines of the configuration. One that is added is reached already by some, who did not cross it.

use std::collections::BTreeSet;

use crate::report::alert::{AlertLine, AlertLines, AlertRule};
use crate::store::{AlertMark, AlertMarks, AlertRow, MarkKind};

/// A percentage that rules have a line at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConfiguredLine {
    rule: AlertRule,
    percent: u32,
}

impl ConfiguredLine {
    /// All of them.
    pub(super) fn all(lines: &AlertLines) -> BTreeSet<Self> {
        let of = |rule, percents: &[u32]| -> Vec<Self> {
            percents.iter().map(|&percent| Self { rule, percent }).collect()
        };
        let quota = of(AlertRule::Quota, &lines.quota_percent);
        quota.into_iter().chain(of(AlertRule::Seats, &lines.seats_percent)).collect()
    }

    /// The mark that says that the accounts of a partition are judged by it.
    fn mark_key(self, source: &str) -> (MarkKind, String) {
        (MarkKind::Line, format!("{source} {} {}", self.rule.as_str(), self.percent))
    }

    /// Whether the accounts of a partition were not judged by it so far.
    pub(super) fn is_new(self, source: &str, marks: &AlertMarks) -> bool {
        !marks.contains_key(&self.mark_key(source))
    }

    /// The marks of lines that a partition is judged by from now on, milliseconds since 1970 UTC.
    pub(super) fn marks(lines: &BTreeSet<Self>, source: &str, since_ms: i64) -> AlertMarks {
        let mark = AlertMark { since_ms, judged_upto: 0 };
        lines.iter().map(|line| (line.mark_key(source), mark)).collect()
    }

    /// Whether the alert is about it.
    pub(super) fn is_of(self, row: &AlertRow) -> bool {
        row.key.rule == self.rule && row.key.line == AlertLine::Percent(self.percent)
    }
}
