//! Reports as they are asked for, and what is made of them.

use std::future::Future;

use axum::body::Bytes;
use serde::Serialize;

use super::making::Making;
use crate::core::topics::Topic;
use crate::http::reply::problem::Problem;
use crate::http::reply::{self, Form};
use crate::report::csv::Table;
use crate::report::period::Pinned;

/// The largest answer that is sent whole, bytes; larger ones are streamed or refused.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum ReportKind {
    History,
    Usage,
    Assignments,
    Organizations,
    Quota,
    QuotaHistory,
    QuotaOverview,
    TestActivity,
    Alerts,
}

impl ReportKind {
    /// Topics that it is made of. The directory, which knows the account's zone, is part of every
    /// report.
    pub(super) fn topics(self) -> &'static [Topic] {
        use Topic::{Activity, Directory, Seats, Tests, Uses};
        match self {
            Self::History => &[Directory, Seats],
            Self::Usage => &[Directory, Seats, Activity],
            Self::Assignments => &[Directory, Seats, Uses],
            Self::Organizations | Self::Alerts => &[Directory],
            Self::Quota | Self::QuotaHistory | Self::QuotaOverview | Self::TestActivity => {
                &[Directory, Tests]
            }
        }
    }

    /// Whether alerts are part of it. They are stored after the flush that they are judged by, so
    /// no topic's version tells of them.
    pub(super) fn lists_alerts(self) -> bool {
        self == Self::Alerts
    }
}

/// A report as it is asked for, which is always sent whole. Its text in `Debug` names all that
/// decides what is in it besides account, data and moment.
pub(in crate::http) trait Report: std::fmt::Debug + Send + Sync + 'static {
    /// Which kind of report it is.
    const KIND: ReportKind;

    /// Whether it changes while its data does not.
    fn pinned(&self) -> Pinned;

    /// The form in which it is sent.
    fn form(&self) -> Form {
        Form::Json
    }

    /// Reads and assembles it.
    fn make(&self, making: &Making<'_>) -> impl Future<Output = Result<Made, Problem>> + Send;
}

/// As [`Report`], of one that may be written as its rows come.
pub(in crate::http) trait StreamableReport:
    std::fmt::Debug + Send + Sync + 'static
{
    /// Which kind of report it is.
    const KIND: ReportKind;

    /// Whether it changes while its data does not.
    fn pinned(&self) -> Pinned;

    /// The form in which it is sent.
    fn form(&self) -> Form {
        Form::Json
    }

    /// Reads and assembles it, or reads its tag.
    fn make(
        &self,
        making: &Making<'_>,
    ) -> impl Future<Output = Result<MadeOrTagged, Problem>> + Send;
}

/// A report that was made: its bytes, without `data_through`.
pub(in crate::http) struct Made(Vec<u8>);

/// Outcome of making a report that may be written as its rows come.
pub(in crate::http) enum MadeOrTagged {
    /// The report.
    Made(Made),
    /// The tag of one that is to be written as its rows come.
    Tagged(String),
}

impl Made {
    /// A report as JSON.
    pub(in crate::http) fn json(report: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self(reply::serialized(report)?))
    }

    /// A whole table as CSV.
    pub(in crate::http) fn csv(mut table: Table) -> Self {
        Self(table.take_bytes())
    }

    pub(super) fn bytes(self) -> Result<Bytes, Problem> {
        if self.0.len() > ANSWER_BYTES_MAX { Err(Problem::too_large()) } else { Ok(self.0.into()) }
    }
}

/// A report that is always sent whole, among those that may be streamed.
pub(super) struct NeverStreamed<R>(pub(super) R);

impl<R: std::fmt::Debug> std::fmt::Debug for NeverStreamed<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<R: Report> StreamableReport for NeverStreamed<R> {
    const KIND: ReportKind = R::KIND;

    fn pinned(&self) -> Pinned {
        self.0.pinned()
    }

    fn form(&self) -> Form {
        self.0.form()
    }

    async fn make(&self, making: &Making<'_>) -> Result<MadeOrTagged, Problem> {
        self.0.make(making).await.map(MadeOrTagged::Made)
    }
}
