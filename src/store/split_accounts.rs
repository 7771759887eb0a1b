//! Accounts that more than one partition has met: what a lane has to know when it meets one, and
//! which of them are split.

use std::collections::BTreeMap;
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use crate::core::id::Id;
use crate::core::load::MetBy;
use crate::core::rollup::{AccountMove, Source};

/// Which sources have met these accounts.
const MET_BY: &str = "\
SELECT m.account_id AS account_id, toString(m.source) AS source \
FROM account_moves AS m \
WHERE m.account_id IN {keys:Array(String)} AND startsWith(m.source, {incarnation:String}) AND \
m.former = '' \
GROUP BY m.account_id, m.source";

/// Where these accounts have moved to from one source.
const MOVES_AWAY: &str = "\
SELECT m.account_id AS account_id, toString(m.source) AS source, min(m.former_upto) AS former_upto \
FROM account_moves AS m \
WHERE m.account_id IN {keys:Array(String)} AND m.former = {source:String} \
GROUP BY m.account_id, m.source";

/// Split accounts of the topic, the first by id, and how many there are in all.
const SPLIT_ACCOUNTS: &str = "\
SELECT s.account_id AS account_id, s.partitions AS partitions, count() OVER () AS total \
FROM split_accounts AS s \
WHERE s.topic = {topic:String} \
ORDER BY s.account_id, s.topic_id \
LIMIT {limit:UInt64}";

/// An account that cannot be counted exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitAccount {
    /// The account.
    pub account_id: String,
    /// The partitions that counted it without a stop between, ascending.
    pub partitions: Vec<u32>,
}

/// Accounts that cannot be counted exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitAccounts {
    /// Their number.
    pub total: u64,
    /// The first of them by id.
    pub first: Vec<SplitAccount>,
}

#[derive(Row, Deserialize)]
struct MetByRow {
    account_id: String,
    source: String,
}

#[derive(Row, Deserialize)]
struct MoveRow {
    account_id: String,
    source: String,
    former_upto: u64,
}

#[derive(Row, Deserialize)]
struct SplitRow {
    account_id: String,
    partitions: Vec<u32>,
    total: u64,
}

impl Store {
    /// The accounts that more than one partition of the topic has counted without a stop between;
    /// at most `names_max` of them by name.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn split_accounts(
        &self,
        topic: &str,
        names_max: usize,
    ) -> Result<SplitAccounts, StoreError> {
        let query = self.read(SPLIT_ACCOUNTS).param("topic", topic).param("limit", names_max);
        let rows: Vec<SplitRow> = self.fetch_all(query).await?;
        let total = rows.first().map_or(0, |row| row.total);
        let first = rows
            .into_iter()
            .map(|row| SplitAccount { account_id: row.account_id, partitions: row.partitions });
        Ok(SplitAccounts { total, first: first.collect() })
    }

    /// Who has met the accounts, and up to where they have counted. Facts that are read after this
    /// hold at least all of that.
    ///
    /// The progress of the source tells up to where, not that of the account: what lies beyond the
    /// former is counted again after a crash, and judged by the facts that are stored by then.
    pub(super) async fn load_met_by(
        &self,
        accounts: &[String],
        source: &Source,
    ) -> Result<Vec<MetBy>, StoreError> {
        let mut rows: Vec<MetByRow> = Vec::new();
        for chunk in chunks(accounts) {
            let query = self
                .read_only(MET_BY)
                .param("keys", chunk)
                .param("incarnation", source.incarnation());
            rows.extend(self.fetch_all(query).await?);
        }
        if rows.iter().all(|row| row.source == source.as_str()) {
            return Ok(rows.into_iter().map(|row| row.met_by(&BTreeMap::new())).collect());
        }
        let progress = self.progress(source.topic()).await?;
        let passed: BTreeMap<&str, u64> =
            progress.iter().map(|row| (row.source.as_str(), row.progress.next_offset)).collect();
        Ok(rows.into_iter().map(|row| row.met_by(&passed)).collect())
    }
}

impl Store {
    /// The moves of the accounts away from the source.
    pub(super) async fn load_moves_away(
        &self,
        accounts: &[String],
        source: &Source,
    ) -> Result<Vec<AccountMove>, StoreError> {
        let mut moves = Vec::new();
        for chunk in chunks(accounts) {
            let query =
                self.read_only(MOVES_AWAY).param("keys", chunk).param("source", source.as_str());
            let rows: Vec<MoveRow> = self.fetch_all(query).await?;
            moves.extend(rows.into_iter().map(|row| AccountMove {
                account: Id::from_text(&row.account_id),
                source: Arc::from(row.source),
                former: Some(source.name()),
                former_upto: row.former_upto,
            }));
        }
        Ok(moves)
    }
}

impl MetByRow {
    fn met_by(self, passed: &BTreeMap<&str, u64>) -> MetBy {
        let passed = passed.get(self.source.as_str()).copied().unwrap_or(0);
        MetBy {
            account: Id::from_text(&self.account_id),
            source: Arc::from(self.source),
            upto: passed,
        }
    }
}
