//! What alerts are judged by, and what was told of them.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::reports::instant;
use super::row_binary::RowBuffer;
use super::rows::{EncodedTable, NO_MINIMUM_MS};
use crate::report::alert::{
    AlertKey, AlertRule, AlertState, Arming, SeatFigures, ToldAlert, ToldAlerts,
};

/// Milliseconds for which an alert of a quota month is remembered, 40 days: a month has 31 at most,
/// and a change of zone moves its edges by less than a week.
const REMEMBERED_MS: i64 = 40 * 86_400_000;

/// Alerts of these accounts: those that are open, those of seats, and those of months that may
/// still run.
const TOLD: &str = "\
SELECT e.account_id AS account_id, CAST(e.rule, 'String') AS rule, \
    e.organization_id AS organization_id, toUnixTimestamp64Milli(e.armed_at) AS armed_ms, \
    e.month AS month, CAST(e.line, 'String') AS line, \
    countIf(e.state = 'resolved') > 0 AS is_resolved, countIf(e.state = 'ended') > 0 AS is_ended, \
    argMinIf(e.is_silent, e.stored_at, e.state = 'raised') AS is_silent \
FROM alert_events AS e \
WHERE e.account_id IN {accounts:Array(String)} \
GROUP BY e.account_id, e.rule, e.organization_id, e.armed_at, e.month, e.line \
HAVING countIf(e.state = 'raised') > 0 AND (e.rule = 'seats' OR NOT (is_resolved OR is_ended) \
    OR max(e.found_at) >= {since:DateTime64(3, 'UTC')})";

/// The latest record of purchase of each account, and the first that lies ahead.
const PURCHASED: &str = "\
SELECT f.account_id AS account_id, \
    maxIf(toUnixTimestamp64Milli(f.time), f.time < {now:DateTime64(3, 'UTC')}) AS purchase_ms, \
    argMaxIf(f.seats, (f.time, f.source, f.offset), f.time < {now:DateTime64(3, 'UTC')}) \
        AS purchased, \
    countIf(f.time < {now:DateTime64(3, 'UTC')}) > 0 AS has_purchased, \
    minIf(toUnixTimestamp64Milli(f.time), f.time >= {now:DateTime64(3, 'UTC')}) AS next_ms, \
    countIf(f.time >= {now:DateTime64(3, 'UTC')}) > 0 AS has_next \
FROM license_facts AS f \
WHERE f.account_id IN {accounts:Array(String)} AND f.organization_id = '' \
GROUP BY f.account_id";

/// The seats that are assigned in each account, and the first start or end that lies ahead.
const ASSIGNED: &str = "\
SELECT i.account_id AS account_id, countIf(i.start < {now:DateTime64(3, 'UTC')}) AS assigned, \
    min(if(i.start >= {now:DateTime64(3, 'UTC')}, toUnixTimestamp64Milli(i.start), \
        toUnixTimestamp64Milli(i.end))) AS next_ms \
FROM \
( \
    SELECT s.account_id AS account_id, s.start AS start, min(s.end) AS end \
    FROM seat_intervals AS s \
    WHERE s.account_id IN {accounts:Array(String)} \
    GROUP BY s.account_id, s.organization_id, s.user_id, s.start \
    HAVING NOT min(tupleElement(s.opened, 'is_unknown')) \
        AND min(s.end) >= {now:DateTime64(3, 'UTC')} AND min(s.end) > s.start \
) AS i \
GROUP BY i.account_id";

/// The accounts whose latest events lie in the partition: of those that have moved, the partition
/// that met them first owns nothing any more.
const OF_SOURCE: &str = "\
SELECT p.account_id AS account_id \
FROM account_progress AS p \
WHERE p.account_id IN \
( \
    SELECT q.account_id FROM account_progress AS q WHERE q.source = {source:String} \
) \
GROUP BY p.account_id \
HAVING argMax(p.source, (tupleElement(p.last_event, 2), p.source)) = {source:String}";

