//! Active users of ranges of days, in one query over the bitmaps. The views `license_usage` and
//! `license_usage_by_organization` say the same to analysts; a test holds them together.

use std::collections::{BTreeMap, HashMap};

use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::with_days;
use super::scope::Who;
use crate::core::calendar::Day;
use crate::report::license_usage::{ActiveUserCounts, PeriodUsers};
use crate::report::period::DayRanges;
use crate::report::usage_parts::RangeUsers;

/// Users of a day are merged first, of which ranges of days are made, and of these the whole; all
/// counts are read off what is merged. `$series` numbers the series of a row, `$table` and
/// `$filter` say whose users are read, the others come from [`Merging`] and [`Whole`].
const ACTIVE_USERS: &str = "\
SELECT r.series AS series, $whole, \
    groupArray((r.first_day, r.active_users, r.peak_daily, r.peak_day, r.user_days)) AS ranges \
FROM \
( \
    SELECT d.series AS series, \
        toInt32(arrayLast(first -> first <= d.day, {first_days:Array(Date)})) AS first_day, \
        $range_users AS users, $range_count AS active_users, \
        max(d.active_users) AS peak_daily, \
        argMax(toInt32(d.day), (d.active_users, -toInt32(d.day))) AS peak_day, \
        sum(d.active_users) AS user_days \
    FROM \
    ( \
        SELECT $series AS series, s.day AS day, $day_users AS day_users, \
            $day_count AS active_users \
        FROM $table AS s \
        WHERE s.account_id = {account:String}$filter \
            AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date} \
        GROUP BY series, s.day \
    ) AS d \
    GROUP BY series, first_day \
) AS r \
GROUP BY series";

/// How users are merged.
struct Merging {
    day_users: &'static str,
    day_count: &'static str,
    range_users: &'static str,
    range_count: &'static str,
    /// Number of the users of the whole.
    whole_count: &'static str,
    /// Their keys, in any order.
    whole_keys: &'static str,
    /// Settings of its own.
    settings: &'static [(&'static str, &'static str)],
}

/// As bitmaps, in little memory. The rows of a day stand together, so that one bitmap after the
/// other is made.
const BITMAPS: Merging = Merging {
    day_users: "groupBitmapMergeState(s.users)",
    day_count: "finalizeAggregation(day_users)",
    range_users: "groupBitmapMergeState(d.day_users)",
    range_count: "finalizeAggregation(users)",
    whole_count: "groupBitmapMerge(r.users)",
    whole_keys: "bitmapToArray(groupBitmapMergeState(r.users))",
    settings: &[("optimize_aggregation_in_order", "1")],
};

/// As lists, of which repetitions are dropped. To merge many bitmaps of few users each takes half
/// again as much of ClickHouse's time, but a third of the memory.
const LISTS: Merging = Merging {
    day_users: "groupArrayArray(bitmapToArray(s.users))",
    day_count: "toUInt64(arrayUniq(day_users))",
    range_users: "arrayDistinct(groupArrayArray(d.day_users))",
    range_count: "toUInt64(length(users))",
    whole_count: "toUInt64(arrayUniq(groupArrayArray(r.users)))",
    whole_keys: "arrayDistinct(groupArrayArray(r.users))",
    settings: &[],
};

/// What is told of the whole.
#[derive(Clone, Copy)]
enum Whole {
    Count,
    Keys,
}

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
        let rows: Vec<ActiveUsersRow> = self.users(Whole::Count, account, who, days).await?;
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
        let rows: Vec<PartRow> = self.users(Whole::Keys, account, who, days).await?;
        let part = |mut row: PartRow| {
            // The engine has no order of them.
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

    /// A row for each series. Those of series are merged as lists where these fit into the memory
    /// for them, else as bitmaps; the account has one large bitmap for each day.
    async fn users<R: RowOwned + RowRead>(
        &self,
        whole: Whole,
        account: &str,
        who: &Who<'_>,
        days: &DayRanges,
    ) -> Result<Vec<R>, StoreError> {
        if matches!(who, Who::Series(_)) {
            let query = self.users_query((whole, &LISTS), account, who, days);
            let memory_max = self.user_lists_max_bytes().to_string();
            match self.fetch_all(query.with_setting("max_memory_usage", memory_max)).await {
                Err(error) if error.is_too_large() => {}
                done => return done,
            }
        }
        self.fetch_all(self.users_query((whole, &BITMAPS), account, who, days)).await
    }

    fn users_query(
        &self,
        (whole, merging): (Whole, &Merging),
        account: &str,
        who: &Who<'_>,
        days: &DayRanges,
    ) -> Query {
        let whole = match whole {
            Whole::Count => format!("{} AS distinct", merging.whole_count),
            Whole::Keys => format!("{} AS users", merging.whole_keys),
        };
        let sql = ACTIVE_USERS
            .replace("$whole", &whole)
            .replace("$range_users", merging.range_users)
            .replace("$range_count", merging.range_count)
            .replace("$day_users", merging.day_users)
            .replace("$day_count", merging.day_count)
            .replace("$series", &who.index_of("s.organization_id"))
            .replace("$table", who.users_table())
            .replace("$filter", who.filter());
        let settings = merging.settings.iter();
        let query = settings
            .fold(self.read(&sql), |query, (name, value)| query.with_setting(*name, *value));
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
