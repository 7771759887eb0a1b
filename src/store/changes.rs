//! Which accounts have changed: told by the parts that ClickHouse's tables consist of.
//!
//! Parts never change once they can be read, and rows appear only with a new part, so the same parts hold the same rows;
//! no writer has to say anything, in whatever order, and with whatever crash, it writes. A merge makes a part of blocks
//! that were there before, which its name tells: `all_1_5_2` holds the blocks 1 to 5, and `all_1_5_2_7` what mutation 7
//! made of them. What is read after the parts were listed holds at least the rows of those parts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clickhouse::Row;
use serde::Deserialize;

use super::TABLES;
use super::activity::Activity;
use super::changed_seats::SeatRow;
use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Day;

const PROGRESS: &str = "source_progress";

/// New parts with more rows than this, all together, are not searched for the accounts in them.
const SEARCHED_ROWS_MAX: u64 = 1_000_000;

/// Parts that are merged away while they are looked at are listed anew, so often at most.
const LISTINGS_MAX: usize = 5;

/// How far apart the start of one and the same server may seem to lie, as told at two moments in whole seconds.
const START_SECONDS_MAX: u64 = 2;

/// The table's identity is in the path: a table that is dropped and made anew counts its blocks anew. So does, from the
/// next start of the server on, one that was emptied, or restored to what it was.
const PARTS: &str = "\
SELECT p.table AS table, p.name AS name, p.rows AS rows, toInt64(toUnixTimestamp(now())) - uptime() AS started_s, \
    extract(p.path, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}') AS table_id \
FROM system.parts AS p WHERE p.database = {database:String} AND p.active AND p.rows > 0";

/// The table of who was active where.
const ACTIVITY_TABLE: &str = "active_users_state";

const ACTIVITY: &str = "\
SELECT s.account_id AS account_id, s.organization_id AS organization_id, toInt32(s.day) AS day, \
    bitmapToArray(s.users) AS users \
FROM active_users_state AS s WHERE s._part IN {parts:Array(String)} AND s.account_id IN {accounts:Array(String)}";

#[derive(Row, Deserialize)]
pub(super) struct PartRow {
    table: String,
    pub(super) name: String,
    rows: u64,
    started_s: i64,
    table_id: String,
}

#[derive(Row, Deserialize)]
struct ActivityRow {
    account_id: String,
    organization_id: String,
    day: i32,
    users: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct AccountRow {
    part: String,
    account_id: String,
    earliest_seat_ms: i64,
    latest_ms: i64,
    days: Vec<i32>,
}

/// Tables that reports read together: a change of one is no change for reports that read other groups only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableGroup {
    /// Names, parents and time zones, and which organizations there are.
    Directory,
    /// Seats purchased, allocated, assigned and used.
    Seats,
    /// Users active by day.
    ActiveUsers,
    /// Test executions, plans and the use of their quota.
    Tests,
}

impl TableGroup {
    /// Every group.
    pub const ALL: [Self; 4] = [Self::Directory, Self::Seats, Self::ActiveUsers, Self::Tests];

    /// The group of a table; `None` of one that no report on an account reads.
    pub fn of(table: &str) -> Option<Self> {
        Some(match table {
            "directory_state" | "organizations_seen" | "zone_facts" => Self::Directory,
            "license_facts" | "seat_facts" | "seat_usage_state" => Self::Seats,
            "active_users_by_account_state" | "active_users_state" => Self::ActiveUsers,
            "plan_facts" | "quota_usage_state" | "test_executions_state" => Self::Tests,
            _ => return None,
        })
    }
}

/// An account with new rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedAccount {
    /// The account.
    pub account: String,
    /// The groups of the tables that have them.
    pub groups: BTreeSet<TableGroup>,
    /// From when on the rows change anything about seats, milliseconds since 1970 UTC; the greatest value where they do not.
    pub earliest_seat_ms: i64,
    /// The latest time of a fact or use among the rows, milliseconds since 1970 UTC; the least value where they have none.
    pub latest_ms: i64,
    /// The days on which users were active, among the rows.
    pub active_days: BTreeSet<Day>,
}

/// Accounts whose changes are told row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Accounts whose new activity is read.
    pub activity: Vec<String>,
    /// Accounts whose new rows about seats are read.
    pub seats: Vec<String>,
}

