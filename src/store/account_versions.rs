//! Versions of accounts, topic by topic, under which answers are cached.

use std::collections::HashMap;

use clickhouse::Row;
use futures_util::future::try_join_all;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use crate::core::topics::Topic;

/// Version of an account on one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicVersion {
    /// Grows with each flush that stores rows of the account on the topic, and with nothing else; 0
    /// before the first. All rows that it stands for are stored.
    pub version: u64,
    /// The latest time of an event among those rows, milliseconds since 1970 UTC; 0 before the
    /// first.
    pub latest_ms: i64,
}

/// Versions of an account on all topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountVersions([TopicVersion; Topic::ALL.len()]);

/// The tables that hold the rows of a topic.
const fn tables(topic: Topic) -> &'static [&'static str] {
    match topic {
        Topic::Directory => &["directory_state", "organizations_seen", "zone_facts"],
        Topic::Seats => &["license_facts", "seat_facts", "seat_intervals"],
        Topic::Uses => &["seat_intervals"],
        Topic::Activity => &["active_days", "active_users_by_account_state", "active_users_state"],
        Topic::Tests => &["plan_facts", "quota_usage_state", "test_executions_state"],
    }
}

impl AccountVersions {
    /// The version of a topic.
    pub fn of(&self, topic: Topic) -> TopicVersion {
        self.0[topic as usize]
    }

    /// Takes in what one source has counted, by topic.
    fn add(&mut self, counted: &Counted) {
        for (topic, counted) in self.0.iter_mut().zip(counted) {
            // Each source's offset only grows, so their sum does.
            topic.version = topic.version.saturating_add(counted.version);
            topic.latest_ms = topic.latest_ms.max(counted.latest_ms);
        }
    }
}

/// What one source has counted of an account, by topic in the order of [`Topic::ALL`].
type Counted = [TopicVersion; Topic::ALL.len()];

/// What one source has counted of an account, or a part of it: a row may be one of several that are
/// not merged yet.
#[derive(Row, Deserialize)]
struct VersionRow {
    account_id: String,
    source: String,
    upto: Vec<u64>,
    latest_ms: Vec<i64>,
}

impl VersionRow {
    /// Merges the row into what others told of the same account and source.
    fn merge_into(&self, counted: &mut Counted) {
        let told = self.upto.iter().zip(&self.latest_ms);
        for (topic, (&upto, &latest_ms)) in counted.iter_mut().zip(told) {
            topic.version = topic.version.max(upto);
            topic.latest_ms = topic.latest_ms.max(latest_ms);
        }
    }
}

/// The rows as they are stored: a look is asked for all the time, and to have ClickHouse aggregate
/// some few rows costs it more than to send them.
fn versions_sql() -> String {
    let each =
        |column: &dyn Fn(&str) -> String| Topic::ALL.map(|topic| column(topic.name())).join(", ");
    let upto = each(&|topic| format!("toUInt64(p.{topic}_upto)"));
    let latest_ms = each(&|topic| format!("toUnixTimestamp64Milli(p.{topic}_latest)"));
    format!(
        "SELECT p.account_id AS account_id, CAST(p.source, 'String') AS source, [{upto}] AS upto, \
        [{latest_ms}] AS latest_ms \
        FROM account_progress AS p WHERE p.account_id IN {{accounts:Array(String)}}"
    )
}

/// Merges the rows of each account and source, and sums up the sources of each account.
fn versions_of(rows: &[VersionRow]) -> HashMap<String, AccountVersions> {
    let mut by_source: HashMap<(&str, &str), Counted> = HashMap::new();
    for row in rows {
        row.merge_into(by_source.entry((&row.account_id, &row.source)).or_default());
    }
    let mut versions: HashMap<String, AccountVersions> = HashMap::new();
    for ((account, _), counted) in by_source {
        versions.entry(account.to_owned()).or_default().add(&counted);
    }
    versions
}

impl Store {
    /// The versions of these accounts; accounts that no flush has announced are missing. Whatever
    /// is read afterwards, and after [`Self::sync_topics`], holds at least the rows that the
    /// versions stand for.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn account_versions(
        &self,
        accounts: &[String],
    ) -> Result<HashMap<String, AccountVersions>, StoreError> {
        self.sync_table("account_progress").await?;
        let sql = versions_sql();
        let mut rows: Vec<VersionRow> = Vec::new();
        for accounts in chunks(accounts) {
            rows.extend(self.fetch_all(self.read(&sql).param("accounts", accounts)).await?);
        }
        Ok(versions_of(&rows))
    }

    /// How far the directories of all accounts have been counted together. It grows with each flush
    /// that stores rows of the directory of any account, and with nothing else: whoever announces
    /// an account up to an offset has stored all accounts' rows from below it, and the next flush
    /// ends beyond it. Whatever is read afterwards holds at least the rows that it stands for, as
    /// with [`Self::account_versions`].
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn directories_version(&self) -> Result<u64, StoreError> {
        self.sync_table("account_progress").await?;
        let query = self.read(
            "SELECT max(p.directory_upto) AS upto FROM account_progress AS p GROUP BY p.source",
        );
        let upto: Vec<u64> = self.fetch_all(query).await?;
        Ok(upto.into_iter().fold(0, u64::saturating_add))
    }

    /// Makes the replica that we talk to fetch what the others have stored of these topics. Without
    /// a cluster there is nothing to wait for.
    ///
    /// # Errors
    /// Where a table cannot be synced.
    pub async fn sync_topics(&self, topics: &[Topic]) -> Result<(), StoreError> {
        let tables = topics.iter().flat_map(|&topic| tables(topic));
        try_join_all(tables.map(|table| self.sync_table(table))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_reports_read_is_of_a_topic() {
        const OF_NO_ACCOUNT_REPORT: [&str; 9] = [
            "account_moves",
            "account_progress",
            "alert_deliveries",
            "alert_events",
            "alert_marks",
            "ingest_audit_state",
            "rejected_event_facts",
            "source_progress",
            "zone_claims",
        ];
        let of_topics = Topic::ALL.into_iter().flat_map(tables);
        let mut all: Vec<&str> = of_topics.copied().chain(OF_NO_ACCOUNT_REPORT).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, crate::store::tables::TABLES);
    }

    #[test]
    fn a_version_is_the_sum_of_what_the_sources_have_counted() {
        let row = |source: &str, seats, latest| VersionRow {
            account_id: "a".to_owned(),
            source: source.to_owned(),
            upto: vec![0, seats, 0, 0, 0],
            latest_ms: vec![0, latest, 0, 0, 0],
        };
        // Three rows of the first source are not merged yet, and one of them is repeated.
        let rows = [
            row("0", 4, 9_000),
            row("0", 5, 2_000),
            row("1", 3, 1_000),
            row("0", 2, 0),
            row("0", 5, 2_000),
        ];
        let versions = versions_of(&rows)["a"];
        assert_eq!(versions.of(Topic::Seats), TopicVersion { version: 8, latest_ms: 9_000 });
        assert_eq!(versions.of(Topic::Uses), TopicVersion::default());
    }
}
