//! License usage: seats and active users over time, together or by organization.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::id::{AccountId, OrganizationId};
use super::period::{DayRanges, Period, PeriodRequest};
use super::query::{BadParameter, Query};
use super::subject::{ReportRange, Subject};
use super::tree::OrganizationTree;
use super::value::{Date, Hundredths};
use crate::core::calendar::{Day, Zone};

/// The most points, over all organizations, with which a comparison by organization is put together
/// in memory; a larger one is written as its rows come.
pub const SERIES_POINTS_MAX: usize = 250_000;

/// The columns of the CSV export. By organization, [`ORGANIZATION_COLUMNS`] come first.
const COLUMNS: [&str; 6] = [
    "Start",
    "End",
    "Assigned",
    "Active Users",
    "Peak Daily Active Users",
    "Average Daily Active Users",
];

/// The columns that name the organization of a line.
const ORGANIZATION_COLUMNS: [&str; 2] = ["Organization ID", "Organization"];

/// A parsed request for the license usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// Only this organization and all below it.
    pub organization: Option<OrganizationId>,
    /// The range.
    pub period: PeriodRequest,
    /// One series per direct child of the chosen organization, or per top-level organization.
    pub by_organization: bool,
}

impl UsageRequest {
    /// Takes a request's parameters.
    pub fn parse(mut query: Query) -> Result<Self, BadParameter> {
        let group_by = query.take_parsed("group_by", |value| match value {
            "organization" => Ok(()),
            _ => Err("The only grouping is by organization.".to_owned()),
        })?;
        let request = Self {
            organization: query.take_id("organization_id")?,
            period: PeriodRequest::take(&mut query)?,
            by_organization: group_by.is_some(),
        };
        query.finish()?;
        Ok(request)
    }
}

/// Active users of consecutive days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActiveUserCounts {
    /// The first of the days, as [`DayRanges`] named it.
    pub first_day: Day,
    /// Distinct users over all of them.
    pub active_users: u64,
    /// Distinct users on the busiest day.
    pub peak_daily: u64,
    /// The first day that had so many.
    pub peak_day: Day,
    /// The sum over the days of the distinct users of each.
    pub user_days: u64,
}

/// Active users of a whole period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeriodUsers {
    /// Distinct users over all days.
    pub distinct: u64,
    /// By bucket, in any order; those without any may be missing.
    pub buckets: Vec<ActiveUserCounts>,
}

/// What one line of the usage report is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRows {
    /// Open seat intervals by edge (milliseconds since 1970 UTC); those of 0 may be missing.
    pub assigned: Vec<(i64, u64)>,
    /// Active users.
    pub users: PeriodUsers,
}

/// The license usage of the chosen organizations together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: ReportRange,
    /// The whole of the range.
    pub summary: UsageSummary,
    /// One point per bucket that has begun, in order.
    pub points: Vec<UsagePoint>,
}

/// The license usage by organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageByOrganizationReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: ReportRange,
    /// One series per direct child of the chosen organization (per top-level organization if none
    /// is chosen), ordered by id.
    pub series: Vec<UsageSeries>,
}

/// The license usage of one organization and all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageSeries {
    /// The organization.
    #[schema(example = "42")]
    pub organization_id: String,
    /// The whole of the range.
    pub summary: UsageSummary,
    /// One point per bucket that has begun, in order.
    pub points: Vec<UsagePoint>,
}

/// Seats and active users of the whole of [`from`, `to`], up to the day of `as_of`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageSummary {
    /// Seats that were assigned at the end of its last day, or at `as_of` if that is earlier.
    #[schema(example = 180)]
    pub assigned: u64,
    /// Distinct users who were active in it.
    #[schema(example = 165)]
    pub active_users: u64,
    /// Distinct users on its busiest day.
    #[schema(example = 120)]
    pub peak_daily_active_users: u64,
    /// The first day that had so many; null if none had any.
    #[schema(required = true)]
    pub peak_day: Option<Date>,
    /// Distinct users a day, on average over its days up to that of `as_of`.
    pub average_daily_active_users: Hundredths,
    /// `active_users` in percent of `assigned`, rounded down to two decimals; null where no seat is
    /// assigned. More than 100 where users are active who hold no seat.
    #[schema(required = true)]
    pub active_percent: Option<Hundredths>,
}

/// Seats and active users of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsagePoint {
    /// The bucket's first day.
    pub start: Date,
    /// Its last day, inclusive.
    pub end: Date,
    /// Whether its last day is not over at `as_of`.
    pub partial: bool,
    /// Seats that were assigned at the end of its last day, or at `as_of` if that is earlier.
    #[schema(example = 180)]
    pub assigned: u64,
    /// Distinct users who were active in it.
    #[schema(example = 150)]
    pub active_users: u64,
    /// Distinct users on its busiest day.
    #[schema(example = 120)]
    pub peak_daily_active_users: u64,
    /// Distinct users a day, on average over its days up to that of `as_of`.
    pub average_daily_active_users: Hundredths,
}

