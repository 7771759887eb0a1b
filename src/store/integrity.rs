//! Figures that are counted twice: both sides of each, by the views of the documented view
//! `integrity`, and the accounts that they are read for.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub enum Identities<'a> {
    /// The identities of sources that take little to read.
    OfSources,
    /// Tests by project against those of the audit, which takes all tests.
    OfTests,
    /// Those of these accounts.
    OfAccounts(&'a [String]),
}

/// Both sides of an identity; see the view `integrity`.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct ComparedFigures {
    /// Its name.
    pub identity: String,
    /// The account; empty of an identity of a source.
    pub account_id: String,
    /// The source; empty of an identity of an account.
    pub source: String,
    /// One side.
    pub expected: u64,
    /// The other side.
    pub found: u64,
    /// By how much they differ.
    pub difference: u64,
    /// The next offset of the source that both sides stand for; 0 of an identity of an account.
    pub upto: u64,
}

impl Store {
    /// Both sides of identities, in any order. Call it after the progress of sources was read.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn compared_figures(
        &self,
        identities: Identities<'_>,
    ) -> Result<Vec<ComparedFigures>, StoreError> {
        // A replica may have the progress before the rows that it covers.
        self.sync_replica().await?;
        let (view, condition) = match identities {
            Identities::OfSources => ("integrity_of_sources", "1"),
            Identities::OfTests => ("integrity_of_tests", "1"),
            Identities::OfAccounts(_) => {
                ("integrity_of_accounts", "i.account_id IN {accounts:Array(String)}")
            }
        };
        let sql = format!(
            "SELECT i.identity AS identity, i.account_id AS account_id, i.source AS source, \
             i.expected AS expected, i.found AS found, i.difference AS difference, i.upto AS upto \
             FROM {view} AS i WHERE {condition}"
        );
        // What is grouped by the whole key comes in its order, and takes little memory then.
        let mut query = self.read(&sql).with_setting("optimize_aggregation_in_order", "1");
        if let Identities::OfAccounts(accounts) = identities {
            query = query.param("accounts", accounts);
        }
        self.fetch_all(query).await
    }

    /// The ids of the first accounts after `after` that an event has named, by code point.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn accounts_after(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT s.account_id AS account_id FROM organizations_seen AS s \
            WHERE s.account_id > {after:String} AND s.organization_id = '' \
            GROUP BY s.account_id ORDER BY s.account_id LIMIT {limit:UInt64}";
        self.fetch_all(self.read(SQL).param("after", after).param("limit", limit)).await
    }
}
