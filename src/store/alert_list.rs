//! Alerts as reports list them, from the view `alerts`.

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::instant;
use crate::report::alert_list::{AlertPosition, AlertsRequest, StoredAlert};
use crate::report::id::AccountId;

/// What is read of an alert `a`.
const COLUMNS: &str = "\
a.account_id AS account_id, a.organization_id AS organization_id, a.rule AS rule, a.line AS line, \
a.id AS id, toUnixTimestamp64Milli(a.raised_at) AS raised_at_ms, \
toUnixTimestamp64Milli(a.resolved_at) AS resolved_at_ms, \
toUnixTimestamp64Milli(a.ended_at) AS ended_at_ms, a.is_silent AS is_silent, a.data AS data";

/// A page of the account's alerts. The texts of the others are not read: an account may have many.
/// `$filter` chooses alerts.
const PAGE: &str = "\
SELECT $columns \
FROM alerts AS a \
WHERE a.account_id = {account:String} \
    AND (a.rule, a.organization_id, a.armed_at, a.month, a.line) IN \
    ( \
        SELECT a.rule, a.organization_id, a.armed_at, a.month, a.line \
        FROM alerts AS a \
        WHERE a.account_id = {account:String}$filter$after \
        ORDER BY a.raised_at DESC, a.id \
        LIMIT {limit:UInt64} \
    ) \
ORDER BY a.raised_at DESC, a.id";

const TOTAL: &str = "\
SELECT count() AS total FROM alerts AS a WHERE a.account_id = {account:String}$filter";

/// Those that are neither resolved nor over.
const OPEN: &str = "isNull(a.resolved_at) AND isNull(a.ended_at)";

/// The alerts of all accounts, or of one. `$filter` chooses alerts.
const ALL: &str = "\
SELECT $columns FROM alerts AS a WHERE 1$filter ORDER BY a.raised_at DESC, a.account_id, a.id";

/// Changes with each row of the account that comes. It also does where equal rows are merged, and
/// then stands for the same alerts.
const VERSION: &str = "\
SELECT sum(sipHash64(e.stored_at)) AS version FROM alert_events AS e \
WHERE e.account_id = {account:String}";

#[derive(Row, Deserialize)]
struct ListedAlertRow {
    account_id: String,
    organization_id: String,
    rule: String,
    line: String,
    id: String,
    raised_at_ms: i64,
    resolved_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    is_silent: bool,
    data: String,
}

/// Alerts as they arrive from ClickHouse.
pub struct AlertStream {
    store: Store,
    cursor: RowCursor<ListedAlertRow>,
}

impl AlertStream {
    /// The next alert; `None` at the end.
    ///
    /// # Errors
    /// Where the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<StoredAlert>, StoreError> {
        let row = self.store.within(self.cursor.next()).await?;
        row.map(|row| self.store.alert(row)).transpose()
    }
}

/// SQL that continues a condition on alerts `a`. Of an account, a caller who may not see all sees
/// alerts of `own` organizations alone.
fn filter(request: &AlertsRequest, own: Option<&[&str]>) -> String {
    let mut sql = String::new();
    let mut add = |condition: &str| {
        sql.push_str(" AND ");
        sql.push_str(condition);
    };
    if own.is_some() {
        // An alert of the whole account has the empty organization, whatever a token names.
        add("a.organization_id != '' AND a.organization_id IN {own:Array(String)}");
    }
    if request.organization.is_some() {
        add("a.organization_id = {organization:String}");
    }
    if request.rule.is_some() {
        add("a.rule = {rule:String}");
    }
    if !request.with_closed {
        add(OPEN);
    }
    sql
}

fn bind(mut query: Query, request: &AlertsRequest, own: Option<&[&str]>) -> Query {
    if let Some(own) = own {
        query = query.param("own", own);
    }
    if let Some(organization) = &request.organization {
        query = query.param("organization", organization.as_str());
    }
    if let Some(rule) = request.rule {
        query = query.param("rule", rule);
    }
    query
}

impl Store {
    /// At most `limit` of the account's alerts after the position, newest first, and how many there
    /// are before and after it. `own` are the organizations whose alerts are told; `None` where all
    /// are.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn alerts(
        &self,
        account: &AccountId,
        request: &AlertsRequest,
        own: Option<&[&str]>,
        after: Option<&AlertPosition>,
        limit: usize,
    ) -> Result<(Vec<StoredAlert>, u64), StoreError> {
        let filter = filter(request, own);
        let newer = match after {
            None => "",
            Some(_) => {
                " AND (a.raised_at < {raised_at:DateTime64(3, 'UTC')} \
                OR (a.raised_at = {raised_at:DateTime64(3, 'UTC')} AND a.id > {after:String}))"
            }
        };
        let query = |sql: &str| {
            let sql = sql.replace("$columns", COLUMNS).replace("$filter", &filter);
            let query = self.read(&sql.replace("$after", newer)).param("account", account);
            bind(query, request, own)
        };
        let mut page = query(PAGE).param("limit", limit);
        if let Some(AlertPosition { raised_at_ms, id }) = after {
            page = page.param("raised_at", instant(*raised_at_ms)).param("after", id);
        }
        let (rows, totals) = tokio::try_join!(
            self.fetch_all::<ListedAlertRow>(page),
            self.fetch_all::<u64>(query(TOTAL))
        )?;
        let rows: Result<_, _> = rows.into_iter().map(|row| self.alert(row)).collect();
        Ok((rows?, totals.into_iter().sum()))
    }

    /// The version of the account's alerts: another one as soon as any is raised or closed. What is
    /// read afterwards holds at least what it stands for.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn alerts_version(&self, account: &str) -> Result<u64, StoreError> {
        self.sync_table("alert_events").await?;
        let query = self.read(VERSION).param("account", account);
        Ok(self.fetch_all::<u64>(query).await?.into_iter().sum())
    }

    /// The alerts of all accounts, or of one, newest first; with those that are resolved or over,
    /// or without.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn all_alerts(
        &self,
        account: Option<&str>,
        with_closed: bool,
    ) -> Result<AlertStream, StoreError> {
        let mut filter = String::new();
        if account.is_some() {
            filter.push_str(" AND a.account_id = {account:String}");
        }
        if !with_closed {
            filter.push_str(" AND ");
            filter.push_str(OPEN);
        }
        let sql = ALL.replace("$columns", COLUMNS).replace("$filter", &filter);
        let mut query = Self::streamed(self.read(&sql));
        if let Some(account) = account {
            query = query.param("account", account);
        }
        let cursor =
            query.fetch::<ListedAlertRow>().map_err(|error| self.target().classify(error))?;
        Ok(AlertStream { store: self.clone(), cursor })
    }

    fn alert(&self, row: ListedAlertRow) -> Result<StoredAlert, StoreError> {
        let data = serde_json::from_str(&row.data).map_err(|error| {
            self.target().unreadable(format!("the data of alert '{}': {error}", row.id))
        })?;
        Ok(StoredAlert {
            account_id: row.account_id,
            organization_id: Some(row.organization_id).filter(|id| !id.is_empty()),
            rule: row.rule,
            line: row.line,
            id: row.id,
            raised_at_ms: row.raised_at_ms,
            resolved_at_ms: row.resolved_at_ms,
            ended_at_ms: row.ended_at_ms,
            is_silent: row.is_silent,
            data,
        })
    }
}
