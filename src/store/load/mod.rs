//! Loads what a lane lacks: one query per table, rows merged in SQL by their full key, never by
//! background merges.

mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};

use self::queries::{
    LAST_EXECUTIONS, LAST_QUOTA_USAGE, ORGANIZATIONS, PLAN_FACTS, QUOTA_USAGE, SEAT_FACT_COUNTS,
    SEAT_FACTS, SEAT_FACTS_OF_ACCOUNTS, SEAT_USAGE, SEAT_USAGE_OF_ACCOUNTS, TEST_EXECUTIONS,
    ZONE_FACTS,
};
use super::client::Store;
use super::error::StoreError;
use super::rows::{plan_kind, seat_kind};
use crate::core::calendar::{Day, Zone};
use crate::core::id::Id;
use crate::core::load::{AccountExtent, Loaded, Missing};
use crate::core::rollup::{
    ExecutionCount, OrganizationSeen, PlanFact, QuotaUsage, SeatFact, SeatUsage, Source,
    TestExecutions, ZoneFact,
};

/// Bytes of keys that one query carries, at most. ClickHouse refuses a form field of more than 128
/// KiB (`http_max_field_value_size`), and the margin leaves room for escapes: each byte of an id
/// may become two.
const KEYS_BYTES_MAX: usize = 48 * 1024;

/// Seat facts of an account whose seats are all loaded at once, at most. Those of a larger one are
/// loaded as its users turn up, so that an account of a million seats does not fill the memory of a
/// lane that meets three of them.
const ACCOUNT_FACTS_MAX: u64 = 20_000;

/// Seat facts of the accounts that one load takes whole, together, at most.
const LOAD_FACTS_MAX: u64 = 200_000;

impl Store {
    /// Loads everything that `missing` names: facts of every source, counters of `source` alone. Of
    /// an account with few seats it loads all of them, so that its users need not be asked for one
    /// by one.
    ///
    /// The tables are read at slightly different moments, which the lane is built for: facts of its
    /// own source at or beyond its position are its to forget.
    ///
    /// # Errors
    /// Where any query fails; a partial answer is never given.
    pub async fn load(&self, source: &Source, missing: &Missing) -> Result<Loaded, StoreError> {
        let accounts: Vec<String> = missing.accounts.iter().map(Id::to_string).collect();
        // Who has met the accounts, and how far they have counted, is known before any fact is
        // read.
        let (met_by, moves_away, extents, organizations) = tokio::try_join!(
            self.load_met_by(&accounts, source),
            self.load_moves_away(&accounts, source),
            self.load_extents(&accounts, source),
            self.load_facts::<_, OrganizationRow>(ORGANIZATIONS, &accounts),
        )?;
        let known: BTreeMap<&Id, &AccountExtent> =
            extents.iter().map(|extent| (&extent.account, extent)).collect();
        let whole: Vec<String> = extents
            .iter()
            .filter(|extent| extent.has_all_seats)
            .map(|extent| extent.account.to_string())
            .collect();
        let users: Vec<(String, String)> = missing
            .users
            .iter()
            .filter(|(account, _)| !known.get(account).is_some_and(|extent| extent.has_all_seats))
            .map(|(account, user)| (account.to_string(), user.to_string()))
            .collect();
        let counters: Vec<(String, String, i32)> = missing
            .counters
            .iter()
            .filter(|block| {
                known
                    .get(&block.account)
                    .is_none_or(|extent| extent.last_counted >= Some(block.month))
            })
            .map(|block| (block.account.to_string(), block.organization.to_string(), block.month.0))
            .collect();
        let read = tokio::try_join!(
            self.load_hours(&missing.hours, source),
            self.load_facts::<_, ZoneRow>(ZONE_FACTS, &accounts),
            self.load_facts::<_, PlanFactRow>(PLAN_FACTS, &accounts),
            self.load_facts::<_, SeatFactRow>(SEAT_FACTS_OF_ACCOUNTS, &whole),
            self.load_facts::<_, SeatUsageRow>(SEAT_USAGE_OF_ACCOUNTS, &whole),
            self.load_facts::<_, SeatFactRow>(SEAT_FACTS, &users),
            self.load_facts::<_, SeatUsageRow>(SEAT_USAGE, &users),
            self.load_counters::<ExecutionsRow>(TEST_EXECUTIONS, &counters, source),
            self.load_counters::<QuotaUsageRow>(QUOTA_USAGE, &counters, source),
        )?;
        let (hours, zones, plans, all_facts, all_usage, facts, usage, executions, quota) = read;
        let facts = all_facts.into_iter().chain(facts);
        Ok(Loaded {
            zone_facts: zones
                .into_iter()
                .map(|row| self.zone_fact(row))
                .collect::<Result<_, _>>()?,
            plan_facts: plans
                .into_iter()
                .map(|row| self.plan_fact(row))
                .collect::<Result<_, _>>()?,
            organizations: organizations.into_iter().map(OrganizationSeen::from).collect(),
            seat_facts: facts.map(|row| self.seat_fact(row)).collect::<Result<_, _>>()?,
            seat_usage: all_usage.into_iter().chain(usage).map(SeatUsage::from).collect(),
            test_executions: executions.into_iter().map(TestExecutions::from).collect(),
            quota_usage: quota.into_iter().map(QuotaUsage::from).collect(),
            audited_hours: hours,
            extents,
            met_by,
            moves_away,
        })
    }