/// What has changed since the parts were last listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The new activity of the accounts that were followed, by account; it is all there is if `accounts` is known.
    pub activity: HashMap<String, Vec<Activity>>,
    /// The rows about seats in the new parts, by account, of those that were followed; so they are all new ones, and perhaps
    /// others, if `accounts` is known. `None` where they are too many to be told.
    pub seats: Option<HashMap<String, Vec<SeatRow>>>,
    /// Accounts with new rows; `None` where it may be any account.
    pub accounts: Option<Vec<ChangedAccount>>,
    /// The progress may have moved.
    pub progress: bool,
}

/// The parts of all tables at a moment.
#[derive(Clone, Debug, Default)]
pub struct PartsSeen {
    tables: BTreeMap<String, Blocks>,
    /// When the server started, seconds since 1970 UTC, about.
    started_s: i64,
}

/// The blocks of rows that a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Blocks {
    table_id: String,
    /// By mutation, 0 = none: disjoint ranges, both ends inclusive, ascending, with a gap between any two.
    ranges: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl Blocks {
    fn add(&mut self, mutation: u64, first: u64, last: u64) {
        let ranges = self.ranges.entry(mutation).or_default();
        ranges.push((first, last));
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joined = next.0 <= kept.1.saturating_add(1);
            if joined {
                kept.1 = kept.1.max(next.1);
            }
            joined
        });
    }

    fn hold(&self, mutation: u64, first: u64, last: u64) -> bool {
        let ranges = self.ranges.get(&mutation).map_or(&[][..], Vec::as_slice);
        ranges.iter().any(|range| range.0 <= first && last <= range.1)
    }

    /// Whether all blocks of the other are here, in the same table and after the same mutation.
    fn hold_all(&self, other: &Blocks) -> bool {
        let mut ranges =
            other.ranges.iter().flat_map(|(&mutation, ranges)| ranges.iter().map(move |range| (mutation, range)));
        self.table_id == other.table_id && ranges.all(|(mutation, range)| self.hold(mutation, range.0, range.1))
    }
}

/// Mutation, first and last block of a part by its name; `None` where it is another kind of name.
fn blocks_of(name: &str) -> Option<(u64, u64, u64)> {
    let mut fields = name.strip_prefix("all_")?.split('_').map(|field| field.parse::<u64>().ok());
    let (first, last, _level) = (fields.next()??, fields.next()??, fields.next()??);
    let mutation = match fields.next() {
        None => 0,
        Some(mutation) => mutation?,
    };
    fields.next().is_none().then_some((mutation, first, last))
}

impl Store {
    /// Whether [`Self::changes_since`] tells all: on a cluster each request may be answered by another replica, which may
    /// not have the parts that the one before it had.
    pub fn tells_changes(&self) -> bool {
        self.cluster().is_none()
    }

