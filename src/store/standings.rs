//! Which accounts have changed, of all: what the standings are kept up by.
//!
//! A flush announces its accounts (`account_progress`) and then records the progress of its
//! partitions (`source_progress`). So whatever is not announced yet while a partition's progress is
//! read will be announced beyond that progress: by the same flush, by a later one, or by the next
//! owner, which counts on from there. Whoever remembers the progress from before one reading of the
//! announcements finds all that are new at the next reading behind it.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;

/// Bytes of the sources that a query names, at most; the others' announcements are all read.
/// ClickHouse refuses a form field of more than 128 KiB, and each byte may become two.
const SOURCES_BYTES_MAX: usize = 48 * 1024;

/// The announcements of accounts whose quota may have changed: of the topics tests and directory.
const ANNOUNCED: &str = "\
SELECT p.account_id AS account_id, CAST(p.source, 'String') AS source, \
    toUInt64(greatest(p.tests_upto, p.directory_upto)) AS announced \
FROM account_progress AS p \
WHERE greatest(p.tests_upto, p.directory_upto) > \
    transform(p.source, {sources:Array(String)}, {offsets:Array(UInt64)}, toUInt64(0))";

/// How far every partition has been counted, of all topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedSources {
    /// The next offset of each.
    pub next_offsets: BTreeMap<String, u64>,
    /// When the partition of the topic was flushed whose last flush is oldest, by ClickHouse's
    /// clock: milliseconds since 1970 UTC; `None` where one was not flushed at all, or none is
    /// known.
    pub flushed_through_ms: Option<i64>,
}

/// An account is stored up to an offset, as a source has announced it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct Announcement {
    pub account_id: String,
    pub source: String,
    /// Everything of its quota below it is stored.
    pub announced: u64,
}

#[derive(Row, Deserialize)]
struct SourceRow {
    source: String,
    topic: String,
    next_offset: u64,
    flushed_at_ms: i64,
}

#[derive(Row, Deserialize)]
struct AnnouncedRow {
    source: String,
    announced: u64,
}

#[derive(Row, Deserialize)]
struct PlansRow {
    account_id: String,
    plans: u64,
}

impl Store {
    /// How far every partition has been counted, and when the topic's were flushed.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn counted_sources(&self, topic: &str) -> Result<CountedSources, StoreError> {
        // The rows as they are stored: to have ClickHouse aggregate some few costs it more.
        let query = self.read(
            "SELECT CAST(p.source, 'String') AS source, CAST(p.topic, 'String') AS topic, \
            toUInt64(p.next_offset) AS next_offset, \
            toUnixTimestamp64Milli(p.flushed_at) AS flushed_at_ms \
            FROM source_progress AS p",
        );
        let rows: Vec<SourceRow> = self.fetch_all(query).await?;
        let mut next_offsets: BTreeMap<String, u64> = BTreeMap::new();
        let mut flushed_ms: HashMap<String, i64> = HashMap::new();
        for SourceRow { source, topic: of_topic, next_offset, flushed_at_ms } in rows {
            if of_topic == topic {
                let latest_ms = flushed_ms.entry(source.clone()).or_default();
                *latest_ms = flushed_at_ms.max(*latest_ms);
            }
            let latest = next_offsets.entry(source).or_default();
            *latest = next_offset.max(*latest);
        }
        let flushed_through_ms = flushed_ms.into_values().min().filter(|&oldest_ms| oldest_ms > 0);
        Ok(CountedSources { next_offsets, flushed_through_ms })
    }

    /// What is announced of the quota of all accounts beyond these offsets of the sources; of other
    /// sources everything. What is read afterwards, and after [`Self::sync_topics`], holds at least
    /// what the announcements stand for.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn announced_beyond(
        &self,
        offsets: &BTreeMap<String, u64>,
    ) -> Result<Vec<Announcement>, StoreError> {
        self.sync_table("account_progress").await?;
        let mut bytes = 0;
        let named = offsets.iter().take_while(|(source, _)| {
            bytes += source.len() + 8;
            bytes <= SOURCES_BYTES_MAX
        });
        // No source has an empty name, and an array without elements would tell no type.
        let (mut sources, mut offsets) = (vec![""], vec![0]);
        for (source, &offset) in named {
            sources.push(source);
            offsets.push(offset);
        }
        let query = self.read(ANNOUNCED).param("sources", sources).param("offsets", offsets);
        self.fetch_all(query).await
    }

    /// The greatest offset that each source has announced of any account's quota.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn announced_by_source(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.sync_table("account_progress").await?;
        let query = self.read(
            "SELECT CAST(p.source, 'String') AS source, \
            toUInt64(max(greatest(p.tests_upto, p.directory_upto))) AS announced \
            FROM account_progress AS p GROUP BY p.source",
        );
        let rows: Vec<AnnouncedRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|row| (row.source, row.announced)).collect())
    }

    /// The accounts that have plans, in the order of their ids' bytes, each with how many plan
    /// records it has, about.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn accounts_with_plans(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let query = self.read(
            "SELECT f.account_id AS account_id, count() AS plans FROM plan_facts AS f \
            GROUP BY f.account_id",
        );
        let rows: Vec<PlansRow> = self.fetch_all(query).await?;
        let mut accounts: Vec<(String, u64)> =
            rows.into_iter().map(|row| (row.account_id, row.plans)).collect();
        accounts.sort_unstable();
        Ok(accounts)
    }
}
