//! The rows of the tables as `verify` compares them with the log: merged by their full key, each
//! with its key as one text.

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;

/// How long the next rows of a whole table may take.
const ROWS_TIMEOUT: Duration = Duration::from_secs(600);

/// A table that is compared with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compared {
    /// Tests by project and day, as each source has counted them.
    TestExecutions,
    /// Quota by month and day, as each source has counted it.
    QuotaUsage,
    /// Users by organization and day.
    ActiveUsers,
    /// Users by account and day.
    ActiveUsersByAccount,
    /// Assignments and revocations.
    SeatFacts,
    /// Seats from assignment to end.
    SeatIntervals,
    /// Purchases and allocations.
    LicenseFacts,
    /// Plans.
    PlanFacts,
    /// Time zones.
    ZoneFacts,
    /// Names, addresses, parents.
    Directory,
    /// Accounts and organizations that an event has named.
    Organizations,
    /// Rejected records.
    RejectedEvents,
    /// Outcomes by hour, as each source has counted them.
    AuditedHours,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::TestExecutions,
        Self::QuotaUsage,
        Self::ActiveUsers,
        Self::ActiveUsersByAccount,
        Self::SeatFacts,
        Self::SeatIntervals,
        Self::LicenseFacts,
        Self::PlanFacts,
        Self::ZoneFacts,
        Self::Directory,
        Self::Organizations,
        Self::RejectedEvents,
        Self::AuditedHours,
    ];

    /// The table's name in the internal database.
    pub fn table(self) -> &'static str {
        match self {
            Self::TestExecutions => "test_executions_state",
            Self::QuotaUsage => "quota_usage_state",
            Self::ActiveUsers => "active_users_state",
            Self::ActiveUsersByAccount => "active_users_by_account_state",
            Self::SeatFacts => "seat_facts",
            Self::SeatIntervals => "seat_intervals",
            Self::LicenseFacts => "license_facts",
            Self::PlanFacts => "plan_facts",
            Self::ZoneFacts => "zone_facts",
            Self::Directory => "directory_state",
            Self::Organizations => "organizations_seen",
            Self::RejectedEvents => "rejected_event_facts",
            Self::AuditedHours => "ingest_audit_state",
        }
    }

    /// The columns of its key, in the order in which they stand in [`StoredRow::key`].
    pub fn key_columns(self) -> &'static [&'static str] {
        match self {
            Self::TestExecutions => {
                &["account_id", "organization_id", "project_id", "day", "source"]
            }
            Self::QuotaUsage => {
                &["account_id", "organization_id", "anchor_ms", "month", "day", "source"]
            }
            Self::ActiveUsers => &["account_id", "organization_id", "day"],
            Self::ActiveUsersByAccount => &["account_id", "day"],
            Self::SeatFacts => {
                &["account_id", "organization_id", "user_id", "time_ms", "kind", "source", "offset"]
            }
            Self::SeatIntervals => &["account_id", "organization_id", "user_id", "start_ms"],
            Self::LicenseFacts | Self::PlanFacts => {
                &["account_id", "organization_id", "time_ms", "source", "offset"]
            }
            Self::ZoneFacts => &["account_id", "time_ms", "source", "offset"],
            Self::Directory => &["account_id", "entity", "organization_id", "entity_id", "field"],
            Self::Organizations => &["account_id", "organization_id"],
            Self::RejectedEvents => &["source", "offset"],
            Self::AuditedHours => &["source", "hour"],
        }
    }

    /// Whether its key begins with an account.
    pub fn is_by_account(self) -> bool {
        !matches!(self, Self::RejectedEvents | Self::AuditedHours)
    }

    /// Whether its rows tell of all records of a source, whatever their accounts.
    pub fn is_of_all_records(self) -> bool {
        self == Self::AuditedHours
    }

    /// Whether its key names a source, so that the rows of one source are that source's alone.
    pub fn is_by_source(self) -> bool {
        self.key_columns().contains(&"source")
    }

    /// The expressions of its key, `numbers` and `text`, and its grouping, over the table as `t`.
    fn parts(self) -> Parts {
        match self {
            Self::TestExecutions => Parts {
                key: "t.account_id, t.organization_id, t.project_id, toString(t.day), t.source",
                group: "t.account_id, t.organization_id, t.project_id, t.day, t.source",
                numbers: "[max(t.run), max(t.uploaded), max(t.duration_ms)]",
                text: "''",
            },
            Self::QuotaUsage => Parts {
                key: "t.account_id, t.organization_id, \
                    toString(toUnixTimestamp64Milli(t.anchor)), toString(t.month), \
                    toString(t.day), t.source",
                group: "t.account_id, t.organization_id, t.anchor, t.month, t.day, t.source",
                numbers: "[max(t.tests)]",
                text: "''",
            },
            Self::ActiveUsers => Parts {
                key: "t.account_id, t.organization_id, toString(t.day)",
                group: "t.account_id, t.organization_id, t.day",
                numbers: "bitmapToArray(groupBitmapMergeState(t.users))",
                text: "''",
            },
            Self::ActiveUsersByAccount => Parts {
                key: "t.account_id, toString(t.day)",
                group: "t.account_id, t.day",
                numbers: "bitmapToArray(groupBitmapMergeState(t.users))",
                text: "''",
            },
            Self::SeatIntervals => Parts {
                key: "t.account_id, t.organization_id, t.user_id, \
                    toString(toUnixTimestamp64Milli(t.start))",
                group: "t.account_id, t.organization_id, t.user_id, t.start",
                numbers: "[toUInt64(toUnixTimestamp64Milli(min(t.end))), \
                    toUInt64(max(t.superseded)), \
                    toUInt64(toUnixTimestamp64Milli(min(t.first_active))), \
                    toUInt64(toUnixTimestamp64Milli(max(t.last_active))), \
                    toUInt64(min(t.opened).1), min(t.opened).3]",
                text: "concatWithSeparator('\\t', min(t.opened).2, min(t.opened).4, \
                    min(t.opened).5)",
            },
            Self::AuditedHours => Parts {
                key: "t.source, toString(t.hour)",
                group: "t.source, t.hour",
                numbers: "[min(t.first_offset), max(t.counted).2, max(t.counted).3, \
                    max(t.counted).4, max(t.counted).5, max(t.counted).6, max(t.counted).7, \
                    max(t.counted).8]",
                text: "''",
            },
            Self::Organizations => Parts {
                key: "t.account_id, t.organization_id",
                group: "t.account_id, t.organization_id",
                numbers: "CAST([], 'Array(UInt64)')",
                text: "''",
            },
            _ => self.fact_parts(),
        }
    }

    /// The same of tables that hold facts as they came.
    fn fact_parts(self) -> Parts {
        const NONE: &str = "CAST([], 'Array(UInt64)')";
        match self {
            Self::SeatFacts => Parts {
                key: "t.account_id, t.organization_id, t.user_id, \
                    toString(toUnixTimestamp64Milli(t.time)), toString(t.kind), t.source, \
                    toString(t.offset)",
                group: "t.account_id, t.organization_id, t.user_id, t.time, t.kind, t.source, \
                    t.offset",
                numbers: NONE,
                text: "concatWithSeparator('\\t', any(t.project_id), any(t.license_source))",
            },
            Self::LicenseFacts => Parts {
                key: "t.account_id, t.organization_id, toString(toUnixTimestamp64Milli(t.time)), \
                    t.source, toString(t.offset)",
                group: "t.account_id, t.organization_id, t.time, t.source, t.offset",
                numbers: NONE,
                text: "toString(any(t.seats))",
            },
            Self::PlanFacts => Parts {
                key: "t.account_id, t.organization_id, toString(toUnixTimestamp64Milli(t.time)), \
                    t.source, toString(t.offset)",
                group: "t.account_id, t.organization_id, t.time, t.source, t.offset",
                numbers: NONE,
                text: "concatWithSeparator('\\t', toString(any(t.kind)), any(t.plan), \
                    ifNull(toString(any(t.monthly_quota)), 'unlimited'))",
            },
            Self::ZoneFacts => Parts {
                key: "t.account_id, toString(toUnixTimestamp64Milli(t.time)), t.source, \
                    toString(t.offset)",
                group: "t.account_id, t.time, t.source, t.offset",
                numbers: NONE,
                text: "toString(any(t.timezone))",
            },
            Self::RejectedEvents => Parts {
                key: "t.source, toString(t.offset)",
                group: "t.source, t.offset",
                numbers: NONE,
                text: "concatWithSeparator('\\t', toString(any(t.reason)), \
                    toString(any(t.path)), toString(any(t.payload_bytes)), \
                    ifNull(toString(toUnixTimestamp64Milli(any(t.timestamp))), 'none'), \
                    if(isNull(any(t.key)), 'none', toString(xxh3(ifNull(any(t.key), '')))), \
                    toString(xxh3(any(t.payload))))",
            },
            // Of the row that carries only how a nameless user is searched nothing is compared.
            _ => Parts {
                key: "t.account_id, toString(t.entity), t.organization_id, t.entity_id, \
                    toString(t.field)",
                group: "t.account_id, t.entity, t.organization_id, t.entity_id, t.field \
                    HAVING toUnixTimestamp64Milli(max(t.latest).1) > 0",
                numbers: "[toUInt64(toUnixTimestamp64Milli(max(t.latest).1)), max(t.latest).3]",
                text: "concatWithSeparator('\\t', max(t.latest).2, max(t.latest).4)",
            },
        }
    }

    fn sql(self, condition: &str) -> String {
        let Parts { key, group, numbers, text } = self.parts();
        let table = self.table();
        format!(
            "SELECT concatWithSeparator('\\t', {key}) AS key, {numbers} AS numbers, {text} AS \
             text FROM {table} AS t WHERE {condition} GROUP BY {group}"
        )
    }
}

