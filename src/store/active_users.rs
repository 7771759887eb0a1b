//! Active users of ranges of days, in one query over the bitmaps. The views `license_usage` and
//! `license_usage_by_organization` say the same to analysts; a test holds them together.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::scope::{Scope, Series};
use crate::core::calendar::Day;
use crate::report::licenses::ActiveUsers;
use crate::report::period::DayRanges;

/// Each day's bitmaps are merged once, and all counts are read off the merged bitmap. `$series`
/// numbers the series of a row, `$table` and `$filter` say whose bitmaps are read.
const ACTIVE_USERS: &str = "\
SELECT d.series AS series, \
    toInt32(arrayLast(first -> first <= d.day, {first_days:Array(Date)})) AS first_day, \
    groupBitmapMerge(d.merged_users) AS active_users, \
    max(d.active_users) AS peak_daily, \
    sum(d.active_users) AS user_days \
FROM \
( \
    SELECT $series AS series, s.day AS day, groupBitmapMergeState(s.users) AS merged_users, \
        finalizeAggregation(merged_users) AS active_users \
    FROM $table AS s \
    WHERE s.account_id = {account:String}$filter \
        AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date} \
    GROUP BY series, s.day \
) AS d \
GROUP BY series, first_day";

#[derive(Row, Deserialize)]
struct UsageRow {
    series: u32,
    first_day: i32,
    active_users: u64,
    peak_daily: u64,
    user_days: u64,
}

impl Store {
    /// Active users of the days, of the scope together; ranges without any may be missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users_in(
        &self,
        account: &str,
        organization: Option<&str>,
        scope: &Scope<'_>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<ActiveUsers>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        if !scope.fits() {
            return self.active_users(account, organization, Some(days)).await;
        }
        let query = match scope {
            Scope::Account => {
                self.active_users_query("active_users_by_account_state", "toUInt32(0)", None)
            }
            Scope::Organizations(ids) => {
                self.active_users_query("active_users_state", "toUInt32(0)", Some(ids))
            }
        };
        let rows: Vec<UsageRow> =
            self.fetch_all(with_days(query.param("account", account), days)).await?;
        Ok(rows.into_iter().map(ActiveUsers::from).collect())
    }

    /// Active users of the days, of each series by its organization; ranges without any may be
    /// missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users_by_series(
        &self,
        account: &str,
        series: &Series<'_>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<(String, ActiveUsers)>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        if series.heads.is_empty() {
            return Ok(Vec::new());
        }
        let index = "transform(s.organization_id, {organizations:Array(String)}, \
            {indices:Array(UInt32)}, toUInt32(0))";
        let query =
            self.active_users_query("active_users_state", index, Some(series.organizations()));
        let query = query.param("account", account).param("indices", series.indices());
        let rows: Vec<UsageRow> = self.fetch_all(with_days(query, days)).await?;
        let head =
            |index: u32| series.heads.get(index as usize).copied().unwrap_or_default().to_owned();
        Ok(rows.into_iter().map(|row| (head(row.series), row.into())).collect())
    }

    fn active_users_query(
        &self,
        table: &str,
        series: &str,
        organizations: Option<&[&str]>,
    ) -> Query {
        let filter =
            organizations.map_or("", |_| " AND s.organization_id IN {organizations:Array(String)}");
        let sql = ACTIVE_USERS
            .replace("$series", series)
            .replace("$table", table)
            .replace("$filter", filter);
        let query = self.read(&sql);
        if let Some(organizations) = organizations {
            query.param("organizations", organizations)
        } else {
            query
        }
    }
}

impl From<UsageRow> for ActiveUsers {
    fn from(row: UsageRow) -> Self {
        Self {
            first_day: Day(row.first_day),
            active_users: row.active_users,
            peak_daily: row.peak_daily,
            user_days: row.user_days,
        }
    }
}