/// Events of accounts of a partition that were found lately and are to be sent, with the targets
/// that are done with them.
const UNSENT: &str = "\
SELECT e.account_id AS account_id, CAST(e.rule, 'String') AS rule, e.alert AS alert, e.id AS id, \
    toUnixTimestamp64Milli(e.found) AS found_ms, e.event AS event, d.targets AS done \
FROM \
( \
    SELECT a.account_id AS account_id, a.rule AS rule, \
        sipHash64(a.account_id, a.rule, a.organization_id, a.armed_at, a.month, a.line) AS alert, \
        argMin(a.id, a.stored_at) AS id, argMin(a.found_at, a.stored_at) AS found, \
        argMin(a.event, a.stored_at) AS event \
    FROM alert_events AS a \
    WHERE a.account_id IN {accounts:Array(String)} \
    GROUP BY a.account_id, a.rule, a.organization_id, a.armed_at, a.month, a.line, a.state \
    HAVING event != '' AND found >= {since:DateTime64(3, 'UTC')} \
) AS e \
LEFT JOIN \
( \
    SELECT s.account_id AS account_id, s.id AS id, groupUniqArray(CAST(s.target, 'String')) \
        AS targets \
    FROM alert_deliveries AS s \
    WHERE s.account_id IN {accounts:Array(String)} \
    GROUP BY s.account_id, s.id \
) AS d ON d.account_id = e.account_id AND d.id = e.id \
ORDER BY e.found, e.id";

const MARKS: &str = "\
SELECT CAST(m.kind, 'Int8') AS kind, CAST(m.name, 'String') AS name, \
    toUnixTimestamp64Milli(min(m.since)) AS since_ms, max(m.judged_upto) AS judged_upto \
FROM alert_marks AS m \
GROUP BY m.kind, m.name";

/// What became of an alert, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub account: String,
    pub key: AlertKey,
    pub state: AlertState,
    /// When it was found, milliseconds since 1970 UTC.
    pub found_ms: i64,
    /// Nothing is sent of it.
    pub is_silent: bool,
    /// The data of the event, JSON.
    pub data: String,
    /// The event as it is sent, JSON; empty where nothing is.
    pub event: String,
}

/// An event that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsentEvent {
    pub account: String,
    pub rule: AlertRule,
    /// Hash of the alert that was raised or resolved.
    pub alert: u64,
    pub id: String,
    /// When it was found, milliseconds since 1970 UTC.
    pub found_ms: i64,
    /// The event, JSON.
    pub event: String,
    /// The targets that have it, or that it was given up for.
    pub done: Vec<String>,
}

/// What became of the sending of an event to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub account: String,
    /// The id of the event.
    pub id: String,
    pub target: String,
    /// Whether the target has acknowledged it; it was given up otherwise.
    pub is_delivered: bool,
}

/// What a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    Database,
    /// A partition.
    Source,
    /// Who events are sent to.
    Target,
    /// A line that the accounts of a partition are judged by.
    Line,
}

impl MarkKind {
    const ALL: [Self; 4] = [Self::Database, Self::Source, Self::Target, Self::Line];

    const fn number(self) -> i8 {
        match self {
            Self::Database => 1,
            Self::Source => 2,
            Self::Target => 3,
            Self::Line => 4,
        }
    }
}

/// Since when, and how far, there are alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertMark {
    /// Milliseconds since 1970 UTC.
    pub since_ms: i64,
    /// Next offset of the progress that the accounts of a partition were judged by.
    pub judged_upto: u64,
}

/// All marks, by what they are about and its name.
pub type AlertMarks = BTreeMap<(MarkKind, String), AlertMark>;

/// The seats of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountSeats {
    pub figures: SeatFigures,
    /// Time of the latest record of purchase, milliseconds since 1970 UTC.
    pub purchase_ms: Option<i64>,
    /// The first instant at which the figures change by themselves, milliseconds since 1970 UTC.
    pub next_ms: Option<i64>,
}

#[derive(Row, Deserialize)]
struct ToldRow {
    account_id: String,
    rule: String,
    organization_id: String,
    armed_ms: i64,
    month: u32,
    line: String,
    is_resolved: bool,
    is_ended: bool,
    is_silent: bool,
}

