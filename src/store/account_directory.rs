//! Zone and organizations of an account, which every report needs, in one query over the tables.
//! The views `accounts` and `organizations` say the same to analysts; a test holds them together.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Zone;
use crate::report::tree::{Node, OrganizationTree};

/// Of each organization that it was named, its names and its parents; of the account that it was
/// named, and its zones. The rows are as they are stored: to have ClickHouse aggregate three tables
/// costs it more than to send them.
const DIRECTORY: &str = "\
SELECT 'seen' AS field, s.organization_id AS id, toInt64(0) AS time_ms, '' AS source, \
    toUInt64(0) AS offset, '' AS value \
FROM organizations_seen AS s \
WHERE s.account_id = {account:String} \
UNION ALL \
SELECT CAST(d.field, 'String') AS field, d.entity_id AS id, \
    toUnixTimestamp64Milli(tupleElement(d.latest, 'time')) AS time_ms, \
    tupleElement(d.latest, 'source') AS source, tupleElement(d.latest, 'offset') AS offset, \
    tupleElement(d.latest, 'value') AS value \
FROM directory_state AS d \
WHERE d.account_id = {account:String} AND d.entity = 'organization' \
UNION ALL \
SELECT 'zone' AS field, '' AS id, toUnixTimestamp64Milli(z.time) AS time_ms, \
    CAST(z.source, 'String') AS source, z.offset AS offset, CAST(z.timezone, 'String') AS value \
FROM zone_facts AS z \
WHERE z.account_id = {account:String}";

#[derive(Row, Deserialize)]
struct FieldRow {
    field: String,
    id: String,
    time_ms: i64,
    source: String,
    offset: u64,
    value: String,
}

/// A value, led by the time, source and offset of the record that gave it: the greatest counts.
type Latest = (i64, String, u64, String);

/// The directory of an account that any event has named.
#[derive(Clone, Debug)]
pub struct AccountDirectory {
    /// Its time zone of now.
    pub zone: Zone,
    /// Its organizations.
    pub tree: OrganizationTree,
}

#[derive(Default)]
struct Described {
    name: Latest,
    parent: Latest,
}

fn take(latest: &mut Latest, told: Latest) {
    if told > *latest {
        *latest = told;
    }
}

impl Store {
    /// The directory of an account; `None` where no event has named it.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn account_directory(
        &self,
        account: &str,
    ) -> Result<Option<AccountDirectory>, StoreError> {
        let rows: Vec<FieldRow> =
            self.fetch_all(self.read(DIRECTORY).param("account", account)).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut zone = Latest::default();
        let mut organizations: BTreeMap<String, Described> = BTreeMap::new();
        for FieldRow { field, id, time_ms, source, offset, value } in rows {
            let told = (time_ms, source, offset, value);
            if field == "zone" {
                take(&mut zone, told);
            } else if !id.is_empty() {
                let described = organizations.entry(id).or_default();
                match field.as_str() {
                    "name" => take(&mut described.name, told),
                    "parent" => take(&mut described.parent, told),
                    _ => {}
                }
            }
        }
        let zone = match zone.3.as_str() {
            "" => Zone::UTC,
            name => name
                .parse()
                .map_err(|_| self.target().unreadable(format!("time zone '{name}' is unknown")))?,
        };
        let nodes = organizations.into_iter().map(|(id, Described { name, parent })| Node {
            name: if name.3.is_empty() { id.clone() } else { name.3 },
            parent: Some(parent.3).filter(|parent| !parent.is_empty() && *parent != id),
            id,
        });
        Ok(Some(AccountDirectory { zone, tree: OrganizationTree::new(nodes.collect()) }))
    }
}
