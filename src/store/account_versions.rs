//! How far each account has been counted, topic by topic: the versions that answers are kept under.

use std::collections::HashMap;

use clickhouse::Row;
use futures_util::future::try_join_all;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use crate::core::topics::Topic;

/// How far an account has been counted on one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicVersion {
    /// Grows with each flush that stores rows of the account on the topic, and with nothing else; 0
    /// before the first. All rows that it stands for are stored.
    pub version: u64,
    /// The latest time of an event among those rows, milliseconds since 1970 UTC; 0 before the
    /// first.
    pub latest_ms: i64,
}

/// How far an account has been counted on each topic.
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

    /// Takes in what one source has counted. Each source's offset only grows, so their sum does.
    fn add(&mut self, row: &VersionRow) {
        for (topic, (&upto, &latest_ms)) in
            self.0.iter_mut().zip(row.upto.iter().zip(&row.latest_ms))
        {
            topic.version = topic.version.saturating_add(upto);
            topic.latest_ms = topic.latest_ms.max(latest_ms);
        }
    }
}

/// What one source has counted of an account; by topic, in the order of [`Topic::ALL`].
#[derive(Row, Deserialize)]
struct VersionRow {
    account_id: String,
    upto: Vec<u64>,
    latest_ms: Vec<i64>,
}

fn versions_sql() -> String {
    let each =
        |column: &dyn Fn(&str) -> String| Topic::ALL.map(|topic| column(topic.name())).join(", ");
    let upto = each(&|topic| format!("max(p.{topic}_upto)"));
    let latest_ms = each(&|topic| format!("toUnixTimestamp64Milli(max(p.{topic}_latest))"));
    format!(
        "SELECT p.account_id AS account_id, [{upto}] AS upto, [{latest_ms}] AS latest_ms FROM \
        account_progress AS p \
         WHERE p.account_id IN {{accounts:Array(String)}} GROUP BY p.account_id, p.source"
    )
}

impl Store {
    /// How far these accounts have been counted; those that no flush has told of are missing.
    /// Whatever is read afterwards, and after [`Self::sync_topics`], holds at least the rows that
    /// the versions stand for.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn account_versions(
        &self,
        accounts: &[String],
    ) -> Result<HashMap<String, AccountVersions>, StoreError> {
        self.sync_table("account_progress").await?;
        let sql = versions_sql();
        let mut versions: HashMap<String, AccountVersions> = HashMap::new();
        for accounts in chunks(accounts) {
            for row in
                self.fetch_all::<VersionRow>(self.read(&sql).param("accounts", accounts)).await?
            {
                versions.entry(row.account_id.clone()).or_default().add(&row);
            }
        }
        Ok(versions)
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
        const OF_NO_ACCOUNT_REPORT: [&str; 5] = [
            "account_moves",
            "account_progress",
            "rejected_event_facts",
            "source_progress",
            "zone_claims",
        ];
        let of_topics = Topic::ALL.into_iter().flat_map(tables);
        let mut all: Vec<&str> = of_topics.copied().chain(OF_NO_ACCOUNT_REPORT).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, super::super::TABLES);
    }

    #[test]
    fn a_version_is_the_sum_of_what_the_sources_have_counted() {
        let row = |seats, latest| VersionRow {
            account_id: "a".to_owned(),
            upto: vec![0, seats, 0, 0, 0],
            latest_ms: vec![0, latest, 0, 0, 0],
        };
        let mut versions = AccountVersions::default();
        versions.add(&row(5, 2_000));
        versions.add(&row(3, 9_000));
        assert_eq!(versions.of(Topic::Seats), TopicVersion { version: 8, latest_ms: 9_000 });
        assert_eq!(versions.of(Topic::Uses), TopicVersion::default());
    }
}