    /// Number of entries of each account. An account without any seat or counter is answered too.
    async fn load_extents(
        &self,
        accounts: &[String],
        source: &Source,
    ) -> Result<Vec<AccountExtent>, StoreError> {
        let (facts, executions, quota) = tokio::try_join!(
            self.load_facts::<_, FactCountRow>(SEAT_FACT_COUNTS, accounts),
            self.load_last_days(LAST_EXECUTIONS, accounts, source),
            self.load_last_days(LAST_QUOTA_USAGE, accounts, source),
        )?;
        let facts: BTreeMap<String, u64> =
            facts.into_iter().map(|row| (row.account_id, row.facts)).collect();
        let mut last_days: BTreeMap<String, i32> = BTreeMap::new();
        for LastDayRow { account_id, day } in executions.into_iter().chain(quota) {
            let last = last_days.entry(account_id).or_insert(day);
            *last = day.max(*last);
        }
        let mut loads_facts = 0;
        let extent = |account: &String| {
            let facts = facts.get(account).copied().unwrap_or(0);
            let has_all_seats = facts <= ACCOUNT_FACTS_MAX && loads_facts + facts <= LOAD_FACTS_MAX;
            if has_all_seats {
                loads_facts += facts;
            }
            let last_counted = last_days.get(account).map(|&day| Day(day).year_month());
            AccountExtent { account: Id::from_text(account), has_all_seats, last_counted }
        };
        Ok(accounts.iter().map(extent).collect())
    }

    async fn load_last_days(
        &self,
        sql: &'static str,
        accounts: &[String],
        source: &Source,
    ) -> Result<Vec<LastDayRow>, StoreError> {
        let mut rows = Vec::new();
        for chunk in chunks(accounts) {
            rows.extend(
                self.fetch_all(
                    self.read_only(sql).param("keys", chunk).param("source", source.as_str()),
                )
                .await?,
            );
        }
        Ok(rows)
    }

