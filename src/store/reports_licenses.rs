//! Queries of the license history and the license usage.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::{instant, with_days};
use crate::core::calendar::Day;
use crate::report::licenses::{ActiveUsers, SeatCounts};
use crate::report::period::DayRanges;

const LICENSE_HISTORY: &str = "\
SELECT toUnixTimestamp64Milli(h.edge) AS edge_ms, h.purchased AS purchased, h.assigned AS \
assigned, \
    h.activated AS activated \
FROM license_history(account = {account:String}, organization = {organization:String}, \
    edges = {edges:Array(DateTime64(3, 'UTC'))}) AS h";

pub(super) const LICENSE_HISTORY_BY_ORGANIZATION: &str = "\
SELECT h.organization_id AS organization_id, toUnixTimestamp64Milli(h.edge) AS edge_ms, h.assigned \
AS assigned \
FROM license_history_by_organization(account = {account:String}, organization = \
{organization:String}, \
    edges = {edges:Array(DateTime64(3, 'UTC'))}) AS h";

const LICENSE_USAGE: &str = "\
SELECT toInt32(u.first_day) AS first_day, u.active_users AS active_users, \
    u.peak_daily_active_users AS peak_daily, u.active_user_days AS user_days \
FROM license_usage(account = {account:String}, organization = {organization:String}, \
    first_days = {first_days:Array(Date)}, last_day = {last_day:Date}) AS u";

pub(super) const LICENSE_USAGE_BY_ORGANIZATION: &str = "\
SELECT u.organization_id AS organization_id, toInt32(u.first_day) AS first_day, u.active_users AS \
active_users, \
    u.peak_daily_active_users AS peak_daily, u.active_user_days AS user_days \
FROM license_usage_by_organization(account = {account:String}, organization = \
{organization:String}, \
    first_days = {first_days:Array(Date)}, last_day = {last_day:Date}) AS u";

#[derive(Row, Deserialize)]
struct HistoryRow {
    edge_ms: i64,
    purchased: u64,
    assigned: u64,
    activated: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct SeriesSeatsRow {
    pub(super) organization_id: String,
    pub(super) edge_ms: i64,
    pub(super) assigned: u64,
}

#[derive(Row, Deserialize)]
struct UsageRow {
    first_day: i32,
    active_users: u64,
    peak_daily: u64,
    user_days: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct SeriesUsageRow {
    pub(super) organization_id: String,
    pub(super) first_day: i32,
    pub(super) active_users: u64,
    pub(super) peak_daily: u64,
    pub(super) user_days: u64,
}

impl Store {
    /// Seats as they stood at each of the instants (milliseconds since 1970 UTC): of the
    /// organization and all below it, or of the whole account.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn license_history(
        &self,
        account: &str,
        organization: Option<&str>,
        edges_ms: &[i64],
    ) -> Result<Vec<SeatCounts>, StoreError> {
        if edges_ms.is_empty() {
            return Ok(Vec::new());
        }
        let query = self
            .report_query(LICENSE_HISTORY, account, organization)
            .param("edges", instants(edges_ms));
        let rows: Vec<HistoryRow> = self.fetch_all(query).await?;
        let counts = rows.into_iter().map(|row| SeatCounts {
            edge_ms: row.edge_ms,
            purchased: row.purchased,
            assigned: row.assigned,
            activated: row.activated,
        });
        Ok(counts.collect())
    }

    /// Active users of the days: of the organization and all below it, or of the whole account.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users(
        &self,
        account: &str,
        organization: Option<&str>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<ActiveUsers>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        let query = with_days(self.report_query(LICENSE_USAGE, account, organization), days);
        let rows: Vec<UsageRow> = self.fetch_all(query).await?;
        let users = rows.into_iter().map(|row| ActiveUsers {
            first_day: Day(row.first_day),
            active_users: row.active_users,
            peak_daily: row.peak_daily,
            user_days: row.user_days,
        });
        Ok(users.collect())
    }

    /// Seats assigned as they stood at each of the instants (milliseconds since 1970 UTC), by
    /// direct child of the organization, or by top-level organization: organization, instant and
    /// seats. Those of 0 may be missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn seats_by_organization(
        &self,
        account: &str,
        organization: Option<&str>,
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

    /// Active users of the days, by direct child of the organization, or by top-level organization.
    /// Organizations without any are missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users_by_organization(
        &self,
        account: &str,
        organization: Option<&str>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<(String, ActiveUsers)>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        let query = with_days(
            self.report_query(LICENSE_USAGE_BY_ORGANIZATION, account, organization),
            days,
        );
        let rows: Vec<SeriesUsageRow> = self.fetch_all(query).await?;
        let users = rows.into_iter().map(|row| {
            let users = ActiveUsers {
                first_day: Day(row.first_day),
                active_users: row.active_users,
                peak_daily: row.peak_daily,
                user_days: row.user_days,
            };
            (row.organization_id, users)
        });
        Ok(users.collect())
    }
}

/// Instants as ClickHouse reads them as a parameter of `DateTime64(3, 'UTC')`.
pub(super) fn instants(times_ms: &[i64]) -> Vec<String> {
    times_ms.iter().map(|&time_ms| instant(time_ms)).collect()
}
