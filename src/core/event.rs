//! The events that seatmeter understands, parsed into a form that cannot be wrong.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::calendar::Zone;
use super::id::IdRef;

/// The leader epoch of records that carry none.
pub const UNKNOWN_EPOCH: i32 = -1;

/// One record of the topic, as the log holds it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: u64,
    /// Kafka's record timestamp, milliseconds since 1970 UTC; `None` where the record carries none.
    pub timestamp_ms: Option<i64>,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

impl Record<'_> {
    /// A hash of timestamp, key and value that identifies the record; never 0. It is stored, so the
    /// algorithm must not change. Each part is hashed by itself, seeded with the hash of those
    /// before it, so that no two records yield the same bytes.
    pub fn fingerprint(&self) -> u64 {
        let mut head = [0; 10];
        head[..8].copy_from_slice(&self.timestamp_ms.unwrap_or(i64::MIN).to_le_bytes());
        head[8] = u8::from(self.key.is_some());
        head[9] = u8::from(self.payload.is_some());
        let hash = xxh3_64(&head);
        let hash = xxh3_64_with_seed(self.key.unwrap_or_default(), hash);
        xxh3_64_with_seed(self.payload.unwrap_or_default(), hash).max(1)
    }
}

/// Outcome of decoding a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// A well-formed event. The lane decides whether it is a duplicate.
    Event(Event<'a>),
    /// Not such an event.
    Rejected(Reject),
    /// A null value.
    Tombstone,
}

/// Why a record was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub reason: RejectReason,
    /// The path of the field at fault (`id`, `data.seats`, `$key`) of a missing or invalid field;
    /// empty for the other reasons, whose names say what they judge.
    pub path: &'static str,
}

/// The closed list of reject reasons; their names are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The value is over 1 MiB.
    TooLarge,
    /// Not JSON, or not a JSON object.
    InvalidJson,
    /// A required field is absent.
    MissingField,
    /// A field's value is not of its type or range.
    InvalidField,
    /// `type` names no known event.
    UnknownType,
    /// `time` lies before 2000-01-01 UTC.
    TimeTooOld,
    /// `time` lies more than an hour after the record's timestamp, or after 2099.
    TimeInFuture,
}

impl RejectReason {
    /// Every reason, in the order in which they are judged.
    pub const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::InvalidJson,
        Self::MissingField,
        Self::InvalidField,
        Self::UnknownType,
        Self::TimeTooOld,
        Self::TimeInFuture,
    ];

    /// The name in `rejected_events` and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::InvalidJson => "invalid_json",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::UnknownType => "unknown_type",
            Self::TimeTooOld => "time_too_old",
            Self::TimeInFuture => "time_in_future",
        }
    }
}

/// A well-formed event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// CloudEvents `id`.
    pub id: Cow<'a, str>,
    /// When it happened: milliseconds since 1970 UTC, within 2000..2099.
    pub time_ms: i64,
    /// The account that it belongs to, which is also the record's key.
    pub account: IdRef<'a>,
    /// What happened.
    pub kind: EventKind<'a>,
}

impl<'a> Event<'a> {
    /// The user whose seats matter for counting it.
    pub fn user(&self) -> Option<&IdRef<'a>> {
        match &self.kind {
            EventKind::Activity { user, .. }
            | EventKind::LicenseAssigned { user, .. }
            | EventKind::LicenseRevoked { user, .. } => Some(user),
            EventKind::TestExecuted(test) => test.user.as_ref(),
            _ => None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind<'a> {
    /// `user.login` and `user.action`: the user was active.
    Activity { organization: Option<IdRef<'a>>, user: IdRef<'a> },
    /// `test.executed`.
    TestExecuted(TestExecuted<'a>),
    /// `license.purchased`: the account now owns this many seats.
    LicensePurchased { seats: u64 },
    /// `license.allocated`: the organization is now allocated this many of them.
    LicenseAllocated { organization: IdRef<'a>, seats: u64 },
    /// `license.assigned`.
    LicenseAssigned {
        organization: IdRef<'a>,
        user: IdRef<'a>,
        project: Option<IdRef<'a>>,
        /// Already defaulted to the account id.
        license_source: IdRef<'a>,
    },
    /// `license.revoked`.
    LicenseRevoked { organization: IdRef<'a>, user: IdRef<'a> },
    /// `plan.started`, `plan.upgraded`, `plan.adjusted`.
    Plan {
        kind: PlanKind,
        organization: IdRef<'a>,
        plan: IdRef<'a>,
        /// Tests per quota month; `None` is unlimited.
        monthly_quota: Option<u64>,
    },
    /// `account.updated`.
    AccountUpdated { name: Option<Cow<'a, str>>, timezone: Option<Zone> },
    /// `organization.updated`. `parent`: `None` leaves it as it was, `Some(None)` makes it
    /// top-level.
    OrganizationUpdated {
        organization: IdRef<'a>,
        name: Option<Cow<'a, str>>,
        parent: Option<Option<IdRef<'a>>>,
    },
    /// `user.updated`.
    UserUpdated { user: IdRef<'a>, name: Option<Cow<'a, str>>, email: Option<Cow<'a, str>> },
    /// `project.updated`.
    ProjectUpdated { organization: IdRef<'a>, project: IdRef<'a>, name: Option<Cow<'a, str>> },
}

/// `test.executed`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestExecuted<'a> {
    /// CloudEvents `source`; with `id` and the account it identifies the event.
    pub event_source: Cow<'a, str>,
    pub organization: IdRef<'a>,
    pub project: Option<IdRef<'a>>,
    pub user: Option<IdRef<'a>>,
    pub origin: Origin,
    /// Number of tests, 1 to 1,000,000.
    pub tests: u64,
    /// Duration of all of them together, milliseconds.
    pub duration_ms: u64,
}

/// The place where tests ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// On the platform; consumes quota.
    Run,
    /// Elsewhere; only their results were uploaded.
    Upload,
}

/// Kind of a plan record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlanKind {
    /// A new plan, which anchors the quota months.
    Started,
    /// Another plan, which anchors them anew.
    Upgraded,
    /// New terms, same anchor.
    Adjusted,
}

impl PlanKind {
    /// True where this record anchors the quota months.
    pub const fn anchors(self) -> bool {
        matches!(self, Self::Started | Self::Upgraded)
    }

    /// The name in ClickHouse.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Upgraded => "upgraded",
            Self::Adjusted => "adjusted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_records_apart_by_stamp_key_and_value() {
        let base =
            Record { offset: 7, timestamp_ms: Some(1), key: Some(b"acme"), payload: Some(b"ab") };
        let others = [
            Record { timestamp_ms: Some(2), ..base },
            Record { timestamp_ms: None, ..base },
            Record { key: Some(b"acm"), payload: Some(b"eab"), ..base },
            Record { key: None, ..base },
            Record { key: Some(b""), ..base },
            Record { payload: None, ..base },
            Record { payload: Some(b""), ..base },
            Record { key: None, payload: None, ..base },
        ];
        let mut all: Vec<u64> = others.iter().chain([&base]).map(Record::fingerprint).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
        assert_eq!(Record { offset: 8, ..base }.fingerprint(), base.fingerprint());
        // It is compared with values stored by earlier builds.
        assert_eq!(base.fingerprint(), 13_835_581_107_803_324_564);
    }
}
