//! The rows a lane writes. Each is a join-semilattice value: merging a row twice, late or out of
//! order changes nothing.

use std::fmt;
use std::sync::Arc;

use super::audit::AuditedHour;
use super::calendar::{Day, Zone};
use super::event::{PlanKind, Record, Reject};
use super::id::Id;
pub use super::progress::{LastRecord, Progress};
use super::topics::Touched;

/// The name of one incarnation of one partition: `topic/topic-id/partition`, where the topic id is
/// empty if the broker has none. Facts are ordered by (time, source, offset), sources by this text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    name: Arc<str>,
    topic_len: usize,
    partition: u32,
}

impl Source {
    /// Names the source. `topic_id` is Kafka's, as text, or empty.
    pub fn new(topic: &str, topic_id: &str, partition: u32) -> Self {
        Self {
            name: format!("{topic}/{topic_id}/{partition}").into(),
            topic_len: topic.len(),
            partition,
        }
    }

    /// The whole name, as it stands in ClickHouse.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name, shared.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.name[..self.topic_len]
    }

    /// The topic id; empty if the broker has none.
    pub fn topic_id(&self) -> &str {
        let rest = &self.name[self.topic_len + 1..];
        rest.rsplit_once('/').map_or("", |(id, _)| id)
    }

    /// The partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// What the names of all partitions of this incarnation of the topic begin with:
    /// `topic/topic-id/`.
    pub fn incarnation(&self) -> &str {
        let partition = self.name.rfind('/').map_or(0, |slash| slash + 1);
        &self.name[..partition]
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The rows that one drain of one lane yields.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneRows {
    pub source: Source,
    /// Where the lane stood at the drain: `upto` of every counter below, and the progress to record
    /// once all rows of the flush are acknowledged.
    pub progress: Progress,
    /// Rows to write before all others.
    pub account_moves: Vec<AccountMove>,
    pub active_users: Vec<ActiveUsers>,
    pub test_executions: Vec<TestExecutions>,
    pub quota_usage: Vec<QuotaUsage>,
    pub seat_facts: Vec<SeatFact>,
    pub seat_intervals: Vec<SeatInterval>,
    pub license_facts: Vec<LicenseFact>,
    pub plan_facts: Vec<PlanFact>,
    pub zone_facts: Vec<ZoneFact>,
    pub directory: Vec<DirectoryEntry>,
    pub organizations: Vec<OrganizationSeen>,
    pub rejected: Vec<RejectedRecord>,
    pub audited_hours: Vec<AuditedHour>,
    /// Rows to write once all others are acknowledged.
    pub account_progress: Vec<AccountProgress>,
    /// Kafka timestamps (milliseconds) of records passed since the last drain, as (timestamp,
    /// records) for the latency metric; coarse, at most one entry per distinct second.
    pub record_times: Vec<(i64, u64)>,
}

impl LaneRows {
    /// An empty drain.
    pub fn new(source: Source, progress: Progress) -> Self {
        Self {
            source,
            progress,
            account_moves: Vec::new(),
            active_users: Vec::new(),
            test_executions: Vec::new(),
            quota_usage: Vec::new(),
            seat_facts: Vec::new(),
            seat_intervals: Vec::new(),
            license_facts: Vec::new(),
            plan_facts: Vec::new(),
            zone_facts: Vec::new(),
            directory: Vec::new(),
            organizations: Vec::new(),
            rejected: Vec::new(),
            audited_hours: Vec::new(),
            account_progress: Vec::new(),
            record_times: Vec::new(),
        }
    }

    /// Whether any row holds a day, which depends on the zone data.
    pub fn have_days(&self) -> bool {
        !(self.active_users.is_empty()
            && self.test_executions.is_empty()
            && self.quota_usage.is_empty())
    }

    /// The days of accounts that got users, each once; to be written once the users are
    /// acknowledged, and before the progress of accounts.
    pub fn active_days(&self) -> Vec<ActiveDay<'_>> {
        let upto = self.progress.next_offset;
        let mut days: Vec<ActiveDay<'_>> = Vec::new();
        for row in &self.active_users {
            let day = ActiveDay { account: &row.account, day: row.day, upto };
            // Rows of one account stand together, mostly of one day.
            if days.last() != Some(&day) {
                days.push(day);
            }
        }
        days.sort_unstable();
        days.dedup();
        days
    }

    /// Number of rows, all tables together.
    pub fn row_count(&self) -> usize {
        self.account_moves.len()
            + self.active_users.len()
            + self.test_executions.len()
            + self.quota_usage.len()
            + self.seat_facts.len()
            + self.seat_intervals.len()
            + self.license_facts.len()
            + self.plan_facts.len()
            + self.zone_facts.len()
            + self.directory.len()
            + self.organizations.len()
            + self.rejected.len()
            + self.audited_hours.len()
            + self.account_progress.len()
    }
}