    /// Runs a query for all keys, in as many requests as their size asks for.
    async fn load_facts<K: Key, R: RowOwned + RowRead>(
        &self,
        sql: &'static str,
        keys: &[K],
    ) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        for chunk in chunks(keys) {
            rows.extend(self.fetch_all::<R>(self.read_only(sql).param("keys", chunk)).await?);
        }
        Ok(rows)
    }

    /// The same for counters, which are of one source, and whose organizations lead the primary
    /// key.
    async fn load_counters<R: RowOwned + RowRead>(
        &self,
        sql: &'static str,
        keys: &[(String, String, i32)],
        source: &Source,
    ) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        for chunk in chunks(keys) {
            let owners: BTreeSet<_> =
                chunk.iter().map(|(account, organization, _)| (account, organization)).collect();
            let query = self
                .read_only(sql)
                .param("keys", chunk)
                .param("owners", owners.into_iter().collect::<Vec<_>>())
                .param("source", source.as_str());
            rows.extend(self.fetch_all::<R>(query).await?);
        }
        Ok(rows)
    }

    fn zone_fact(&self, row: ZoneRow) -> Result<ZoneFact, StoreError> {
        let zone: Zone = row.timezone.parse().map_err(|_| {
            self.target()
                .unreadable(format!("zone_facts holds the unknown time zone '{}'", row.timezone))
        })?;
        Ok(ZoneFact {
            account: Id::from_text(&row.account_id),
            time_ms: row.time_ms,
            source: Arc::from(row.source),
            offset: row.offset,
            zone,
        })
    }

    fn plan_fact(&self, row: PlanFactRow) -> Result<PlanFact, StoreError> {
        let kind = plan_kind(row.kind).ok_or_else(|| {
            self.target().unreadable(format!("plan_facts holds the unknown kind {}", row.kind))
        })?;
        Ok(PlanFact {
            account: Id::from_text(&row.account_id),
            organization: Id::from_text(&row.organization_id),
            time_ms: row.time_ms,
            source: Arc::from(row.source),
            offset: row.offset,
            kind,
            plan: Id::from_text(&row.plan),
            monthly_quota: row.monthly_quota,
        })
    }

    fn seat_fact(&self, row: SeatFactRow) -> Result<SeatFact, StoreError> {
        let kind = seat_kind(row.kind).ok_or_else(|| {
            self.target().unreadable(format!("seat_facts holds the unknown kind {}", row.kind))
        })?;
        Ok(SeatFact {
            account: Id::from_text(&row.account_id),
            organization: Id::from_text(&row.organization_id),
            user: Id::from_text(&row.user_id),
            time_ms: row.time_ms,
            kind,
            source: Arc::from(row.source),
            offset: row.offset,
            project: optional_id(&row.project_id),
            license_source: optional_id(&row.license_source),
        })
    }
}

/// A key of a load, as it travels in a parameter.
pub(super) trait Key: Serialize {
    /// Bytes of its text, about.
    fn text_bytes(&self) -> usize;
}

impl Key for String {
    fn text_bytes(&self) -> usize {
        self.len() + 3
    }
}

impl Key for u32 {
    fn text_bytes(&self) -> usize {
        11
    }
}

impl Key for (String, String) {
    fn text_bytes(&self) -> usize {
        self.0.len() + self.1.len() + 8
    }
}

impl Key for (String, String, i32) {
    fn text_bytes(&self) -> usize {
        self.0.len() + self.1.len() + 20
    }
}

/// Splits keys into runs of at most [`KEYS_BYTES_MAX`] bytes each; a key that is longer stands
/// alone.
pub(super) fn chunks<K: Key>(keys: &[K]) -> Vec<&[K]> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, key) in keys.iter().enumerate() {
        bytes += key.text_bytes();
        if bytes > KEYS_BYTES_MAX && index > start {
            chunks.push(&keys[start..index]);
            start = index;
            bytes = key.text_bytes();
        }
    }
    if start < keys.len() {
        chunks.push(&keys[start..]);
    }
    chunks
}

/// An id, or none where the text is empty.
fn optional_id(text: &str) -> Option<Id> {
    (!text.is_empty()).then(|| Id::from_text(text))
}

#[derive(Row, Deserialize)]
struct ZoneRow {
    account_id: String,
    time_ms: i64,
    source: String,
    offset: u64,
    timezone: String,
}

