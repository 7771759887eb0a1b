//! Test activity: tests run and uploaded over time.

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::id::{AccountId, OrganizationId, ProjectId};
use super::period::{DayRanges, Period, PeriodRequest};
use super::query::{BadParameter, Query};
use super::subject::{ReportRange, Subject};
use super::value::Date;
use crate::core::calendar::{Day, Zone};

/// A parsed request for the test activity of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestActivityRequest {
    /// The organization alone, not those below it.
    pub organization: OrganizationId,
    /// Only this project.
    pub project: Option<ProjectId>,
    /// The range.
    pub period: PeriodRequest,
}

impl TestActivityRequest {
    /// Takes a request's parameters. `organization` comes from the path.
    pub fn parse(organization: OrganizationId, mut query: Query) -> Result<Self, BadParameter> {
        let request = Self {
            organization,
            project: query.take_id("project_id")?,
            period: PeriodRequest::take(&mut query)?,
        };
        query.finish()?;
        Ok(request)
    }
}

/// Tests of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestCounts {
    /// The day.
    pub day: Day,
    /// Tests run on the platform.
    pub run: u64,
    /// Tests whose results were uploaded.
    pub uploaded: u64,
    /// Milliseconds that all of them took.
    pub duration_ms: u64,
}

/// Tests of some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    run: u64,
    uploaded: u64,
    duration_ms: u64,
}

impl Sum {
    /// The tests from the first to the last day; `counts` are ascending by day.
    fn of(counts: &[TestCounts], first: Day, last: Day) -> Self {
        let start = counts.partition_point(|count| count.day < first);
        let days = counts[start..].iter().take_while(|count| count.day <= last);
        days.fold(Self::default(), |sum, count| Self {
            run: sum.run + count.run,
            uploaded: sum.uploaded + count.uploaded,
            duration_ms: sum.duration_ms + count.duration_ms,
        })
    }
}

/// The test activity of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TestActivityReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: ReportRange,
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

/// The days that the store is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDays {
    ranges: Vec<(Day, Day)>,
}

impl WantedDays {
    /// The days that the period needs: those of its buckets, and those of the preceding week.
    pub fn by(period: &Period) -> Self {
        let buckets =
            period.day_ranges().and_then(|days| Some((*days.first_days.first()?, days.last_day)));
        let (monday, sunday) = preceding_week(period.as_of_day);
        let week =
            DayRanges::single(monday, sunday).map(|days| (days.first_days[0], days.last_day));
        Self { ranges: buckets.into_iter().chain(week).collect() }
    }

    /// First and last day, inclusive, of each range on which events can lie. They may overlap.
    pub fn ranges(&self) -> &[(Day, Day)] {
        &self.ranges
    }
}

impl TestActivityReport {
    /// Puts the report together. Days without tests may be missing from `counts`.
    pub fn assemble(
        account: &AccountId,
        request: &TestActivityRequest,
        zone: Zone,
        period: &Period,
        mut counts: Vec<TestCounts>,
    ) -> Self {
        counts.sort_unstable_by_key(|count| count.day);
        let points = period.slices.iter().map(|slice| {
            let sum = Sum::of(&counts, slice.start, slice.counted_to);
            TestPoint {
                start: Date(slice.start),
                end: Date(slice.end),
                partial: slice.partial,
                executions: sum.run + sum.uploaded,
                run: sum.run,
                uploaded: sum.uploaded,
                duration_ms: sum.duration_ms,
            }
        });
        let (monday, sunday) = preceding_week(period.as_of_day);
        let week = Sum::of(&counts, monday, sunday);
        Self {
            subject: Subject::new(account, Some(&request.organization), zone),
            range: ReportRange::of(period),
            points: points.collect(),
            preceding_week: PrecedingWeek {
                start: Date(monday),
                end: Date(sunday),
                executions: week.run + week.uploaded,
                duration_ms: week.duration_ms,
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

    proptest::proptest! {
        /// Each day counts once in its bucket, and once in the week.
        #[test]
        fn points_are_sums_of_their_days(
            tests in proptest::collection::vec((0..60_i32, 0..9_u64), 0..40),
            from in 0..60_i32,
            days in 0..60_i32,
            interval in proptest::sample::select(vec!["day", "week", "month"]),
        ) {
            let (first, as_of) = (Day(20_000), Day(20_059));
            let mut counts: Vec<TestCounts> = tests
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>()
                .into_iter()
                .map(|(day, run)| {
                    let day = first.plus_days(day);
                    TestCounts { day, run, uploaded: 2 * run, duration_ms: 3 * run }
                })
                .collect();
            counts.reverse();
            let (from, to) = (first.plus_days(from), first.plus_days(from + days));
            let raw = format!("from={from}&to={to}&interval={interval}&as_of={as_of}T12:00:00Z");
            let query = Query::parse(Some(&raw)).unwrap();
            let request = TestActivityRequest::parse("o".into(), query).unwrap();
            let period = request.period.resolve(Zone::UTC, 0).unwrap();
            let run_on = |start: Day, end: Day| -> u64 {
                counts.iter().filter(|c| start <= c.day && c.day <= end).map(|c| c.run).sum()
            };
            let expected: Vec<u64> =
                period.slices.iter().map(|slice| run_on(slice.start, slice.end)).collect();
            let (monday, sunday) = preceding_week(as_of);
            let week = run_on(monday, sunday);
            let report = TestActivityReport::assemble(
                &"a".into(), &request, Zone::UTC, &period, counts.clone(),
            );
            let found: Vec<u64> = report.points.iter().map(|point| point.run).collect();
            proptest::prop_assert_eq!(found, expected);
            for point in &report.points {
                let (run, all) = (point.run, (point.executions, point.uploaded, point.duration_ms));
                proptest::prop_assert_eq!(all, (3 * run, 2 * run, 3 * run));
            }
            let found = (report.preceding_week.executions, report.preceding_week.duration_ms);
            proptest::prop_assert_eq!(found, (3 * week, 3 * week));
        }
    }
}
