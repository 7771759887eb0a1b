//! New rows about seats, told from the parts that hold them.
//!
//! A part that a merge has made of old rows and new ones holds both: who wants the new ones remembers the old ones.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use serde::Deserialize;

use super::changes::PartRow;
use super::client::Store;
use super::error::StoreError;

/// Rows that are read at once, at most, over all accounts; with more none is told.
const ROWS_MAX: usize = 50_000;

const SEAT_FACTS: &str = "\
SELECT s.account_id AS account_id, s.user_id AS user_id, s.organization_id AS organization_id, \
    concat(toString(s.kind), ' ', s.source, ' ', toString(s.offset)) AS fact, \
    toUnixTimestamp64Milli(s.time) AS start_ms, start_ms AS first_ms, start_ms AS last_ms \
FROM seat_facts AS s";

const LICENSE_FACTS: &str = "\
SELECT s.account_id AS account_id, '' AS user_id, s.organization_id AS organization_id, \
    concat('seats ', s.source, ' ', toString(s.offset)) AS fact, \
    toUnixTimestamp64Milli(s.time) AS start_ms, start_ms AS first_ms, start_ms AS last_ms \
FROM license_facts AS s";

const SEAT_USAGE: &str = "\
SELECT s.account_id AS account_id, s.user_id AS user_id, s.organization_id AS organization_id, '' AS fact, \
    toUnixTimestamp64Milli(s.start) AS start_ms, toUnixTimestamp64Milli(s.first_active) AS first_ms, \
    toUnixTimestamp64Milli(s.last_active) AS last_ms \
FROM seat_usage_state AS s";

/// A row about seats. Rows with the same identity merge into one of the earliest first time and the latest last time, and
/// one that is no earlier and no later than what was known before says nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatRow {
    /// What it is about.
    pub identity: SeatRowIdentity,
    /// When the fact happened or the seat was used first, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// When the fact happened or the seat was used last, milliseconds since 1970 UTC.
    pub last_ms: i64,
}

/// What a row about seats is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeatRowIdentity {
    /// Whose seat it is; empty of seats that are purchased or allocated.
    pub user: String,
    /// Where the seat is; empty of purchased ones.
    pub organization: String,
    /// What happened, and in which record; empty where the seat was used.
    pub fact: String,
    /// When the fact happened, or when the seat that was used was assigned, milliseconds since 1970 UTC.
    pub start_ms: i64,
}

#[derive(Row, Deserialize)]
struct FoundRow {
    account_id: String,
    user_id: String,
    organization_id: String,
    fact: String,
    start_ms: i64,
    first_ms: i64,
    last_ms: i64,
}

impl Store {
    /// The rows of the accounts in the parts, given by table, as far as these are still there; `None` where they are too
    /// many.
    pub(super) async fn seat_rows_in(
        &self,
        parts: &BTreeMap<&str, Vec<&PartRow>>,
        accounts: &[String],
    ) -> Result<Option<HashMap<String, Vec<SeatRow>>>, StoreError> {
        let mut found: HashMap<String, Vec<SeatRow>> = HashMap::new();
        let of_tables = [
            ("seat_facts", SEAT_FACTS, "seat_fact_parts"),
            ("license_facts", LICENSE_FACTS, "license_fact_parts"),
            ("seat_usage_state", SEAT_USAGE, "seat_usage_parts"),
        ];
        let asked: Vec<_> = of_tables
            .into_iter()
            .filter_map(|(table, sql, parameter)| Some((sql, parameter, parts.get(table)?)))
            .collect();
        if accounts.is_empty() || asked.is_empty() {
            return Ok(Some(found));
        }
        let each = asked.iter().map(|(sql, parameter, _)| {
            format!(
                "{sql} WHERE s._part IN {{{parameter}:Array(String)}} AND s.account_id IN {{accounts:Array(String)}}"
            )
        });
        let each: Vec<String> = each.collect();
        let sql = format!("SELECT * FROM ({}) LIMIT {{limit:UInt64}}", each.join(" UNION ALL "));
        let mut query = self.read(&sql).param("accounts", accounts).param("limit", ROWS_MAX + 1);
        for (_, parameter, parts) in asked {
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            query = query.param(parameter, names);
        }
        let rows: Vec<FoundRow> = self.fetch_all(query).await?;
        if rows.len() > ROWS_MAX {
            return Ok(None);
        }
        for row in rows {
            let identity = SeatRowIdentity {
                user: row.user_id,
                organization: row.organization_id,
                fact: row.fact,
                start_ms: row.start_ms,
            };
            let row = (row.account_id, SeatRow { identity, first_ms: row.first_ms, last_ms: row.last_ms });
            found.entry(row.0).or_default().push(row.1);
        }
        Ok(Some(found))
    }
}
