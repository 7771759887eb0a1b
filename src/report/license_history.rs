//! License history: seats purchased, assigned and activated over time, and their peaks.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::id::{AccountId, OrganizationId};
use super::period::{EVENT_TIME_MAX_MS, Period, PeriodRequest, Slice};
use super::query::{BadParameter, Query};
use super::subject::{ReportRange, Subject};
use super::value::Date;
use crate::core::calendar::{Zone, day_start};

/// A parsed request for the license history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Only this organization and all below it.
    pub organization: Option<OrganizationId>,
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

/// Seats as they stood at an instant, and their peaks since the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatCounts {
    /// The instant, milliseconds since 1970 UTC.
    pub edge_ms: i64,
    /// Seats that the account owns, or that are allocated to the organization itself.
    pub purchased: u64,
    /// Open seat intervals.
    pub assigned: u64,
    /// Those of them that are activated.
    pub activated: u64,
    /// The most seats assigned at any instant after the one before, up to this one; of the first
    /// instant as it stood.
    pub peak_assigned: u64,
    /// The same of seats assigned beyond those purchased, at least 0.
    pub peak_overage: u64,
}

/// The license history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryReport {
    #[serde(flatten)]
    pub subject: Subject,
    #[serde(flatten)]
    pub range: ReportRange,
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
    /// The most seats assigned at any instant in the bucket, up to `as_of`.
    #[schema(example = 190)]
    pub peak_assigned: u64,
    /// The most seats assigned beyond those purchased at any instant in the bucket, up to `as_of`;
    /// 0 if they sufficed throughout.
    #[schema(example = 0)]
    pub peak_overage: u64,
}

/// The instants at which the store is asked, milliseconds since 1970 UTC, ascending, each once: the
/// start of the first bucket and the end of each. Empty if no bucket has begun.
pub fn instants_ms(zone: Zone, period: &Period) -> Vec<i64> {
    let start_ms = period.slices.first().map(|slice| stored_start_ms(zone, slice));
    let mut instants: Vec<i64> = start_ms.into_iter().chain(period.edges_ms()).collect();
    instants.dedup();
    instants
}

/// The first instant of a bucket, as the store may be asked about it.
fn stored_start_ms(zone: Zone, slice: &Slice) -> i64 {
    day_start(zone, slice.start).clamp(0, EVENT_TIME_MAX_MS)
}

impl HistoryReport {
    /// Puts the report together. `counts` holds one row per instant of [`instants_ms`].
    pub fn assemble(
        account: &AccountId,
        request: &HistoryRequest,
        zone: Zone,
        period: &Period,
        counts: &[SeatCounts],
    ) -> Self {
        let by_edge: HashMap<i64, &SeatCounts> =
            counts.iter().map(|count| (count.edge_ms, count)).collect();
        let points = period.slices.iter().map(|slice| {
            let edge_ms = slice.stored_edge_ms();
            let count = by_edge.get(&edge_ms).copied().copied().unwrap_or_default();
            // A bucket without an instant of its own: its day is skipped, or starts at `as_of`.
            let is_empty = stored_start_ms(zone, slice) >= edge_ms;
            let stood = count.assigned.saturating_sub(count.purchased);
            HistoryPoint {
                start: Date(slice.start),
                end: Date(slice.end),
                partial: slice.partial,
                purchased: count.purchased,
                assigned: count.assigned,
                activated: count.activated,
                peak_assigned: if is_empty { count.assigned } else { count.peak_assigned },
                peak_overage: if is_empty { stood } else { count.peak_overage },
            }
        });
        Self {
            subject: Subject::new(account, request.organization.as_ref(), zone),
            range: ReportRange::of(period),
            points: points.collect(),
        }
    }

    /// The history as CSV: one line per point.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            "Start",
            "End",
            "Purchased",
            "Assigned",
            "Activated",
            "Peak Assigned",
            "Peak Overage",
        ]);
        for point in &self.points {
            let seats = [
                point.purchased,
                point.assigned,
                point.activated,
                point.peak_assigned,
                point.peak_overage,
            ];
            let days = [point.start, point.end].map(|day| day.to_string());
            let cells = days.into_iter().chain(seats.map(|seats| seats.to_string()));
            table.row(cells.map(Cell::Plain));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn request(raw: &str) -> HistoryRequest {
        HistoryRequest::parse(Query::parse(Some(raw)).unwrap()).unwrap()
    }

    #[test]
    fn buckets_lie_between_the_instants() {
        let zone = Zone::named("Europe/Berlin");
        let request = request("from=2026-03-28&to=2026-03-30&as_of=2026-03-30T10:00:00Z");
        let period = request.period.resolve(zone, 0).unwrap();
        assert_eq!(
            instants_ms(zone, &period),
            [
                "2026-03-27T23:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
                "2026-03-30T10:00:00Z"
            ]
            .map(ms)
        );
    }

    #[test]
    fn a_bucket_without_an_instant_is_as_it_stood() {
        // The 30th of December 2011 is skipped in Samoa.
        let zone = Zone::named("Pacific/Apia");
        let request = request("from=2011-12-29&to=2011-12-31&as_of=2011-12-30T10:00:00Z");
        let period = request.period.resolve(zone, 0).unwrap();
        let instants = instants_ms(zone, &period);
        assert_eq!(instants.len(), 2, "its start and end are those of others, and as_of");
        let count = |edge_ms| SeatCounts {
            edge_ms,
            purchased: 3,
            assigned: 5,
            activated: 1,
            peak_assigned: 9,
            peak_overage: 6,
        };
        let counts: Vec<SeatCounts> = instants.iter().map(|&edge_ms| count(edge_ms)).collect();
        let report = HistoryReport::assemble(&"a".into(), &request, zone, &period, &counts);
        let peaks = report.points.iter().map(|point| (point.peak_assigned, point.peak_overage));
        assert_eq!(peaks.collect::<Vec<_>>(), [(9, 6), (5, 2), (5, 2)]);
    }
}
