//! The license usage as the views `license_usage` and `license_usage_by_organization` tell it: for
//! scopes that no query of our own can name, and for comparisons that do not fit into memory.

use std::cmp::Ordering;

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use super::active_users::{RangeRow, period_users};
use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::reports_licenses::{LICENSE_HISTORY_BY_ORGANIZATION, SeriesSeatsRow, instants};
use crate::report::id::{AccountId, OrganizationId};
use crate::report::license_usage::{PeriodUsers, UsageRows, WantedUsage};
use crate::report::period::DayRanges;

const RANGES: &str = "\
groupBitmapMerge(u.users) AS distinct, \
    groupArray((toInt32(u.first_day), u.active_users, u.peak_daily_active_users, \
    toInt32(u.peak_day), u.active_user_days)) AS ranges";

const LICENSE_USAGE: &str = "\
SELECT $ranges \
FROM license_usage(account = {account:String}, organization = {organization:String}, \
    first_days = {first_days:Array(Date)}, last_day = {last_day:Date}) AS u";

const LICENSE_USAGE_BY_ORGANIZATION: &str = "\
SELECT u.organization_id AS organization_id, $ranges \
FROM license_usage_by_organization(account = {account:String}, \
    organization = {organization:String}, first_days = {first_days:Array(Date)}, \
    last_day = {last_day:Date}) AS u \
GROUP BY u.organization_id";

#[derive(Row, Deserialize)]
struct UsageRow {
    distinct: u64,
    ranges: Vec<RangeRow>,
}

#[derive(Row, Deserialize)]
struct SeriesUsageRow {
    organization_id: String,
    distinct: u64,
    ranges: Vec<RangeRow>,
}

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

/// A row about an organization.
trait OfOrganization {
    fn organization(&self) -> &str;
}

impl OfOrganization for SeriesSeatsRow {
    fn organization(&self) -> &str {
        &self.organization_id
    }
}

impl OfOrganization for SeriesUsageRow {
    fn organization(&self) -> &str {
        &self.organization_id
    }
}

impl SeriesStream {
    /// The rows of an organization; to be asked for one after another, in the order of their ids.
    ///
    /// # Errors
    /// Where an answer breaks off.
    pub async fn rows_of(&mut self, organization: &str) -> Result<UsageRows, StoreError> {
        let mut rows = UsageRows::default();
        while let Some(row) = self.seats.take(organization, &self.store).await? {
            rows.assigned.push((row.edge_ms, row.assigned));
        }
        while let Some(row) = self.users.take(organization, &self.store).await? {
            rows.users = period_users(row.distinct, row.ranges);
        }
        Ok(rows)
    }
}

impl<T: clickhouse::RowOwned + clickhouse::RowRead + OfOrganization> Ahead<T> {
    /// The next row of the organization; `None` after its last.
    async fn take(&mut self, organization: &str, store: &Store) -> Result<Option<T>, StoreError> {
        loop {
            if self.next.is_none() {
                self.advance(store).await?;
            }
            let Some(row) = self.next.take() else { return Ok(None) };
            match row.organization().cmp(organization) {
                // It was not there when the others were listed.
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(row)),
                Ordering::Greater => {
                    self.next = Some(row);
                    return Ok(None);
                }
            }
        }
    }

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
    /// Active users of the days: of the organization and all below it, or of the whole account.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        days: Option<&DayRanges>,
    ) -> Result<PeriodUsers, StoreError> {
        let Some(days) = days else { return Ok(PeriodUsers::default()) };
        let sql = LICENSE_USAGE.replace("$ranges", RANGES);
        let query = with_days(self.report_query(&sql, account, organization), days);
        let rows: Vec<UsageRow> = self.fetch_all(query).await?;
        let row = rows.into_iter().next();
        Ok(row.map(|row| period_users(row.distinct, row.ranges)).unwrap_or_default())
    }

    /// Active users of the days, by direct child of the organization, or by top-level organization.
    /// Organizations without any are missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users_by_organization(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<(String, PeriodUsers)>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        let sql = LICENSE_USAGE_BY_ORGANIZATION.replace("$ranges", RANGES);
        let query = with_days(self.report_query(&sql, account, organization), days);
        let rows: Vec<SeriesUsageRow> = self.fetch_all(query).await?;
        let users = rows
            .into_iter()
            .map(|row| (row.organization_id, period_users(row.distinct, row.ranges)));
        Ok(users.collect())
    }

    /// Seats and active users by direct child of the organization, or by top-level organization, as
    /// they arrive.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn license_usage_series(
        &self,
        account: &AccountId,
        organization: Option<&OrganizationId>,
        wanted: &WantedUsage,
    ) -> Result<SeriesStream, StoreError> {
        let ordered = |sql: &str| format!("{sql} ORDER BY organization_id");
        let open = |error| self.target().classify(error);
        let query =
            self.report_query(&ordered(LICENSE_HISTORY_BY_ORGANIZATION), account, organization);
        let query = query.param("edges", instants(&wanted.edges_ms));
        let seats = Some(Self::streamed(query).fetch().map_err(open)?);
        let users = match &wanted.days {
            None => None,
            Some(days) => {
                let sql = LICENSE_USAGE_BY_ORGANIZATION.replace("$ranges", RANGES);
                let query = self.report_query(&ordered(&sql), account, organization);
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
