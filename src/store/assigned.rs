//! Seats assigned at instants, in one query over the table of intervals. The views
//! `license_history` and `license_history_by_organization` say the same to analysts; a test holds
//! them together.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::instant;
use super::rows::NO_MINIMUM_MS;
use super::scope::Who;
use crate::report::seat_steps::{SeatSteps, open_at};

/// Intervals by the instants (with 0 before them) that their times lie behind, each with the latest
/// time at which any of them changes. FINAL merges the rows of an interval in the order of the
/// table, for a quarter of what a hash table of all intervals costs. No condition is on a column
/// that it merges, so that none can be checked before. `$series` numbers the series of an interval,
/// `$filter` chooses organizations.
const STEPS: &str = "\
SELECT $series AS series, \
    roundDown(toUnixTimestamp64Milli(s.start), {edges:Array(Int64)}) AS start_ms, \
    roundDown(toUnixTimestamp64Milli(s.end), {edges:Array(Int64)}) AS end_ms, \
    countIf(NOT tupleElement(s.opened, 'is_unknown')) AS intervals, \
    max(toUnixTimestamp64Milli(if(s.end < {never:DateTime64(3, 'UTC')}, s.end, s.start))) \
        AS last_change_ms \
FROM seat_intervals AS s FINAL \
WHERE s.account_id = {account:String}$filter \
GROUP BY series, start_ms, end_ms";

/// Seats assigned at instants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignedSeats {
    /// By organization of a series, at each of the instants; a series without any is missing.
    pub by_series: HashMap<String, Vec<u64>>,
    /// The latest time at which a seat was assigned or ended, milliseconds since 1970 UTC.
    pub last_change_ms: i64,
}

#[derive(Row, Deserialize)]
struct StepsRow {
    series: u32,
    start_ms: i64,
    end_ms: i64,
    intervals: u64,
    last_change_ms: i64,
}

impl Store {
    /// Seats that were assigned at each of the instants (milliseconds since 1970 UTC, ascending),
    /// of each series.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assigned_at(
        &self,
        account: &str,
        who: &Who<'_>,
        edges_ms: &[i64],
    ) -> Result<AssignedSeats, StoreError> {
        let mut seats = AssignedSeats::default();
        if edges_ms.is_empty() || who.is_nobody() {
            return Ok(seats);
        }
        let sql = STEPS
            .replace("$series", &who.index_of("s.organization_id"))
            .replace("$filter", who.filter());
        let edges: Vec<i64> = [0].into_iter().chain(edges_ms.iter().copied()).collect();
        let query = who.bind(self.read(&sql)).param("account", account);
        let query = query.param("edges", edges).param("never", instant(NO_MINIMUM_MS));
        let mut steps: HashMap<u32, Vec<SeatSteps>> = HashMap::new();
        for row in self.fetch_all::<StepsRow>(query).await? {
            let StepsRow { series, start_ms, end_ms, intervals, last_change_ms } = row;
            let step = SeatSteps { start_ms, end_ms, intervals };
            steps.entry(series).or_default().push(step);
            seats.last_change_ms = seats.last_change_ms.max(last_change_ms);
        }
        for (series, steps) in steps {
            seats.by_series.insert(who.head(series), open_at(edges_ms, steps));
        }
        Ok(seats)
    }
}