/// What a query reads of a table.
struct Parts {
    key: &'static str,
    group: &'static str,
    numbers: &'static str,
    text: &'static str,
}

/// The rows that are read.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Those of accounts whose id's xxh3 hash leaves this remainder.
    Share {
        /// The divisor, at least 1.
        divisor: u64,
        /// The remainder.
        remainder: u64,
    },
    /// Those of these accounts.
    Of(&'a [String]),
}

/// A merged row of a compared table.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct StoredRow {
    /// The values of [`Compared::key_columns`], separated by tabs, which no id holds. Times are
    /// milliseconds since 1970 UTC, days ISO 8601.
    pub key: String,
    /// Counters, users, or the columns of an interval, in the table's order.
    pub numbers: Vec<u64>,
    /// The rest of the row.
    pub text: String,
}

/// A source that has met an account.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct MetSource {
    /// The account.
    pub account_id: String,
    /// The source.
    pub source: String,
    /// Kafka's timestamp of the account's first event in it, milliseconds since 1970 UTC; the
    /// greatest number where that has none.
    pub first_ms: i64,
    /// The same of its last event; the least number where that has none.
    pub last_ms: i64,
}

impl Store {
    /// Passes every merged row of a table to `take`. Of a table that is not by account, the rows of
    /// accounts are those of records with such a key, and a share has all of them.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked; the answer may have been given in part then.
    pub async fn compared_rows(
        &self,
        table: Compared,
        rows: Rows<'_>,
        mut take: impl FnMut(StoredRow),
    ) -> Result<(), StoreError> {
        let column = if table.is_by_account() { "t.account_id" } else { "ifNull(t.key, '')" };
        match rows {
            Rows::Share { divisor, remainder } => {
                let condition = if table.is_by_account() {
                    "xxh3(t.account_id) % {divisor:UInt64} = {remainder:UInt64}"
                } else {
                    "{divisor:UInt64} > {remainder:UInt64}"
                };
                let query = self
                    .read_only(&table.sql(condition))
                    .param("divisor", divisor)
                    .param("remainder", remainder);
                self.for_each(query, take).await
            }
            Rows::Of(accounts) => {
                let sql = table.sql(&format!("{column} IN {{keys:Array(String)}}"));
                for chunk in chunks(accounts) {
                    self.for_each(self.read_only(&sql).param("keys", chunk), &mut take).await?;
                }
                Ok(())
            }
        }
    }