/// Position of a record in the lane's partition, and when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    pub offset: u64,
    /// Kafka's record timestamp, milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
}

/// How far the lane has counted an account: every row of the account's records up to `last` is
/// stored before this one. Yielded for each account with an event since the last drain, whether or
/// not the event changed a row. Merged by `min` of `first`, `max` of `last`, each by offset, and by
/// topic by `max` of `upto` and of the latest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProgress {
    pub account: Id,
    /// Its first event since the last drain.
    pub first: RecordPlace,
    /// Its last event since the last drain.
    pub last: RecordPlace,
    /// The topics that these events touched: of them, everything below `upto` is stored.
    pub touched: Touched,
}

impl AccountProgress {
    /// Everything of the account below this offset is stored.
    pub fn upto(&self) -> u64 {
        self.last.offset + 1
    }
}

/// The account's first event in the lane's partition: one row without a former partition, and one
/// for each other partition of the topic that had met the account before, from which it has moved
/// here. That is exact only if the former partition counts nothing of the account from
/// `former_upto` on. Merged by `min` of `former_upto`.
///
/// The lane of the former partition yields the row too, where it loads the account's facts and
/// stands before `former_upto`: it judges events again that the other lane assumed to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountMove {
    pub account: Id,
    /// The source of the partition that the account came to.
    pub source: Arc<str>,
    /// The source of the partition that had met it before, if the row is about one.
    pub former: Option<Arc<str>>,
    /// The next offset of the former partition's recorded progress when the lane loaded the
    /// account's facts; 0 without one.
    pub former_upto: u64,
}

/// Users active on a day, new since the last drain. Merged by union.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveUsers {
    pub account: Id,
    /// `None`: activity that named no organization.
    pub organization: Option<Id>,
    pub day: Day,
    /// Keys by [`Id::user_key`], ascending, each once. They become a bitmap when they are encoded:
    /// a treemap of hashed keys takes some 300 bytes a key, and a flush holds the keys of all
    /// users.
    pub users: Vec<u64>,
}

/// How far the lane has counted the active users of an account's day: those of all records below
/// `upto` are stored before this row. Merged by `max` of `upto`.
///
/// A reader keeps what it has made of a day under the `upto` of all sources, which it has read
/// before. Since bitmaps are never loaded, each event of the day that a lane applies anew yields
/// its user again, and with it this row; so what a dead flush has stored is announced too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActiveDay<'r> {
    pub account: &'r Id,
    pub day: Day,
    /// The lane's next offset at the drain.
    pub upto: u64,
}

/// Tests of one project on one day, as one source has counted them so far. Merged by `max` of each
/// column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestExecutions {
    pub account: Id,
    pub organization: Id,
    pub project: Option<Id>,
    pub day: Day,
    pub count: ExecutionCount,
    /// The lane's next offset at the drain.
    pub upto: u64,
}

/// Cumulative test counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionCount {
    /// Tests run on the platform.
    pub run: u64,
    /// Tests whose results were uploaded.
    pub uploaded: u64,
    /// Milliseconds that all of them took.
    pub duration_ms: u64,
}

/// Tests that consumed quota on one day of one quota month, as one source has counted them so far.
/// Merged by `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    pub account: Id,
    pub organization: Id,
    /// The anchor of the quota months, milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// The quota month, 1 = first.
    pub month: u32,
    pub day: Day,
    pub tests: u64,
    /// The lane's next offset at the drain.
    pub upto: u64,
}

/// Whether a seat fact opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeatFactKind {
    Assigned,
    Revoked,
}

