//! Zone and organizations of an account, which every report needs, in one query over the tables.
//! The views `accounts` and `organizations` say the same to analysts; a test holds them together.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Zone;
use crate::report::tree::{Node, OrganizationTree};

/// Of each organization that it was named, its name and its parent; of the account that it was
/// named, and its zone.
const DIRECTORY: &str = "\
SELECT 'seen' AS field, s.organization_id AS id, '' AS value \
FROM organizations_seen AS s \
WHERE s.account_id = {account:String} \
GROUP BY s.organization_id \
UNION ALL \
SELECT CAST(d.field, 'String') AS field, d.entity_id AS id, tupleElement(max(d.latest), 'value') \
AS value \
FROM directory_state AS d \
WHERE d.account_id = {account:String} AND d.entity = 'organization' \
GROUP BY d.field, d.entity_id \
UNION ALL \
SELECT 'zone' AS field, '' AS id, CAST(argMax(z.timezone, (z.time, z.source, z.offset)), 'String') \
AS value \
FROM zone_facts AS z \
WHERE z.account_id = {account:String} \
HAVING count() > 0";

#[derive(Row, Deserialize)]
struct FieldRow {
    field: String,
    id: String,
    value: String,
}

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
    name: String,
    parent: String,
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
        let mut zone = Zone::UTC;
        let mut organizations: BTreeMap<String, Described> = BTreeMap::new();
        for FieldRow { field, id, value } in rows {
            if field == "zone" {
                zone = value.parse().map_err(|_| {
                    self.target().unreadable(format!("time zone '{value}' is unknown"))
                })?;
            } else if !id.is_empty() {
                let described = organizations.entry(id).or_default();
                match field.as_str() {
                    "name" => described.name = value,
                    "parent" => described.parent = value,
                    _ => {}
                }
            }
        }
        let nodes = organizations.into_iter().map(|(id, Described { name, parent })| Node {
            name: if name.is_empty() { id.clone() } else { name },
            parent: Some(parent).filter(|parent| !parent.is_empty() && *parent != id),
            id,
        });
        Ok(Some(AccountDirectory { zone, tree: OrganizationTree::new(nodes.collect()) }))
    }
}