#[derive(Row, Deserialize)]
struct PlanFactRow {
    account_id: String,
    organization_id: String,
    time_ms: i64,
    source: String,
    offset: u64,
    kind: i8,
    plan: String,
    monthly_quota: Option<u64>,
}

#[derive(Row, Deserialize)]
struct FactCountRow {
    account_id: String,
    facts: u64,
}

#[derive(Row, Deserialize)]
struct LastDayRow {
    account_id: String,
    day: i32,
}

#[derive(Row, Deserialize)]
struct OrganizationRow {
    account_id: String,
    organization_id: String,
}

impl From<OrganizationRow> for OrganizationSeen {
    fn from(row: OrganizationRow) -> Self {
        Self {
            account: Id::from_text(&row.account_id),
            organization: optional_id(&row.organization_id),
        }
    }
}

#[derive(Row, Deserialize)]
struct SeatFactRow {
    account_id: String,
    user_id: String,
    organization_id: String,
    time_ms: i64,
    kind: i8,
    source: String,
    offset: u64,
    project_id: String,
    license_source: String,
}

#[derive(Row, Deserialize)]
struct SeatUsageRow {
    account_id: String,
    user_id: String,
    organization_id: String,
    start_ms: i64,
    first_active_ms: i64,
    last_active_ms: i64,
}

impl From<SeatUsageRow> for SeatUsage {
    fn from(row: SeatUsageRow) -> Self {
        Self {
            account: Id::from_text(&row.account_id),
            organization: Id::from_text(&row.organization_id),
            user: Id::from_text(&row.user_id),
            start_ms: row.start_ms,
            first_active_ms: row.first_active_ms,
            last_active_ms: row.last_active_ms,
        }
    }
}

#[derive(Row, Deserialize)]
struct ExecutionsRow {
    account_id: String,
    organization_id: String,
    project_id: String,
    day: i32,
    run: u64,
    uploaded: u64,
    duration_ms: u64,
    upto: u64,
}

impl From<ExecutionsRow> for TestExecutions {
    fn from(row: ExecutionsRow) -> Self {
        Self {
            account: Id::from_text(&row.account_id),
            organization: Id::from_text(&row.organization_id),
            project: optional_id(&row.project_id),
            day: Day(row.day),
            count: ExecutionCount {
                run: row.run,
                uploaded: row.uploaded,
                duration_ms: row.duration_ms,
            },
            upto: row.upto,
        }
    }
}

#[derive(Row, Deserialize)]
struct QuotaUsageRow {
    account_id: String,
    organization_id: String,
    anchor_ms: i64,
    month: u32,
    day: i32,
    tests: u64,
    upto: u64,
}

impl From<QuotaUsageRow> for QuotaUsage {
    fn from(row: QuotaUsageRow) -> Self {
        Self {
            account: Id::from_text(&row.account_id),
            organization: Id::from_text(&row.organization_id),
            anchor_ms: row.anchor_ms,
            month: row.month,
            day: Day(row.day),
            tests: row.tests,
            upto: row.upto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_by_size_and_none_is_lost() {
        let keys: Vec<String> = (0..10_000).map(|n| format!("user-{n:060}")).collect();
        let parts = chunks(&keys);
        assert!(parts.len() > 10);
        for part in &parts {
            assert!(part.iter().map(Key::text_bytes).sum::<usize>() <= KEYS_BYTES_MAX);
        }
        assert_eq!(parts.concat(), keys);
    }

    #[test]
    fn no_keys_ask_nothing_and_a_huge_key_stands_alone() {
        assert!(chunks::<String>(&[]).is_empty());
        let keys = ["a".to_owned(), "b".repeat(KEYS_BYTES_MAX), "c".to_owned()];
        assert_eq!(chunks(&keys), [&keys[..1], &keys[1..2], &keys[2..]]);
    }
}
