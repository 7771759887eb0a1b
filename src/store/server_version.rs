//! The releases of ClickHouse that seatmeter works with.

use std::fmt;

/// The oldest ClickHouse that seatmeter works with: the oldest release whose long-term support had
/// not ended, and old enough to have recursive queries and the new analyzer.
pub const VERSION_MIN: ServerVersion = ServerVersion { year: 25, month: 8 };

/// A release of ClickHouse: year and month, as in 25.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// Year of the release, without the century.
    pub year: u32,
    /// Month of the release.
    pub month: u32,
}

impl ServerVersion {
    /// What this release answers wrongly whatever the settings; `None` where nothing is known.
    pub fn known_fault(self) -> Option<&'static str> {
        const MENDED: ServerVersion = ServerVersion { year: 26, month: 5 };
        (self < MENDED).then_some(
            "before 26.5, a statement that uses one parameterized view twice, with different \
            parameters, may take the first answer for both; reports are not concerned, \
            statements of analysts may be",
        )
    }

    /// Reads what `version()` answers, such as `26.7.2.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        Some(Self { year: parts.next()?.parse().ok()?, month: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.month)
    }
}
