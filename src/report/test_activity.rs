//! Test activity: tests run and uploaded over time.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::period::{DayRanges, Period, PeriodRequest};
use super::query::{BadParameter, Query};
use super::subject::{Range, Subject};
use super::value::Date;
use crate::core::calendar::{Day, Zone};

/// A parsed request for the test activity of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestActivityRequest {
    /// The organization alone, not those below it.
    pub organization: String,
    /// Only this project.
    pub project: Option<String>,
    /// The range.
    pub period: PeriodRequest,
}

impl TestActivityRequest {
    /// Takes a request's parameters. `organization` comes from the path.
    pub fn parse(organization: String, mut query: Query) -> Result<Self, BadParameter> {
        let request = Self {
            organization,
            project: query.take_id("project_id")?,
            period: PeriodRequest::take(&mut query)?,
        };
        query.finish()?;
        Ok(request)
    }
}

/// Tests of consecutive days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestCounts {
    /// The first of the days, as [`DayRanges`] named it.
    pub first_day: Day,
    /// Tests run on the platform.
    pub run: u64,
    /// Tests whose results were uploaded.
    pub uploaded: u64,
    /// Milliseconds that all of them took.
    pub duration_ms: u64,
}

/// The test activity of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TestActivityReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: Range,
    /// One point per bucket that has begun, in order; whole days, up to and including that of
    /// `as_of`.
    pub points: Vec<TestPoint>,
    /// The last complete week before `as_of`.
    pub preceding_week: PrecedingWeek,
}

/// The tests of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TestPoint {
    /// The bucket's first day.
    pub start: Date,
    /// Its last day, inclusive.
    pub end: Date,
    /// Whether its last day is not over at `as_of`.
    pub partial: bool,
    /// Tests run and uploaded.
    #[schema(example = 1500)]
    pub executions: u64,
    /// Tests run on the platform.
    #[schema(example = 1200)]
    pub run: u64,
    /// Tests whose results were uploaded.
    #[schema(example = 300)]
    pub uploaded: u64,
    /// Milliseconds that all of them took.
    #[schema(example = 86_400_000)]
    pub duration_ms: u64,
}

/// The last complete week, Monday to Sunday, before `as_of`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PrecedingWeek {
    /// Its Monday.
    pub start: Date,
    /// Its Sunday.
    pub end: Date,
    /// Tests run and uploaded.
    #[schema(example = 1500)]
    pub executions: u64,
    /// Milliseconds that all of them took.
    #[schema(example = 86_400_000)]
    pub duration_ms: u64,
}

/// The days of the last complete week, Monday to Sunday, before the end of `as_of_day`'s week.
fn preceding_week(as_of_day: Day) -> (Day, Day) {
    let monday = as_of_day.week_start();
    (monday.plus_days(-7), monday.plus_days(-1))
}

/// What the store is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The days of the buckets; `None` where no event can lie in any.
    pub points: Option<DayRanges>,
    /// Those of the preceding week; `None` where no event can lie in it.
    pub preceding_week: Option<DayRanges>,
}

impl Wanted {
    /// What the period needs.
    pub fn by(period: &Period) -> Self {
        let (monday, sunday) = preceding_week(period.as_of_day);
        Self { points: period.day_ranges(), preceding_week: DayRanges::single(monday, sunday) }
    }
}

impl TestActivityReport {
    /// Puts the report together. Ranges without tests may be missing from `counts` and from `week`.
    pub fn assemble(
        account: &str,
        request: &TestActivityRequest,
        zone: Zone,
        period: &Period,
        counts: &[TestCounts],
        week: &[TestCounts],
    ) -> Self {
        let by_day: HashMap<Day, &TestCounts> =
            counts.iter().map(|count| (count.first_day, count)).collect();
        let points = period.slices.iter().map(|slice| {
            let count = slice.stored_start().and_then(|first_day| by_day.get(&first_day));
            let (run, uploaded) = count.map_or((0, 0), |count| (count.run, count.uploaded));
            TestPoint {
                start: Date(slice.start),
                end: Date(slice.end),
                partial: slice.partial,
                executions: run + uploaded,
                run,
                uploaded,
                duration_ms: count.map_or(0, |count| count.duration_ms),
            }
        });
        let (monday, sunday) = preceding_week(period.as_of_day);
        Self {
            subject: Subject::new(account, Some(&request.organization), zone),
            range: Range::of(period),
            points: points.collect(),
            preceding_week: PrecedingWeek {
                start: Date(monday),
                end: Date(sunday),
                executions: week.iter().map(|count| count.run + count.uploaded).sum(),
                duration_ms: week.iter().map(|count| count.duration_ms).sum(),
            },
        }
    }

    /// The usage report as CSV: one line per point.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["Date", "Tests Run", "Tests Uploaded", "Test Duration (ms)"]);
        for point in &self.points {
            table.row([
                Cell::Plain(point.start.to_string()),
                Cell::Plain(point.run.to_string()),
                Cell::Plain(point.uploaded.to_string()),
                Cell::Plain(point.duration_ms.to_string()),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preceding_week_is_over_before_as_of() {
        let check = |as_of: &str, monday: &str, sunday: &str| {
            let (start, end) = preceding_week(as_of.parse().unwrap());
            assert_eq!(
                (start.to_string().as_str(), end.to_string().as_str()),
                (monday, sunday),
                "{as_of}"
            );
        };
        check("2026-06-20", "2026-06-08", "2026-06-14");
        check("2026-06-21", "2026-06-08", "2026-06-14");
        check("2026-06-22", "2026-06-15", "2026-06-21");
        check("2027-01-01", "2026-12-21", "2026-12-27");
    }
}
