//! Active users of ranges of days, in one query over the bitmaps. The views `license_usage` and
//! `license_usage_by_organization` say the same to analysts; a test holds them together.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::scope::Who;
use crate::core::calendar::Day;
use crate::report::license_usage::{ActiveUserCounts, PeriodUsers};
use crate::report::period::DayRanges;
use crate::report::usage_parts::RangeUsers;

/// Each bitmap is merged once: those of a day first, of which ranges of days are made, and of these
/// the whole. All counts are read off the merged bitmaps. `$series` numbers the series of a row,
/// `$table` and `$filter` say whose bitmaps are read, `$users` what is told of the whole.
const ACTIVE_USERS: &str = "\
SELECT r.series AS series, $users, \
    groupArray((r.first_day, r.active_users, r.peak_daily, r.peak_day, r.user_days)) AS ranges \
FROM \
( \
    SELECT d.series AS series, \
        toInt32(arrayLast(first -> first <= d.day, {first_days:Array(Date)})) AS first_day, \
        groupBitmapMergeState(d.day_users) AS users, finalizeAggregation(users) AS active_users, \
        max(d.active_users) AS peak_daily, \
        argMax(toInt32(d.day), (d.active_users, -toInt32(d.day))) AS peak_day, \
        sum(d.active_users) AS user_days \
    FROM \
    ( \
        SELECT $series AS series, s.day AS day, groupBitmapMergeState(s.users) AS day_users, \
            finalizeAggregation(day_users) AS active_users \
        FROM $table AS s \
        WHERE s.account_id = {account:String}$filter \
            AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date} \
        GROUP BY series, s.day \
    ) AS d \
    GROUP BY series, first_day \
) AS r \
GROUP BY series";

#[derive(Row, Deserialize)]
struct ActiveUsersRow {
    series: u32,
    distinct: u64,
    ranges: Vec<RangeRow>,
}

#[derive(Row, Deserialize)]
struct PartRow {
    series: u32,
    users: Vec<u64>,
    ranges: Vec<RangeRow>,
}

/// Progress of one source on the users of a day.
#[derive(Row, Deserialize)]
struct DayRow {
    day: i32,
    upto: u64,
}

const COUNT: &str = "groupBitmapMerge(r.users) AS distinct";
const KEYS: &str = "bitmapToArray(groupBitmapMergeState(r.users)) AS users";

const DAYS: &str = "\
SELECT toInt32(d.day) AS day, max(d.upto) AS upto \
FROM active_days AS d \
WHERE d.account_id = {account:String} \
    AND d.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date} \
GROUP BY d.day, d.source";

/// First day, distinct users, those of the busiest day, that day, and the sum over the days.
pub(super) type RangeRow = (i32, u64, u64, i32, u64);

impl Store {
    /// Active users of the days, of each series by its organization; a series without any is
    /// missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn active_users_of(
        &self,
        account: &str,
        who: &Who<'_>,
        days: &DayRanges,
    ) -> Result<Vec<(String, PeriodUsers)>, StoreError> {
        if who.is_nobody() {
            return Ok(Vec::new());
        }
        let rows: Vec<ActiveUsersRow> =
            self.fetch_all(self.users_query(COUNT, account, who, days)).await?;
        let users = rows
            .into_iter()
            .map(|row| (who.head(row.series), period_users(row.distinct, row.ranges)));
        Ok(users.collect())
    }

    /// The same with the keys of the users. Whatever is kept of it has to be kept under
    /// [`Self::day_versions`], read before.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn user_keys_of(
        &self,
        account: &str,
        who: &Who<'_>,
        days: &DayRanges,
    ) -> Result<HashMap<String, RangeUsers>, StoreError> {
        if who.is_nobody() {
            return Ok(HashMap::new());
        }
        // What the versions of the days stand for may have been stored after the last sync.
        self.sync_table(who.users_table()).await?;
        let rows: Vec<PartRow> = self.fetch_all(self.users_query(KEYS, account, who, days)).await?;
        let part = |mut row: PartRow| {
            // Of few keys the engine has no order.
            row.users.sort_unstable();
            let ranges = period_users(0, row.ranges).buckets;
            (who.head(row.series), RangeUsers { ranges, users: row.users })
        };
        Ok(rows.into_iter().map(part).collect())
    }

    /// How far the users of each of the days are stored: a number that grows whenever any of them
    /// are added. A day of which nothing is stored is missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn day_versions(
        &self,
        account: &str,
        days: &DayRanges,
    ) -> Result<BTreeMap<Day, u64>, StoreError> {
        self.sync_table("active_days").await?;
        let query = with_days(self.read(DAYS).param("account", account), days);
        let mut versions: BTreeMap<Day, u64> = BTreeMap::new();
        for row in self.fetch_all::<DayRow>(query).await? {
            let version = versions.entry(Day(row.day)).or_default();
            *version = version.saturating_add(row.upto);
        }
        Ok(versions)
    }

    fn users_query(&self, users: &str, account: &str, who: &Who<'_>, days: &DayRanges) -> Query {
        let sql = ACTIVE_USERS
            .replace("$users", users)
            .replace("$series", &who.index_of("s.organization_id"))
            .replace("$table", who.users_table())
            .replace("$filter", who.filter());
        // The rows of a day stand together, so that one bitmap after the other is made.
        let query = self.read(&sql).with_setting("optimize_aggregation_in_order", "1");
        with_days(who.bind(query).param("account", account), days)
    }
}

/// The users of a period, from a row about it.
pub(super) fn period_users(distinct: u64, ranges: Vec<RangeRow>) -> PeriodUsers {
    let range = |(first_day, active_users, peak_daily, peak_day, user_days)| ActiveUserCounts {
        first_day: Day(first_day),
        active_users,
        peak_daily,
        peak_day: Day(peak_day),
        user_days,
    };
    PeriodUsers { distinct, buckets: ranges.into_iter().map(range).collect() }
}
