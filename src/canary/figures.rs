//! The figures that are judged, and the reports that they are in.

/// A report that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgedReport {
    TestActivity,
    Quota,
    LicenseHistory,
    LicenseUsage,
    Assignments,
}

impl JudgedReport {
    /// Every report, the one first by which a round is seen.
    pub const ALL: [Self; 5] = [
        Self::TestActivity,
        Self::Quota,
        Self::LicenseHistory,
        Self::LicenseUsage,
        Self::Assignments,
    ];

    /// Its name in metrics and log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TestActivity => "test_activity",
            Self::Quota => "quota",
            Self::LicenseHistory => "license_history",
            Self::LicenseUsage => "license_usage",
            Self::Assignments => "assignments",
        }
    }
}

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedFigure {
    pub report: JudgedReport,
    /// Its field in the answer.
    pub name: &'static str,
    /// Whether it never falls while events are counted.
    pub only_grows: bool,
}

/// Number of figures.
pub const FIGURES: usize = 14;

/// Values of the figures, in the order of [`JUDGED`].
pub type Values = [u64; FIGURES];

/// Every figure, by report.
pub const JUDGED: [JudgedFigure; FIGURES] = [
    grows(JudgedReport::TestActivity, "executions"),
    grows(JudgedReport::TestActivity, "run"),
    grows(JudgedReport::TestActivity, "uploaded"),
    grows(JudgedReport::TestActivity, "duration_ms"),
    grows(JudgedReport::Quota, "used"),
    varies(JudgedReport::Quota, "remaining"),
    grows(JudgedReport::LicenseHistory, "purchased"),
    varies(JudgedReport::LicenseHistory, "assigned"),
    varies(JudgedReport::LicenseHistory, "activated"),
    grows(JudgedReport::LicenseHistory, "peak_assigned"),
    // Assignments and allocations are in different tables: it falls where those come later.
    varies(JudgedReport::LicenseHistory, "peak_overage"),
    varies(JudgedReport::LicenseUsage, "assigned"),
    grows(JudgedReport::LicenseUsage, "active_users"),
    varies(JudgedReport::Assignments, "total"),
];

/// The place of the tests run, by which a round is seen.
pub const RUN: usize = 1;

/// The places of the greatest numbers of seats, assigned and beyond those purchased.
pub const PEAK_ASSIGNED: usize = 9;
pub const PEAK_OVERAGE: usize = 10;

/// The places of a report's figures.
pub fn places(report: JudgedReport) -> impl Iterator<Item = usize> {
    JUDGED.iter().enumerate().filter(move |(_, of)| of.report == report).map(|(place, _)| place)
}

const fn grows(report: JudgedReport, name: &'static str) -> JudgedFigure {
    JudgedFigure { report, name, only_grows: true }
}

const fn varies(report: JudgedReport, name: &'static str) -> JudgedFigure {
    JudgedFigure { report, name, only_grows: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_where_they_are_said_to_be() {
        for report in JudgedReport::ALL {
            assert!(places(report).count() > 0, "{report:?}");
        }
        let name = |place: usize| (JUDGED[place].report, JUDGED[place].name);
        assert_eq!(name(RUN), (JudgedReport::TestActivity, "run"));
        assert_eq!(name(PEAK_ASSIGNED), (JudgedReport::LicenseHistory, "peak_assigned"));
        assert_eq!(name(PEAK_OVERAGE), (JudgedReport::LicenseHistory, "peak_overage"));
    }
}