    /// What has changed since `seen`, with the rows of the accounts `followed`, and the parts of now. Whatever is read
    /// afterwards holds at least the rows of these.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn changes_since(
        &self,
        seen: &PartsSeen,
        followed: &Followed,
    ) -> Result<(PartsSeen, Changes), StoreError> {
        for _ in 1..LISTINGS_MAX {
            let (now, changes, is_merged) = self.changes_once(seen, followed).await?;
            if !is_merged {
                return Ok((now, changes));
            }
        }
        let (now, changes, _) = self.changes_once(seen, followed).await?;
        Ok((now, changes))
    }

    /// What has changed, and whether it cannot be told because a part was merged away while the parts were looked at.
    async fn changes_once(
        &self,
        seen: &PartsSeen,
        followed: &Followed,
    ) -> Result<(PartsSeen, Changes, bool), StoreError> {
        let query = self.read(PARTS).param("database", &self.target().database);
        let parts: Vec<PartRow> = self.fetch_all(query).await?;
        let mut now = PartsSeen::default();
        let mut known = true;
        for part in &parts {
            now.started_s = part.started_s;
            let blocks = now.tables.entry(part.table.clone()).or_default();
            blocks.table_id.clone_from(&part.table_id);
            match blocks_of(&part.name) {
                Some((mutation, first, last)) => blocks.add(mutation, first, last),
                None => known = false,
            }
        }
        // Where the server was started anew, a block of the same number may be another one.
        let same_start = now.started_s.abs_diff(seen.started_s) <= START_SECONDS_MAX;
        let progress = !same_start || now.tables.get(PROGRESS) != seen.tables.get(PROGRESS);
        // Rows that are no longer there, or not as they were: nobody but an operator does that, to any of them.
        let kept = same_start
            && seen.tables.iter().all(|(table, old)| now.tables.get(table).is_some_and(|new| new.hold_all(old)));
        let mut changes = Changes { activity: HashMap::new(), seats: None, accounts: None, progress };
        if !known || !kept || seen.tables.is_empty() {
            return Ok((now, changes, false));
        }
        let new = new_parts(&parts, seen);
        if new.values().flatten().map(|part| part.rows).sum::<u64>() > SEARCHED_ROWS_MAX {
            return Ok((now, changes, false));
        }
        // Before the accounts: where those are found in every part, no part was missing a moment ago.
        (changes.activity, changes.seats) =
            tokio::try_join!(self.activity_in(&new, &followed.activity), self.seat_rows_in(&new, &followed.seats))?;
        changes.accounts = self.accounts_in(&new).await?;
        let is_merged = changes.accounts.is_none();
        Ok((now, changes, is_merged))
    }

    /// The activity of the accounts in the parts, as far as these are still there.
    async fn activity_in(
        &self,
        parts: &BTreeMap<&str, Vec<&PartRow>>,
        followed: &[String],
    ) -> Result<HashMap<String, Vec<Activity>>, StoreError> {
        let mut activity: HashMap<String, Vec<Activity>> = HashMap::new();
        let Some(parts) = parts.get(ACTIVITY_TABLE).filter(|_| !followed.is_empty()) else { return Ok(activity) };
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let query = self.read(ACTIVITY).param("parts", names).param("accounts", followed);
        for row in self.fetch_all::<ActivityRow>(query).await? {
            let news = Activity { organization: row.organization_id, day: Day(row.day), users: row.users };
            activity.entry(row.account_id).or_default().push(news);
        }
        Ok(activity)
    }

    /// The accounts in the parts, given by table; `None` where a part has been merged away, and has told nothing.
    async fn accounts_in(
        &self,
        parts: &BTreeMap<&str, Vec<&PartRow>>,
    ) -> Result<Option<Vec<ChangedAccount>>, StoreError> {
        if parts.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let each: Vec<String> = parts.keys().enumerate().map(|(index, table)| accounts_sql(table, index)).collect();
        let mut query = self.read(&each.join(" UNION ALL "));
        for (index, parts) in parts.values().enumerate() {
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            query = query.param(&format!("parts_{index}"), names);
        }
        let rows: Vec<AccountRow> = self.fetch_all(query).await?;
        let expected =
            parts.iter().flat_map(|(table, parts)| parts.iter().map(move |part| format!("{table}/{}", part.name)));
        let told: std::collections::HashSet<&str> = rows.iter().map(|row| row.part.as_str()).collect();
        if !expected.into_iter().all(|part| told.contains(part.as_str())) {
            return Ok(None);
        }
        let mut changed: BTreeMap<String, ChangedAccount> = BTreeMap::new();
        for row in rows {
            let account = changed.entry(row.account_id).or_insert_with_key(|account| ChangedAccount {
                account: account.clone(),
                groups: BTreeSet::new(),
                earliest_seat_ms: i64::MAX,
                latest_ms: i64::MIN,
                active_days: BTreeSet::new(),
            });
            let table = row.part.split_once('/').map_or("", |(table, _)| table);
            account.groups.extend(TableGroup::of(table));
            account.earliest_seat_ms = account.earliest_seat_ms.min(row.earliest_seat_ms);
            account.latest_ms = account.latest_ms.max(row.latest_ms);
            account.active_days.extend(row.days.into_iter().map(Day));
        }
        Ok(Some(changed.into_values().collect()))
    }

    /// The latest time of a fact or use of the account, milliseconds since 1970 UTC; no later instant differs from any
    /// other by what had happened before it.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn latest_ms(&self, account: &str) -> Result<i64, StoreError> {
        let timed = TABLES.iter().filter_map(|table| Some((table, time_column(table)?)));
        let each = timed.map(|(table, column)| {
            format!("SELECT max({column}) AS latest FROM {table} AS s WHERE s.account_id = {{account:String}}")
        });
        let each: Vec<String> = each.collect();
        let sql = format!("SELECT toUnixTimestamp64Milli(max(t.latest)) FROM ({}) AS t", each.join(" UNION ALL "));
        self.within(self.read(&sql).param("account", account).fetch_one()).await
    }
}