    /// Accounts of the share that more than one source has met, or another one than `sources`, each
    /// with all of its sources.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn met_elsewhere(
        &self,
        sources: &[String],
        divisor: u64,
        remainder: u64,
    ) -> Result<Vec<MetSource>, StoreError> {
        const SQL: &str = "\
            SELECT p.account_id AS account_id, toString(p.source) AS source, \
                tupleElement(min(p.first_event), 2) AS first_ms, \
                tupleElement(max(p.last_event), 2) AS last_ms \
            FROM account_progress AS p \
            WHERE p.account_id IN ( \
                SELECT q.account_id FROM account_progress AS q \
                WHERE xxh3(q.account_id) % {divisor:UInt64} = {remainder:UInt64} \
                GROUP BY q.account_id \
                HAVING min(q.source) < max(q.source) \
                    OR NOT has({sources:Array(String)}, toString(min(q.source)))) \
            GROUP BY p.account_id, p.source";
        let query = self
            .read_only(SQL)
            .param("sources", sources)
            .param("divisor", divisor)
            .param("remainder", remainder);
        let mut met = Vec::new();
        self.for_each(query, |row| met.push(row)).await?;
        Ok(met)
    }

    /// Every source of any topic whose progress is recorded.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn recorded_sources(&self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT toString(p.source) AS source FROM source_progress AS p \
            GROUP BY p.source ORDER BY source";
        self.fetch_all(self.read_only(SQL)).await
    }

    /// Passes every row to `take` as it comes. The server sends none before it has all, so that an
    /// answer that breaks off is an error.
    async fn for_each<T: RowOwned + RowRead>(
        &self,
        query: Query,
        mut take: impl FnMut(T),
    ) -> Result<(), StoreError> {
        let read = async {
            let mut cursor = query.fetch::<T>()?;
            while let Some(row) = cursor.next().await? {
                take(row);
            }
            Ok(())
        };
        match tokio::time::timeout(ROWS_TIMEOUT, read).await {
            Ok(answer) => answer.map_err(|error| self.target().classify(error)),
            Err(_) => Err(self.target().timed_out(ROWS_TIMEOUT)),
        }
    }
}
