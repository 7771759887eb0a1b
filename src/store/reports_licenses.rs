//! Queries of seats by the views.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::instant;
use crate::report::id::{AccountId, OrganizationId};

pub(super) const LICENSE_HISTORY_BY_ORGANIZATION: &str = "\
SELECT h.organization_id AS organization_id, toUnixTimestamp64Milli(h.edge) AS edge_ms, h.assigned \
AS assigned \
FROM license_history_by_organization(account = {account:String}, organization = \
{organization:String}, \
    edges = {edges:Array(DateTime64(3, 'UTC'))}) AS h";

#[derive(Row, Deserialize)]
pub(super) struct SeriesSeatsRow {
    pub(super) organization_id: String,
    pub(super) edge_ms: i64,
    pub(super) assigned: u64,
}

impl Store {
    /// Seats assigned as they stood at each of the instants (milliseconds since 1970 UTC), by
    /// direct child of the organization, or by top-level organization: organization, instant and
    /// seats. Those of 0 may be missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn seats_by_organization(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        edges_ms: &[i64],
    ) -> Result<Vec<(String, i64, u64)>, StoreError> {
        if edges_ms.is_empty() {
            return Ok(Vec::new());
        }
        let query = self.report_query(LICENSE_HISTORY_BY_ORGANIZATION, account, organization);
        let rows: Vec<SeriesSeatsRow> =
            self.fetch_all(query.param("edges", instants(edges_ms))).await?;
        Ok(rows.into_iter().map(|row| (row.organization_id, row.edge_ms, row.assigned)).collect())
    }
}

/// Instants as ClickHouse reads them as a parameter of `DateTime64(3, 'UTC')`.
pub(super) fn instants(times_ms: &[i64]) -> Vec<String> {
    times_ms.iter().map(|&time_ms| instant(time_ms)).collect()
}
