//! The license history, in one query over the table of intervals. The view `license_history` says
//! the same to analysts; a test holds them together.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports_licenses::instants;
use super::scope::Scope;
use crate::report::id::{AccountId, OrganizationId};
use crate::report::license_history::SeatCounts;
use crate::report::seat_history::{SeatHolding, SeatRecords, counts_at};

/// Seats that change in the time of a report are sorted in memory up to this number (24 MB); beyond
/// it the view has ClickHouse do so, which takes more of its time.
const CHANGING_MAX: usize = 1_000_000;

/// The seats that were held in the time of the report: how many nothing happens to, and the times
/// of the others. `$filter` chooses organizations.
const SEATS: &str = "\
SELECT groupArrayIf($max)((i.start_ms, i.end_ms, i.activated_ms), NOT i.is_steady) AS changing, \
    countIf(i.is_steady) AS steady, \
    countIf(i.is_steady AND i.activated_ms < {first:Int64}) AS steady_activated \
FROM \
( \
    SELECT toUnixTimestamp64Milli(s.start) AS start_ms, \
        toUnixTimestamp64Milli(min(s.end)) AS end_ms, \
        toUnixTimestamp64Milli(min(s.first_active)) AS activated_ms, \
        start_ms < {first:Int64} AND end_ms >= {last:Int64} \
            AND NOT (activated_ms >= {first:Int64} AND activated_ms < {last:Int64}) AS is_steady \
    FROM seat_intervals AS s \
    WHERE s.account_id = {account:String}$filter \
    GROUP BY s.organization_id, s.user_id, s.start \
    HAVING NOT min(tupleElement(s.opened, 'is_unknown')) \
        AND end_ms >= {first:Int64} AND start_ms < {last:Int64} \
) AS i";

const PURCHASES: &str = "\
SELECT toUnixTimestamp64Milli(f.time) AS time_ms, CAST(f.source, 'String') AS source, \
    f.offset AS offset, f.seats AS seats \
FROM license_facts AS f \
WHERE f.account_id = {account:String} AND f.organization_id = {organization:String}";

const LICENSE_HISTORY: &str = "\
SELECT toUnixTimestamp64Milli(h.edge) AS edge_ms, h.purchased AS purchased, h.assigned AS \
assigned, \
    h.activated AS activated, h.peak_assigned AS peak_assigned, h.peak_overage AS peak_overage \
FROM license_history(account = {account:String}, organization = {organization:String}, \
    edges = {edges:Array(DateTime64(3, 'UTC'))}) AS h \
ORDER BY h.edge";

#[derive(Row, Deserialize)]
struct SeatsRow {
    changing: Vec<(i64, i64, i64)>,
    steady: u64,
    steady_activated: u64,
}

#[derive(Row, Deserialize)]
struct PurchaseRow {
    time_ms: i64,
    source: String,
    offset: u64,
    seats: u64,
}

#[derive(Row, Deserialize)]
struct HistoryRow {
    edge_ms: i64,
    purchased: u64,
    assigned: u64,
    activated: u64,
    peak_assigned: u64,
    peak_overage: u64,
}

impl Store {
    /// Seats of the scope as they stood at each of the instants (milliseconds since 1970 UTC,
    /// ascending, each once), with the peaks since the instant before it, and those that were
    /// purchased by the account or allocated to the organization itself.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn seat_history(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        scope: &Scope<'_>,
        instants_ms: &[i64],
    ) -> Result<Vec<SeatCounts>, StoreError> {
        let (Some(&first_ms), Some(&last_ms)) = (instants_ms.first(), instants_ms.last()) else {
            return Ok(Vec::new());
        };
        if !scope.fits() {
            return self.license_history(account, organization, instants_ms).await;
        }
        let (filter, organizations) = match scope {
            Scope::Account => ("", None),
            Scope::Organizations(ids) => {
                (" AND s.organization_id IN {organizations:Array(String)}", Some(ids))
            }
        };
        let sql = SEATS.replace("$filter", filter).replace("$max", &CHANGING_MAX.to_string());
        let mut seats = self
            .read(&sql)
            .param("account", account)
            .param("first", first_ms)
            .param("last", last_ms);
        if let Some(ids) = organizations {
            seats = seats.param("organizations", ids);
        }
        let (seats, purchases): (Vec<SeatsRow>, _) =
            tokio::try_join!(self.fetch_all(seats), self.purchases(account, organization))?;
        let mut records = SeatRecords { purchases, ..SeatRecords::default() };
        if let Some(SeatsRow { changing, steady, steady_activated }) = seats.into_iter().next() {
            if changing.len() >= CHANGING_MAX {
                return self.license_history(account, organization, instants_ms).await;
            }
            let interval =
                |(start_ms, end_ms, activated_ms)| SeatHolding { start_ms, end_ms, activated_ms };
            records.changing = changing.into_iter().map(interval).collect();
            (records.steady, records.steady_activated) = (steady, steady_activated);
        }
        Ok(counts_at(instants_ms, &records))
    }

    /// Seats purchased by the account, or allocated to the organization, by the time (milliseconds
    /// since 1970 UTC) from which on they are: ascending, each time once.
    pub(super) async fn purchases(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<(i64, u64)>, StoreError> {
        let query = self.report_query(PURCHASES, account, organization);
        let rows: Vec<PurchaseRow> = self.fetch_all(query).await?;
        // Of one time the last record counts.
        let mut latest: BTreeMap<i64, (String, u64, u64)> = BTreeMap::new();
        for PurchaseRow { time_ms, source, offset, seats } in rows {
            let told = (source, offset, seats);
            let known = latest.entry(time_ms).or_default();
            if told > *known {
                *known = told;
            }
        }
        Ok(latest.into_iter().map(|(time_ms, (.., seats))| (time_ms, seats)).collect())
    }

    /// The same by the view `license_history`, in the order of the instants.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn license_history(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        instants_ms: &[i64],
    ) -> Result<Vec<SeatCounts>, StoreError> {
        if instants_ms.is_empty() {
            return Ok(Vec::new());
        }
        let query = self
            .report_query(LICENSE_HISTORY, account, organization)
            .param("edges", instants(instants_ms));
        let rows: Vec<HistoryRow> = self.fetch_all(query).await?;
        let counts = rows.into_iter().map(|row| SeatCounts {
            edge_ms: row.edge_ms,
            purchased: row.purchased,
            assigned: row.assigned,
            activated: row.activated,
            peak_assigned: row.peak_assigned,
            peak_overage: row.peak_overage,
        });
        Ok(counts.collect())
    }
}
