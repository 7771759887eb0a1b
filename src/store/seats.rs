//! Seats at instants, in one query over the table of intervals. The views `license_history` and
//! `license_history_by_organization` say the same to analysts; a test holds them together.

use std::collections::BTreeMap;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::rows::NO_MINIMUM_MS;
use super::scope::{Scope, Series};
use crate::report::licenses::SeatCounts;
use crate::report::seat_steps::{SeatSteps, open_at};

/// Intervals by the instants (with 0 before them) that their times lie behind. `$series` numbers
/// the series of an interval, `$filter` chooses organizations.
const SEAT_STEPS: &str = "\
SELECT $series AS series, \
    roundDown(i.start_ms, {edges:Array(Int64)}) AS start_ms, \
    roundDown(i.end_ms, {edges:Array(Int64)}) AS end_ms, \
    if(i.activated_ms < i.end_ms, roundDown(i.activated_ms, {edges:Array(Int64)}), toInt64(-1)) AS \
    activated_ms, \
    count() AS intervals \
FROM \
( \
    SELECT s.organization_id AS organization_id, toUnixTimestamp64Milli(s.start) AS start_ms, \
        toUnixTimestamp64Milli(min(s.end)) AS end_ms, toUnixTimestamp64Milli(min(s.first_active)) \
        AS activated_ms \
    FROM seat_intervals AS s \
    WHERE s.account_id = {account:String}$filter \
    GROUP BY s.organization_id, s.user_id, s.start \
    HAVING NOT min(tupleElement(s.opened, 'is_unknown')) \
) AS i \
GROUP BY series, start_ms, end_ms, activated_ms";

const PURCHASES: &str = "\
SELECT toUnixTimestamp64Milli(f.time) AS time_ms, argMax(f.seats, (f.source, f.offset)) AS seats \
FROM license_facts AS f \
WHERE f.account_id = {account:String} AND f.organization_id = {organization:String} \
GROUP BY f.time \
ORDER BY f.time";

#[derive(Row, Deserialize)]
struct StepsRow {
    series: u32,
    start_ms: i64,
    end_ms: i64,
    activated_ms: i64,
    intervals: u64,
}

#[derive(Row, Deserialize)]
struct PurchaseRow {
    time_ms: i64,
    seats: u64,
}

impl Store {
    /// Seats of the scope as they stood at each of the instants (milliseconds since 1970 UTC,
    /// ascending), with those that were purchased by the account or allocated to the organization
    /// itself.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn seats_at(
        &self,
        account: &str,
        organization: Option<&str>,
        scope: &Scope<'_>,
        edges_ms: &[i64],
    ) -> Result<Vec<SeatCounts>, StoreError> {
        if edges_ms.is_empty() {
            return Ok(Vec::new());
        }
        if !scope.fits() {
            return self.license_history(account, organization, edges_ms).await;
        }
        let purchases = self.report_query(PURCHASES, account, organization);
        let (steps, purchases): (Vec<StepsRow>, Vec<PurchaseRow>) = tokio::try_join!(
            self.fetch_all(self.steps_query(account, scope, edges_ms)),
            self.fetch_all(purchases),
        )?;
        let open = open_at(edges_ms, steps.iter().map(StepsRow::steps));
        let purchased = |edge_ms: i64| {
            let before = purchases.partition_point(|row| row.time_ms < edge_ms);
            before.checked_sub(1).map_or(0, |latest| purchases[latest].seats)
        };
        let counts = edges_ms.iter().zip(open).map(|(&edge_ms, (assigned, activated))| {
            SeatCounts { edge_ms, purchased: purchased(edge_ms), assigned, activated }
        });
        Ok(counts.collect())
    }

    /// Seats that were assigned at each of the instants (milliseconds since 1970 UTC, ascending),
    /// of each series by its organization; a series without any may be missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn assigned_by_series(
        &self,
        account: &str,
        series: &Series<'_>,
        edges_ms: &[i64],
    ) -> Result<Vec<(String, i64, u64)>, StoreError> {
        if edges_ms.is_empty() || series.heads.is_empty() {
            return Ok(Vec::new());
        }
        let index = "transform(i.organization_id, {organizations:Array(String)}, \
            {indices:Array(UInt32)}, toUInt32(0))";
        let query = self
            .steps(account, index, Some(series.organizations()), edges_ms)
            .param("indices", series.indices());
        let rows: Vec<StepsRow> = self.fetch_all(query).await?;
        let mut by_series: BTreeMap<u32, Vec<SeatSteps>> = BTreeMap::new();
        for row in &rows {
            by_series.entry(row.series).or_default().push(row.steps());
        }
        let mut assigned = Vec::new();
        for (index, steps) in by_series {
            let head = series.heads.get(index as usize).copied().unwrap_or_default();
            let open = edges_ms.iter().zip(open_at(edges_ms, steps));
            assigned
                .extend(open.map(|(&edge_ms, (assigned, _))| (head.to_owned(), edge_ms, assigned)));
        }
        Ok(assigned)
    }

    fn steps_query(&self, account: &str, scope: &Scope<'_>, edges_ms: &[i64]) -> Query {
        let organizations = match scope {
            Scope::Account => None,
            Scope::Organizations(ids) => Some(ids.as_slice()),
        };
        self.steps(account, "toUInt32(0)", organizations, edges_ms)
    }

    fn steps(
        &self,
        account: &str,
        series: &str,
        organizations: Option<&[&str]>,
        edges_ms: &[i64],
    ) -> Query {
        let filter =
            organizations.map_or("", |_| " AND s.organization_id IN {organizations:Array(String)}");
        let sql = SEAT_STEPS.replace("$series", series).replace("$filter", filter);
        let edges_ms: Vec<i64> = [0].into_iter().chain(edges_ms.iter().copied()).collect();
        let query = self.read(&sql).param("account", account).param("edges", edges_ms);
        if let Some(organizations) = organizations {
            query.param("organizations", organizations)
        } else {
            query
        }
    }
}

impl StepsRow {
    fn steps(&self) -> SeatSteps {
        debug_assert!(self.end_ms < NO_MINIMUM_MS, "a time is rounded to an instant of a report");
        let activated_ms = Some(self.activated_ms).filter(|&activated_ms| activated_ms >= 0);
        SeatSteps {
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            activated_ms,
            intervals: self.intervals,
        }
    }
}