/// Either form of the license usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LicenseUsage {
    Total(UsageReport),
    ByOrganization(UsageByOrganizationReport),
}

impl UsageReport {
    /// Puts the report together.
    pub fn assemble(
        account: &AccountId,
        request: &UsageRequest,
        zone: Zone,
        period: &Period,
        rows: &UsageRows,
    ) -> Self {
        Self {
            subject: Subject::new(account, request.organization.as_ref(), zone),
            range: ReportRange::of(period),
            summary: UsageSummary::assemble(period, rows),
            points: usage_points(period, rows),
        }
    }

    /// The report as CSV: one line per point.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&COLUMNS);
        for point in &self.points {
            table.row(point.cells());
        }
        table
    }
}

impl UsageByOrganizationReport {
    /// Puts the report together. `children` are the organizations to compare, ascending; those
    /// without rows have seats and users 0.
    pub fn assemble(
        account: &AccountId,
        request: &UsageRequest,
        zone: Zone,
        period: &Period,
        children: &[&str],
        rows: &HashMap<String, UsageRows>,
    ) -> Self {
        let none = UsageRows::default();
        let series = children.iter().map(|&organization_id| {
            let rows = rows.get(organization_id).unwrap_or(&none);
            UsageSeries::assemble(organization_id.to_owned(), period, rows)
        });
        Self {
            subject: Subject::new(account, request.organization.as_ref(), zone),
            range: ReportRange::of(period),
            series: series.collect(),
        }
    }

    /// The report as CSV: one line per organization and point.
    pub fn table(&self, tree: &OrganizationTree) -> Table {
        let mut table = Self::empty_table();
        for series in &self.series {
            series.write_into(&mut table, tree);
        }
        table
    }

    /// The header line alone.
    pub fn empty_table() -> Table {
        Table::new(&[&ORGANIZATION_COLUMNS[..], &COLUMNS[..]].concat())
    }
}

impl UsageSeries {
    /// Puts one organization's series together.
    pub fn assemble(organization_id: String, period: &Period, rows: &UsageRows) -> Self {
        Self {
            organization_id,
            summary: UsageSummary::assemble(period, rows),
            points: usage_points(period, rows),
        }
    }

    /// Adds one line per point; an organization is named by its path.
    pub fn write_into(&self, table: &mut Table, tree: &OrganizationTree) {
        let id = &self.organization_id;
        let organization = [id.clone(), tree.path(id).unwrap_or_else(|| id.clone())];
        let organization = organization.map(Cell::Text);
        for point in &self.points {
            table.row(organization.iter().cloned().chain(point.cells()));
        }
    }
}

impl UsageSummary {
    fn assemble(period: &Period, rows: &UsageRows) -> Self {
        let edge_ms = period.stored_edge_ms();
        let assigned =
            rows.assigned.iter().find(|row| row.0 == edge_ms).map_or(0, |&(_, seats)| seats);
        let buckets = &rows.users.buckets;
        // The earliest of several days with the same number of users.
        let peak = buckets.iter().max_by_key(|row| (row.peak_daily, -row.peak_day.0));
        let peak = peak.filter(|row| row.peak_daily > 0);
        let active_users = rows.users.distinct;
        Self {
            assigned,
            active_users,
            peak_daily_active_users: peak.map_or(0, |row| row.peak_daily),
            peak_day: peak.map(|row| Date(row.peak_day)),
            average_daily_active_users: Hundredths::ratio(
                buckets.iter().map(|row| row.user_days).sum(),
                period.counted_days(),
            ),
            active_percent: Hundredths::share(active_users, assigned),
        }
    }
}

impl UsagePoint {
    fn cells(&self) -> [Cell; 6] {
        [
            self.start.to_string(),
            self.end.to_string(),
            self.assigned.to_string(),
            self.active_users.to_string(),
            self.peak_daily_active_users.to_string(),
            self.average_daily_active_users.to_string(),
        ]
        .map(Cell::Plain)
    }
}

/// Whether a comparison of so many organizations fits into memory.
pub fn fits_memory(children: usize, period: &Period) -> bool {
    children.saturating_mul(period.slices.len()) <= SERIES_POINTS_MAX
}

fn usage_points(period: &Period, rows: &UsageRows) -> Vec<UsagePoint> {
    let assigned: HashMap<i64, u64> = rows.assigned.iter().copied().collect();
    let active: HashMap<Day, &ActiveUserCounts> =
        rows.users.buckets.iter().map(|row| (row.first_day, row)).collect();
    let points = period.slices.iter().map(|slice| {
        let users = slice.stored_start().and_then(|first_day| active.get(&first_day));
        UsagePoint {
            start: Date(slice.start),
            end: Date(slice.end),
            partial: slice.partial,
            assigned: assigned.get(&slice.stored_edge_ms()).copied().unwrap_or(0),
            active_users: users.map_or(0, |row| row.active_users),
            peak_daily_active_users: users.map_or(0, |row| row.peak_daily),
            average_daily_active_users: Hundredths::ratio(
                users.map_or(0, |row| row.user_days),
                slice.counted_days(),
            ),
        }
    });
    points.collect()
}