#[derive(Row, Deserialize)]
struct PurchasedRow {
    account_id: String,
    purchase_ms: i64,
    purchased: u64,
    has_purchased: bool,
    next_ms: i64,
    has_next: bool,
}

#[derive(Row, Deserialize)]
struct AssignedRow {
    account_id: String,
    assigned: u64,
    next_ms: i64,
}

#[derive(Row, Deserialize)]
struct AccountRow {
    account_id: String,
}

#[derive(Row, Deserialize)]
struct UnsentRow {
    account_id: String,
    rule: String,
    alert: u64,
    id: String,
    found_ms: i64,
    event: String,
    done: Vec<String>,
}

#[derive(Row, Deserialize)]
struct MarkRow {
    kind: i8,
    name: String,
    since_ms: i64,
    judged_upto: u64,
}

impl Store {
    /// What was told of these accounts that may still matter now (milliseconds since 1970 UTC), by
    /// account.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn told_alerts(
        &self,
        accounts: &[String],
        now_ms: i64,
    ) -> Result<HashMap<String, ToldAlerts>, StoreError> {
        let since = instant((now_ms - REMEMBERED_MS).max(0));
        let query = self.read(TOLD).param("accounts", accounts).param("since", since);
        let mut told: HashMap<String, ToldAlerts> = HashMap::new();
        for row in self.fetch_all::<ToldRow>(query).await? {
            // A later release may have rules and lines that say nothing of those of this one.
            let (Some(rule), Ok(line)) = (AlertRule::named(&row.rule), row.line.parse()) else {
                continue;
            };
            let key = AlertKey {
                rule,
                organization: Some(row.organization_id).filter(|id| !id.is_empty()),
                arming: Arming { at_ms: row.armed_ms, month: row.month },
                line,
            };
            let state = match (row.is_resolved, row.is_ended) {
                (true, _) => AlertState::Resolved,
                (false, true) => AlertState::Ended,
                (false, false) => AlertState::Raised,
            };
            let alert = ToldAlert { state, is_silent: row.is_silent };
            told.entry(row.account_id).or_default().insert(key, alert);
        }
        Ok(told)
    }

    /// The seats of these accounts now (milliseconds since 1970 UTC), by account; one without any
    /// is missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn account_seats(
        &self,
        accounts: &[String],
        now_ms: i64,
    ) -> Result<HashMap<String, AccountSeats>, StoreError> {
        let now = instant(now_ms);
        let ask = |sql| self.read(sql).param("accounts", accounts).param("now", now.as_str());
        let (purchased, assigned) = tokio::try_join!(
            self.fetch_all::<PurchasedRow>(ask(PURCHASED)),
            self.fetch_all::<AssignedRow>(ask(ASSIGNED)),
        )?;
        let mut seats: HashMap<String, AccountSeats> = HashMap::new();
        for row in purchased {
            let account = seats.entry(row.account_id).or_default();
            account.figures.purchased = row.purchased;
            account.purchase_ms = row.has_purchased.then_some(row.purchase_ms);
            account.next_ms = row.has_next.then_some(row.next_ms);
        }
        for row in assigned {
            let account = seats.entry(row.account_id).or_default();
            account.figures.assigned = row.assigned;
            let next_ms = Some(row.next_ms).filter(|&next_ms| next_ms < NO_MINIMUM_MS);
            account.next_ms = account.next_ms.into_iter().chain(next_ms).min();
        }
        Ok(seats)
    }

    /// The accounts whose latest events lie in the partition of this source, in no order.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn accounts_of_source(&self, source: &str) -> Result<Vec<String>, StoreError> {
        let query = self.read(OF_SOURCE).param("source", source);
        let rows: Vec<AccountRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|row| row.account_id).collect())
    }

    /// The events of these accounts that were found at or after an instant (milliseconds since 1970
    /// UTC) and are to be sent, oldest first: to each target but those that are done with it.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn unsent_alerts(
        &self,
        accounts: &[String],
        since_ms: i64,
    ) -> Result<Vec<UnsentEvent>, StoreError> {
        let since = instant(since_ms.max(0));
        let query = self.read(UNSENT).param("accounts", accounts).param("since", since);
        let rows: Vec<UnsentRow> = self.fetch_all(query).await?;
        let event = |row: UnsentRow| {
            Some(UnsentEvent {
                account: row.account_id,
                // A later release sends those that it alone knows.
                rule: AlertRule::named(&row.rule)?,
                alert: row.alert,
                id: row.id,
                found_ms: row.found_ms,
                event: row.event,
                done: row.done,
            })
        };
        Ok(rows.into_iter().filter_map(event).collect())
    }

    /// All marks.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn alert_marks(&self) -> Result<AlertMarks, StoreError> {
        self.sync_table("alert_marks").await?;
        let rows: Vec<MarkRow> = self.fetch_all(self.read(MARKS)).await?;
        let mark = |row: MarkRow| {
            let kind = MarkKind::ALL.into_iter().find(|kind| kind.number() == row.kind)?;
            let mark = AlertMark { since_ms: row.since_ms, judged_upto: row.judged_upto };
            Some(((kind, row.name), mark))
        };
        Ok(rows.into_iter().filter_map(mark).collect())
    }

    /// Adds marks; of several about the same the earliest time and the furthest offset count.
    ///
    /// # Errors
    /// Where ClickHouse does not store them.
    pub async fn write_alert_marks(&self, marks: &AlertMarks) -> Result<(), StoreError> {
        const COLUMNS: &str = "kind, name, since, judged_upto";
        self.insert_encoded("alert_marks", COLUMNS, marks, |((kind, name), mark), out| {
            out.enum8(kind.number());
            out.string(name);
            out.time_ms(mark.since_ms);
            out.u64(mark.judged_upto);
        })
        .await
    }

    /// Stores what became of alerts.
    ///
    /// # Errors
    /// Where ClickHouse does not store all of it.
    pub async fn write_alerts(&self, rows: &[AlertRow]) -> Result<(), StoreError> {
        // `stored_at` is left to ClickHouse's clock.
        const COLUMNS: &str = "account_id, rule, organization_id, armed_at, month, line, state, \
            id, found_at, is_silent, data, event";
        self.insert_encoded("alert_events", COLUMNS, rows, |row, out| {
            let AlertRow { account, key, state, .. } = row;
            out.string(account);
            out.string(key.rule.as_str());
            out.string(key.organization.as_deref().unwrap_or_default());
            out.time_ms(key.arming.at_ms);
            out.u32(key.arming.month);
            out.string(key.line.to_string());
            out.enum8(match state {
                AlertState::Raised => 1,
                AlertState::Resolved => 2,
                AlertState::Ended => 3,
            });
            out.string(key.id(account, *state));
            out.time_ms(row.found_ms);
            out.bool(row.is_silent);
            out.string(&row.data);
            out.string(&row.event);
        })
        .await
    }

    /// Stores which target is done with which event.
    ///
    /// # Errors
    /// Where ClickHouse does not store all of it.
    pub async fn write_deliveries(&self, rows: &[DeliveryRow]) -> Result<(), StoreError> {
        const COLUMNS: &str = "account_id, id, target, outcome";
        self.insert_encoded("alert_deliveries", COLUMNS, rows, |row, out| {
            out.string(&row.account);
            out.string(&row.id);
            out.string(&row.target);
            out.enum8(if row.is_delivered { 1 } else { 2 });
        })
        .await
    }

    async fn insert_encoded<R>(
        &self,
        table: &'static str,
        columns: &'static str,
        rows: impl IntoIterator<Item = R>,
        encode: impl Fn(R, &mut RowBuffer),
    ) -> Result<(), StoreError> {
        let (mut out, mut count) = (RowBuffer::default(), 0);
        for row in rows {
            encode(row, &mut out);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let bytes = out.into_bytes();
        self.insert(EncodedTable { table, columns, rows: count, bytes }).await.map(drop)
    }
}
