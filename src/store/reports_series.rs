//! The license usage by organization, organization by organization, for comparisons that do not fit
//! into memory.

use clickhouse::query::RowCursor;

use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::reports_licenses::{
    LICENSE_HISTORY_BY_ORGANIZATION, LICENSE_USAGE_BY_ORGANIZATION, SeriesSeatsRow, SeriesUsageRow,
    instants,
};
use crate::core::calendar::Day;
use crate::report::licenses::{ActiveUsers, UsageRows, Wanted};

/// Seats and active users as they arrive from ClickHouse, ordered by organization.
pub struct SeriesStream {
    store: Store,
    seats: Ahead<SeriesSeatsRow>,
    users: Ahead<SeriesUsageRow>,
}

/// Rows, of which the next one can be looked at before it is taken.
struct Ahead<T> {
    cursor: Option<RowCursor<T>>,
    next: Option<T>,
}

impl SeriesStream {
    /// The rows of an organization; to be asked for one after another, in the order of their ids.
    ///
    /// # Errors
    /// Where an answer breaks off.
    pub async fn rows_of(&mut self, organization: &str) -> Result<UsageRows, StoreError> {
        let mut rows = UsageRows::default();
        loop {
            if self.seats.next.is_none() {
                self.seats.advance(&self.store).await?;
            }
            // An organization that was not there when the others were listed is passed over.
            let Some(row) =
                self.seats.next.take_if(|row| row.organization_id.as_str() <= organization)
            else {
                break;
            };
            if row.organization_id == organization {
                rows.assigned.push((row.edge_ms, row.assigned));
            }
        }
        loop {
            if self.users.next.is_none() {
                self.users.advance(&self.store).await?;
            }
            let Some(row) =
                self.users.next.take_if(|row| row.organization_id.as_str() <= organization)
            else {
                break;
            };
            if row.organization_id == organization {
                rows.active.push(ActiveUsers {
                    first_day: Day(row.first_day),
                    active_users: row.active_users,
                    peak_daily: row.peak_daily,
                    user_days: row.user_days,
                });
            }
        }
        Ok(rows)
    }
}

impl<T: clickhouse::RowOwned + clickhouse::RowRead> Ahead<T> {
    async fn advance(&mut self, store: &Store) -> Result<(), StoreError> {
        if let Some(cursor) = &mut self.cursor {
            self.next = store.within(cursor.next()).await?;
            if self.next.is_none() {
                self.cursor = None;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Seats and active users by direct child of the organization, or by top-level organization, as
    /// they arrive.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn license_usage_series(
        &self,
        account: &str,
        organization: Option<&str>,
        wanted: &Wanted,
    ) -> Result<SeriesStream, StoreError> {
        let ordered = |sql: &str| format!("{sql} ORDER BY organization_id");
        let open = |error| self.target().classify(error);
        let seats = if wanted.edges_ms.is_empty() {
            None
        } else {
            let query =
                self.report_query(&ordered(LICENSE_HISTORY_BY_ORGANIZATION), account, organization);
            let query = query.param("edges", instants(&wanted.edges_ms));
            Some(Self::streamed(query).fetch().map_err(open)?)
        };
        let users = match &wanted.days {
            None => None,
            Some(days) => {
                let query = self.report_query(
                    &ordered(LICENSE_USAGE_BY_ORGANIZATION),
                    account,
                    organization,
                );
                Some(Self::streamed(with_days(query, days)).fetch().map_err(open)?)
            }
        };
        Ok(SeriesStream {
            store: self.clone(),
            seats: Ahead { cursor: seats, next: None },
            users: Ahead { cursor: users, next: None },
        })
    }
}