/// The figures that the store is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedUsage {
    /// Instants, milliseconds since 1970 UTC, ascending; never empty.
    pub edges_ms: Vec<i64>,
    /// Days; `None` where no event can lie in any bucket.
    pub days: Option<DayRanges>,
}

impl WantedUsage {
    /// The figures that the period's buckets and its summary need.
    pub fn by(period: &Period) -> Self {
        let mut edges_ms = period.edges_ms();
        // Of a period that lies ahead of `as_of` the summary alone has an edge.
        let edge_ms = period.stored_edge_ms();
        if edges_ms.last() != Some(&edge_ms) {
            edges_ms.push(edge_ms);
        }
        Self { edges_ms, days: period.day_ranges() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::day_start;

    /// 2026-01-01.
    const NEW_YEAR: Day = Day(20_454);

    fn resolve(raw: &str) -> Period {
        let query = Query::parse(Some(raw)).unwrap();
        let request = UsageRequest::parse(query).unwrap();
        request.period.resolve(Zone::UTC, 0).unwrap()
    }

    /// Users by day, as an account may have had them.
    type Days = BTreeMap<Day, BTreeSet<u8>>;

    fn activity() -> impl Strategy<Value = Days> {
        prop::collection::vec((0..60_i32, 0..6_u8), 0..80).prop_map(|logins| {
            let mut days = Days::new();
            for (day, user) in logins {
                days.entry(NEW_YEAR.plus_days(day)).or_default().insert(user);
            }
            days
        })
    }

    /// The store's answer for the days.
    fn stored(days: &Days, ranges: Option<&DayRanges>) -> PeriodUsers {
        let Some(ranges) = ranges else { return PeriodUsers::default() };
        let within = |first: Day, last: Day| {
            days.range(first..=last.max(first)).filter(move |(day, _)| **day <= last)
        };
        let ends = ranges.first_days[1..].iter().map(|next| next.plus_days(-1));
        let buckets = ranges.first_days.iter().zip(ends.chain([ranges.last_day]));
        let buckets = buckets.filter_map(|(&first_day, last_day)| {
            let users =
                || within(first_day, last_day).map(|(day, users)| (*day, users.len() as u64));
            let peak_daily = users().map(|(_, count)| count).max()?;
            Some(ActiveUserCounts {
                first_day,
                active_users: distinct(within(first_day, last_day)),
                peak_daily,
                peak_day: users().find(|&(_, count)| count == peak_daily)?.0,
                user_days: users().map(|(_, count)| count).sum(),
            })
        });
        // The store answers in any order.
        let buckets = buckets.collect::<Vec<_>>().into_iter().rev().collect();
        PeriodUsers { distinct: distinct(within(ranges.first_days[0], ranges.last_day)), buckets }
    }

    fn distinct<'d>(days: impl Iterator<Item = (&'d Day, &'d BTreeSet<u8>)>) -> u64 {
        days.flat_map(|(_, users)| users).collect::<BTreeSet<_>>().len() as u64
    }

    proptest! {
        #[test]
        fn the_summary_counts_each_user_and_each_day_once(
            days in activity(),
            from in 0..60_i32,
            length in 0..40_i32,
            as_of in 0..70_i32,
            interval in prop::sample::select(vec!["day", "week", "month", "quarter", "year"]),
            seats in 0..9_u64,
        ) {
            let (from, to) = (NEW_YEAR.plus_days(from), NEW_YEAR.plus_days(from + length));
            let as_of = NEW_YEAR.plus_days(as_of);
            let period = resolve(&format!(
                "from={from}&to={to}&interval={interval}&as_of={as_of}T12:00:00Z"
            ));
            let wanted = WantedUsage::by(&period);
            let edge_ms = day_start(Zone::UTC, to.plus_days(1))
                .min(day_start(Zone::UTC, as_of) + 12 * 3_600_000);
            prop_assert_eq!(wanted.edges_ms.last(), Some(&edge_ms));
            let users = stored(&days, wanted.days.as_ref());
            let rows = UsageRows { assigned: vec![(edge_ms, seats)], users };
            let summary = UsageSummary::assemble(&period, &rows);

            let counted: Days = days
                .into_iter()
                .filter(|(day, _)| (from..=to.min(as_of)).contains(day) && from <= as_of)
                .collect();
            let peak = counted.values().map(BTreeSet::len).max().unwrap_or(0);
            let peak_day = counted.iter().find(|(_, users)| users.len() == peak);
            let count = u64::try_from(to.min(as_of).0 - from.0 + 1).unwrap_or(0);
            let user_days = counted.values().map(|users| users.len() as u64).sum();
            let active_users = distinct(counted.iter());
            prop_assert_eq!(summary, UsageSummary {
                assigned: seats,
                active_users,
                peak_daily_active_users: peak as u64,
                peak_day: peak_day.map(|(&day, _)| Date(day)),
                average_daily_active_users: Hundredths::ratio(user_days, count),
                active_percent: Hundredths::share(active_users, seats),
            });
        }
    }
}
