//! The accounts that events have named, in one query over the tables. The view `accounts` says the
//! same to analysts; a test holds them together.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Zone;
use crate::report::accounts::NamedAccount;

/// Each account once for what is known of it. `$filter` chooses accounts.
const ACCOUNTS: &str = "\
SELECT a.account_id AS account_id, max(a.name) AS name, max(a.timezone) AS timezone \
FROM \
( \
    SELECT s.account_id AS account_id, '' AS name, '' AS timezone \
    FROM organizations_seen AS s \
    WHERE 1$seen_filter \
    GROUP BY s.account_id \
    UNION ALL \
    SELECT d.account_id AS account_id, tupleElement(max(d.latest), 'value') AS name, \
    '' AS timezone \
    FROM directory_state AS d \
    WHERE d.entity = 'account' AND d.field = 'name'$directory_filter \
    GROUP BY d.account_id \
    UNION ALL \
    SELECT z.account_id AS account_id, '' AS name, \
    CAST(argMax(z.timezone, (z.time, z.source, z.offset)), 'String') AS timezone \
    FROM zone_facts AS z \
    WHERE 1$zone_filter \
    GROUP BY z.account_id \
) AS a \
GROUP BY a.account_id";

#[derive(Row, Deserialize)]
struct AccountRow {
    account_id: String,
    name: String,
    timezone: String,
}

impl Store {
    /// The accounts that any event has named, or those of them whose ids are given; in no order.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn accounts(&self, ids: Option<&[String]>) -> Result<Vec<NamedAccount>, StoreError> {
        let filter = |table: &str| {
            let chosen = || format!(" AND {table}.account_id IN {{accounts:Array(String)}}");
            ids.map_or_else(String::new, |_| chosen())
        };
        let sql = ACCOUNTS
            .replace("$seen_filter", &filter("s"))
            .replace("$directory_filter", &filter("d"))
            .replace("$zone_filter", &filter("z"));
        let mut query = self.read(&sql);
        if let Some(ids) = ids {
            query = query.param("accounts", ids);
        }
        let rows: Vec<AccountRow> = self.fetch_all(query).await?;
        let accounts = rows.into_iter().map(|row| {
            let AccountRow { account_id: id, name, timezone } = row;
            let zone = match timezone.as_str() {
                "" => Zone::UTC,
                known => known.parse().map_err(|_| {
                    self.target().unreadable(format!("time zone '{known}' is unknown"))
                })?,
            };
            Ok(NamedAccount { id, name, zone })
        });
        accounts.collect()
    }
}