/// A seat was assigned or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatFact {
    pub account: Id,
    pub organization: Id,
    pub user: Id,
    pub time_ms: i64,
    pub kind: SeatFactKind,
    pub source: Arc<str>,
    pub offset: u64,
    /// Only of `Assigned`.
    pub project: Option<Id>,
    /// Only of `Assigned`.
    pub license_source: Option<Id>,
}

/// What is new about the seat interval that starts at `start_ms`: it runs from an assignment to the
/// next fact of either kind. Merged column by column, where `None` and `false` change nothing:
/// `min` of `opened`, `end_ms` and `first_active_ms`, `max` of `is_superseded` and
/// `last_active_ms`. The end is a minimum because facts only ever shorten an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatInterval {
    pub account: Id,
    pub organization: Id,
    pub user: Id,
    /// When the seat was assigned, milliseconds since 1970 UTC.
    pub start_ms: i64,
    /// The assignment.
    pub opened: Option<SeatOpened>,
    /// The time of the next fact, as far as one is known, milliseconds since 1970 UTC.
    pub end_ms: Option<i64>,
    /// The user was assigned a seat in this organization again, later.
    pub is_superseded: bool,
    /// The earliest activity, milliseconds since 1970 UTC; may lie behind the end.
    pub first_active_ms: Option<i64>,
    /// The latest activity, milliseconds since 1970 UTC; may lie behind the end.
    pub last_active_ms: Option<i64>,
}

/// The record that assigned a seat. Of several at one time the first by (source, offset) stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatOpened {
    pub source: Arc<str>,
    pub offset: u64,
    pub project: Option<Id>,
    pub license_source: Id,
}

/// First and last activity in the seat interval that starts at `start_ms`, as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatUsage {
    pub account: Id,
    pub organization: Id,
    pub user: Id,
    pub start_ms: i64,
    pub first_active_ms: i64,
    pub last_active_ms: i64,
}

/// Seats that an account owns (`organization` is `None`) or that are allocated to an organization,
/// from `time_ms` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenseFact {
    pub account: Id,
    pub organization: Option<Id>,
    pub time_ms: i64,
    pub source: Arc<str>,
    pub offset: u64,
    pub seats: u64,
}

/// A plan record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFact {
    pub account: Id,
    pub organization: Id,
    pub time_ms: i64,
    pub source: Arc<str>,
    pub offset: u64,
    pub kind: PlanKind,
    pub plan: Id,
    /// `None` is unlimited.
    pub monthly_quota: Option<u64>,
}

/// An account's time zone, as of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFact {
    pub account: Id,
    pub time_ms: i64,
    pub source: Arc<str>,
    pub offset: u64,
    pub zone: Zone,
}

/// The entity that a directory entry describes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    Account,
    Organization(Id),
    User(Id),
    Project { organization: Id, project: Id },
}

/// Which field of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Name,
    Email,
    /// Of an organization; the empty value means top level.
    Parent,
}

/// One directory field as a record gave it. Merged by `max` of (time, source, offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    pub account: Id,
    pub entity: Entity,
    pub field: Field,
    pub time_ms: i64,
    pub source: Arc<str>,
    pub offset: u64,
    pub value: String,
}

/// An event named this organization, or (where it is `None`) just the account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrganizationSeen {
    pub account: Id,
    pub organization: Option<Id>,
}

/// A record that is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    pub offset: u64,
    /// Kafka's record timestamp, milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// The first 64 KiB.
    pub key: Option<Vec<u8>>,
    /// The first 64 KiB.
    pub payload: Vec<u8>,
    /// Bytes of the whole payload.
    pub payload_bytes: u64,
    pub reject: Reject,
}

/// Bytes that are kept of a rejected record's key, and of its payload.
const REJECTED_BYTES_MAX: usize = 64 * 1024;

impl RejectedRecord {
    /// What is kept of the record.
    pub fn of(record: &Record<'_>, reject: Reject) -> Self {
        let kept = |bytes: &[u8]| bytes[..bytes.len().min(REJECTED_BYTES_MAX)].to_vec();
        let payload = record.payload.unwrap_or_default();
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(kept),
            payload: kept(payload),
            payload_bytes: payload.len() as u64,
            reject,
        }
    }
}