/// The parts with rows that were not there before, by table; of those tables that reports on accounts read.
fn new_parts<'p>(parts: &'p [PartRow], seen: &PartsSeen) -> BTreeMap<&'p str, Vec<&'p PartRow>> {
    let mut new: BTreeMap<&str, Vec<&PartRow>> = BTreeMap::new();
    for part in parts {
        let reported = TableGroup::of(&part.table).is_some();
        let known = || {
            let (mutation, first, last) = blocks_of(&part.name)?;
            Some(seen.tables.get(&part.table)?.hold(mutation, first, last))
        };
        if reported && known() != Some(true) {
            new.entry(part.table.as_str()).or_default().push(part);
        }
    }
    new
}

fn accounts_sql(table: &str, index: usize) -> String {
    let latest = time_column(table).map_or_else(
        || format!("toInt64({})", i64::MIN + 1),
        |column| format!("toUnixTimestamp64Milli(max({column}))"),
    );
    let earliest = seat_time_column(table)
        .map_or_else(|| format!("toInt64({})", i64::MAX), |column| format!("toUnixTimestamp64Milli(min({column}))"));
    let days = match table {
        "active_users_state" | "active_users_by_account_state" => "groupUniqArray(toInt32(s.day))",
        _ => "CAST([] AS Array(Int32))",
    };
    format!(
        "SELECT concat('{table}/', s._part) AS part, s.account_id AS account_id, \
            {earliest} AS earliest_seat_ms, {latest} AS latest_ms, {days} AS days \
         FROM {table} AS s \
         WHERE s._part IN {{parts_{index}:Array(String)}} GROUP BY part, account_id"
    )
}

/// What decides whether a row of the table had happened at an instant.
fn time_column(table: &str) -> Option<&'static str> {
    match table {
        "license_facts" | "plan_facts" | "seat_facts" => Some("s.time"),
        // Rows of one interval: the earliest use counts, and no use is earlier.
        "seat_usage_state" => Some("greatest(s.start, s.first_active, s.last_active)"),
        _ => None,
    }
}

/// From when on a row of the table changes how seats stand. A fact ends the interval before it, and opens one; a use
/// activates a seat if no earlier one does, and then its interval's end, which is later, is that of an activated one.
fn seat_time_column(table: &str) -> Option<&'static str> {
    match table {
        "license_facts" | "seat_facts" => Some("s.time"),
        "seat_usage_state" => Some("s.first_active"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(ranges: &[(u64, u64, u64)]) -> Blocks {
        let mut blocks = Blocks::default();
        for &(mutation, first, last) in ranges {
            blocks.add(mutation, first, last);
        }
        blocks
    }

    #[test]
    fn names_tell_the_blocks() {
        assert_eq!(blocks_of("all_1_5_2"), Some((0, 1, 5)));
        assert_eq!(blocks_of("all_0_0_0_7"), Some((7, 0, 0)));
        for other in ["202601_1_5_2", "all_1_5", "all_1_5_2_7_9", "all_a_5_2", "patch-x_all_1_5_2", ""] {
            assert_eq!(blocks_of(other), None, "{other}");
        }
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(blocks(&[(0, 4, 4), (0, 1, 2), (0, 3, 3)]).ranges[&0], [(1, 4)]);
        assert_eq!(blocks(&[(0, 1, 1), (0, 3, 3)]).ranges[&0], [(1, 1), (3, 3)]);
        assert_eq!(blocks(&[(0, 1, 9), (0, 2, 3)]).ranges[&0], [(1, 9)]);
    }

    #[test]
    fn a_merge_is_nothing_new_and_a_block_or_a_mutation_is() {
        let seen = blocks(&[(0, 1, 5), (0, 7, 7)]);
        assert!(seen.hold(0, 1, 5) && seen.hold(0, 2, 3) && seen.hold(0, 7, 7));
        assert!(!seen.hold(0, 1, 7), "block 6 may have been written meanwhile");
        assert!(!seen.hold(0, 8, 8));
        assert!(!seen.hold(9, 1, 5), "a mutation made other rows of them");
        let merged = blocks(&[(0, 1, 7)]);
        assert!(merged.hold_all(&seen));
        assert!(!seen.hold_all(&merged));
        assert!(!blocks(&[(9, 1, 7)]).hold_all(&seen), "rows that are no longer as they were");
        let recreated = Blocks { table_id: "other".to_owned(), ..seen.clone() };
        assert!(!recreated.hold_all(&seen));
    }
}
