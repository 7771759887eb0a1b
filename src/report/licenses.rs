//! License history and license usage: seats and active users over time.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::period::{DayRanges, Period, PeriodRequest};
use super::query::{BadParameter, Query};
use super::subject::{Range, Subject};
use super::value::{Date, Hundredths};
use crate::core::calendar::{Day, Zone};

/// The most points, over all organizations, with which a comparison by organization is put together
/// in memory; a larger one is written as its rows come.
pub const SERIES_POINTS_MAX: usize = 250_000;

/// A parsed request for the license history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Only this organization and all below it.
    pub organization: Option<String>,
    /// The range.
    pub period: PeriodRequest,
}

impl HistoryRequest {
    /// Takes a request's parameters.
    pub fn parse(mut query: Query) -> Result<Self, BadParameter> {
        let request = Self {
            organization: query.take_id("organization_id")?,
            period: PeriodRequest::take(&mut query)?,
        };
        query.finish()?;
        Ok(request)
    }
}

/// Seats as they stood at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatCounts {
    /// The instant, milliseconds since 1970 UTC.
    pub edge_ms: i64,
    /// Seats that the account owns, or that are allocated to the organization itself.
    pub purchased: u64,
    /// Open seat intervals.
    pub assigned: u64,
    /// Those of them that are activated.
    pub activated: u64,
}

/// The license history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: Range,
    /// One point per bucket that has begun, in order.
    pub points: Vec<HistoryPoint>,
}

/// Seats as they stood at the end of the bucket's last day, or at `as_of` if that is earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryPoint {
    /// The bucket's first day.
    pub start: Date,
    /// Its last day, inclusive.
    pub end: Date,
    /// Whether its last day is not over at `as_of`.
    pub partial: bool,
    /// Seats that the account owns; of an organization: that are allocated to it.
    #[schema(example = 250)]
    pub purchased: u64,
    /// Seats that are assigned; a user with seats in two organizations counts twice.
    #[schema(example = 180)]
    pub assigned: u64,
    /// Those of them whose user has been active while holding them.
    #[schema(example = 165)]
    pub activated: u64,
}

impl HistoryReport {
    /// Puts the report together. `counts` holds one row per edge of the period.
    pub fn assemble(
        account: &str,
        request: &HistoryRequest,
        zone: Zone,
        period: &Period,
        counts: &[SeatCounts],
    ) -> Self {
        let by_edge: HashMap<i64, &SeatCounts> =
            counts.iter().map(|count| (count.edge_ms, count)).collect();
        let points = period.slices.iter().map(|slice| {
            let count = by_edge.get(&slice.stored_edge_ms());
            HistoryPoint {
                start: Date(slice.start),
                end: Date(slice.end),
                partial: slice.partial,
                purchased: count.map_or(0, |count| count.purchased),
                assigned: count.map_or(0, |count| count.assigned),
                activated: count.map_or(0, |count| count.activated),
            }
        });
        Self {
            subject: Subject::new(account, request.organization.as_deref(), zone),
            range: Range::of(period),
            points: points.collect(),
        }
    }
}

/// A parsed request for the license usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// Only this organization and all below it.
    pub organization: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveUsers {
    /// The first of the days, as [`DayRanges`] named it.
    pub first_day: Day,
    /// Distinct users over all of them.
    pub active_users: u64,
    /// Distinct users on the busiest day.
    pub peak_daily: u64,
    /// The sum over the days of the distinct users of each.
    pub user_days: u64,
}

/// What one line of the usage report is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRows {
    /// Open seat intervals by edge (milliseconds since 1970 UTC).
    pub assigned: Vec<(i64, u64)>,
    /// Active users; days without any may be missing.
    pub active: Vec<ActiveUsers>,
}

/// The license usage of the chosen organizations together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: Range,
    /// One point per bucket that has begun, in order.
    pub points: Vec<UsagePoint>,
}

/// The license usage by organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageByOrganizationReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: Range,
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
    /// One point per bucket that has begun, in order.
    pub points: Vec<UsagePoint>,
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
        account: &str,
        request: &UsageRequest,
        zone: Zone,
        period: &Period,
        rows: &UsageRows,
    ) -> Self {
        Self {
            subject: Subject::new(account, request.organization.as_deref(), zone),
            range: Range::of(period),
            points: usage_points(period, rows),
        }
    }
}

impl UsageByOrganizationReport {
    /// Puts the report together. `children` are the organizations to compare, ascending; those
    /// without rows have seats and users 0.
    pub fn assemble(
        account: &str,
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
            subject: Subject::new(account, request.organization.as_deref(), zone),
            range: Range::of(period),
            series: series.collect(),
        }
    }
}

impl UsageSeries {
    /// Puts one organization's series together.
    pub fn assemble(organization_id: String, period: &Period, rows: &UsageRows) -> Self {
        Self { organization_id, points: usage_points(period, rows) }
    }
}

/// Whether a comparison of so many organizations fits into memory.
pub fn fits_memory(children: usize, period: &Period) -> bool {
    children.saturating_mul(period.slices.len()) <= SERIES_POINTS_MAX
}

fn usage_points(period: &Period, rows: &UsageRows) -> Vec<UsagePoint> {
    let assigned: HashMap<i64, u64> = rows.assigned.iter().copied().collect();
    let active: HashMap<Day, &ActiveUsers> =
        rows.active.iter().map(|row| (row.first_day, row)).collect();
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

/// What the store is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Instants, milliseconds since 1970 UTC, ascending; may be empty.
    pub edges_ms: Vec<i64>,
    /// Days; `None` where no event can lie in any bucket.
    pub days: Option<DayRanges>,
}

impl Wanted {
    /// What the period's buckets need.
    pub fn by(period: &Period) -> Self {
        Self { edges_ms: period.edges_ms(), days: period.day_ranges() }
    }
}
