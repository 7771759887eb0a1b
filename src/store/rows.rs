//! The rows of a flush as rows of ClickHouse's tables: which table, which columns, in which order.

use std::borrow::Borrow;

use super::row_binary::RowBuffer;
use crate::core::event::PlanKind;
use crate::core::id::Id;
use crate::core::rollup::{
    AccountMove, AccountProgress, ActiveDay, ActiveUsers, DirectoryEntry, Entity, Field, LaneRows,
    LicenseFact, OrganizationSeen, PlanFact, QuotaUsage, RejectedRecord, SeatFact, SeatFactKind,
    SeatInterval, SeatOpened, Source, TestExecutions, ZoneFact,
};
use crate::core::topics::Topic;
use crate::report::search::search_key;

/// A body that has come to this many bytes takes no further row: the server holds a body's rows,
/// and its compressor's and sorter's copies of them, in memory.
const INSERT_BYTES_MAX: usize = 16 << 20;

/// The time that changes no minimum, milliseconds since 1970 UTC: the last one of 2299, which
/// ClickHouse's `DateTime64` just holds, and which no event can have.
pub(super) const NO_MINIMUM_MS: i64 = 10_413_791_999_999;

/// The time that changes no maximum, milliseconds since 1970 UTC.
const NO_MAXIMUM_MS: i64 = 0;

/// A row of one table.
pub(super) trait TableRow {
    /// The table.
    const TABLE: &'static str;
    /// Its columns in the order in which [`Self::encode`] writes them.
    const COLUMNS: &'static str;
    /// Writes the row. `source` is that of the lane which counted it.
    fn encode(&self, source: &Source, out: &mut RowBuffer);
}

/// Rows of one table, encoded: the body of one INSERT.
#[derive(Debug)]
pub(super) struct EncodedTable {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) rows: u64,
    pub(super) bytes: Vec<u8>,
}

/// Encodes rows of one table, in as many bodies as they take, each when it is asked for: there may
/// be no room for all of them at once.
pub(super) fn encode_rows<'a, R: TableRow>(
    mut rows: impl Iterator<Item = (&'a Source, impl Borrow<R>)>,
) -> impl Iterator<Item = EncodedTable> {
    std::iter::from_fn(move || {
        let mut out = RowBuffer::default();
        let mut count = 0;
        while out.len() < INSERT_BYTES_MAX
            && let Some((source, row)) = rows.next()
        {
            row.borrow().encode(source, &mut out);
            count += 1;
        }
        (count > 0).then(|| EncodedTable {
            table: R::TABLE,
            columns: R::COLUMNS,
            rows: count,
            bytes: out.into_bytes(),
        })
    })
}

impl TableRow for AccountMove {
    const TABLE: &'static str = "account_moves";
    const COLUMNS: &'static str = "account_id, source, former, former_upto";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.string(self.source.as_bytes());
        out.string(self.former.as_deref().unwrap_or_default());
        out.u64(self.former_upto);
    }
}

impl TableRow for AccountProgress {
    const TABLE: &'static str = "account_progress";
    const COLUMNS: &'static str = "account_id, source, upto, first_event, last_event, \
        directory_upto, directory_latest, seats_upto, seats_latest, uses_upto, uses_latest, \
        activity_upto, activity_latest, tests_upto, tests_latest";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.string(source.as_str());
        out.u64(self.upto());
        // A tuple is its elements, one after the other. A record without a timestamp stands in
        // order with any other.
        out.u64(self.first.offset);
        out.time_ms(self.first.timestamp_ms.unwrap_or(i64::MAX));
        out.u64(self.last.offset);
        out.time_ms(self.last.timestamp_ms.unwrap_or(i64::MIN));
        // Of a topic that was not touched nothing is said: 0 and 1970 raise no maximum.
        for topic in Topic::ALL {
            let latest_ms = self.touched.latest_ms(topic);
            out.u64(latest_ms.map_or(0, |_| self.upto()));
            out.time_ms(latest_ms.unwrap_or_default());
        }
    }
}

impl TableRow for ActiveUsers {
    const TABLE: &'static str = "active_users_state";
    const COLUMNS: &'static str = "account_id, organization_id, day, users";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.optional_id(self.organization.as_ref());
        out.day(self.day);
        out.bitmap(&self.users);
    }
}

impl TableRow for ActiveDay<'_> {
    const TABLE: &'static str = "active_days";
    const COLUMNS: &'static str = "account_id, day, source, upto";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.id(self.account);
        out.day(self.day);
        out.string(source.as_str());
        out.u64(self.upto);
    }
}

impl TableRow for TestExecutions {
    const TABLE: &'static str = "test_executions_state";
    const COLUMNS: &'static str =
        "account_id, organization_id, project_id, day, source, run, uploaded, duration_ms, upto";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.id(&self.organization);
        out.optional_id(self.project.as_ref());
        out.day(self.day);
        out.string(source.as_str());
        out.u64(self.count.run);
        out.u64(self.count.uploaded);
        out.u64(self.count.duration_ms);
        out.u64(self.upto);
    }
}

impl TableRow for QuotaUsage {
    const TABLE: &'static str = "quota_usage_state";
    const COLUMNS: &'static str =
        "account_id, organization_id, anchor, month, day, source, tests, upto";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.id(&self.organization);
        out.time_ms(self.anchor_ms);
        out.u32(self.month);
        out.day(self.day);
        out.string(source.as_str());
        out.u64(self.tests);
        out.u64(self.upto);
    }
}

impl TableRow for SeatFact {
    const TABLE: &'static str = "seat_facts";
    const COLUMNS: &'static str = "account_id, user_id, organization_id, time, kind, source, \
        offset, project_id, license_source";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.id(&self.user);
        out.id(&self.organization);
        out.time_ms(self.time_ms);
        out.enum8(seat_kind_code(self.kind));
        out.string(self.source.as_bytes());
        out.u64(self.offset);
        out.optional_id(self.project.as_ref());
        out.optional_id(self.license_source.as_ref());
    }
}

impl TableRow for SeatInterval {
    const TABLE: &'static str = "seat_intervals";
    const COLUMNS: &'static str = "account_id, organization_id, user_id, start, opened, end, \
        superseded, first_active, last_active";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.id(&self.organization);
        out.id(&self.user);
        out.time_ms(self.start_ms);
        // A tuple is its elements, one after the other.
        out.bool(self.opened.is_none());
        match &self.opened {
            Some(SeatOpened { source, offset, project, license_source }) => {
                out.string(source.as_bytes());
                out.u64(*offset);
                out.optional_id(project.as_ref());
                out.id(license_source);
            }
            None => {
                out.string("");
                out.u64(0);
                out.string("");
                out.string("");
            }
        }
        out.time_ms(self.end_ms.unwrap_or(NO_MINIMUM_MS));
        out.bool(self.is_superseded);
        out.time_ms(self.first_active_ms.unwrap_or(NO_MINIMUM_MS));
        out.time_ms(self.last_active_ms.unwrap_or(NO_MAXIMUM_MS));
    }
}

impl TableRow for LicenseFact {
    const TABLE: &'static str = "license_facts";
    const COLUMNS: &'static str = "account_id, organization_id, time, source, offset, seats";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.optional_id(self.organization.as_ref());
        out.time_ms(self.time_ms);
        out.string(self.source.as_bytes());
        out.u64(self.offset);
        out.u64(self.seats);
    }
}

impl TableRow for PlanFact {
    const TABLE: &'static str = "plan_facts";
    const COLUMNS: &'static str =
        "account_id, organization_id, time, source, offset, kind, plan, monthly_quota";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.id(&self.organization);
        out.time_ms(self.time_ms);
        out.string(self.source.as_bytes());
        out.u64(self.offset);
        out.enum8(plan_kind_code(self.kind));
        out.id(&self.plan);
        out.nullable_u64(self.monthly_quota);
    }
}

impl TableRow for ZoneFact {
    const TABLE: &'static str = "zone_facts";
    const COLUMNS: &'static str = "account_id, time, source, offset, timezone";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.time_ms(self.time_ms);
        out.string(self.source.as_bytes());
        out.u64(self.offset);
        out.string(self.zone.name());
    }
}

/// A row of `directory_state`.
pub(super) enum DirectoryRow<'a> {
    Stated(&'a DirectoryEntry),
    /// How a user who holds a seat is searched as long as there is no name: by the id, of which
    /// this is the key. The row is older than any record's, so that a name takes its place.
    Nameless(&'a SeatFact, String),
}

impl<'a> DirectoryRow<'a> {
    /// None where the id is its own key, as most are.
    fn nameless(fact: &'a SeatFact) -> Option<Self> {
        let Id::Text(text) = &fact.user else { return None };
        let search_key = search_key_beside(text);
        let is_needed = fact.kind == SeatFactKind::Assigned && !search_key.is_empty();
        is_needed.then_some(Self::Nameless(fact, search_key))
    }

    pub(super) fn all_of(lane: &'a LaneRows) -> impl Iterator<Item = Self> {
        lane.directory
            .iter()
            .map(Self::Stated)
            .chain(lane.seat_facts.iter().filter_map(Self::nameless))
    }
}

impl TableRow for DirectoryRow<'_> {
    const TABLE: &'static str = "directory_state";
    const COLUMNS: &'static str = "account_id, entity, organization_id, entity_id, field, latest";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        const NAME: i8 = 1;
        const USER: i8 = 3;
        let entry = match self {
            Self::Stated(entry) => entry,
            Self::Nameless(fact, search_key) => {
                out.id(&fact.account);
                out.enum8(USER);
                out.optional_id(None);
                out.id(&fact.user);
                out.enum8(NAME);
                out.time_ms(0);
                out.string("");
                out.u64(0);
                out.string("");
                out.string(search_key);
                return;
            }
        };
        out.id(&entry.account);
        let (entity, organization, id) = match &entry.entity {
            Entity::Account => (1, None, &entry.account),
            Entity::Organization(id) => (2, None, id),
            Entity::User(id) => (USER, None, id),
            Entity::Project { organization, project } => (4, Some(organization), project),
        };
        out.enum8(entity);
        out.optional_id(organization);
        out.id(id);
        let (field, search_key) = match entry.field {
            Field::Name => (NAME, search_key_beside(&entry.value)),
            Field::Email => (2, search_key_beside(&entry.value)),
            Field::Parent => (3, String::new()),
        };
        out.enum8(field);
        // A tuple is its elements, one after the other.
        out.time_ms(entry.time_ms);
        out.string(entry.source.as_bytes());
        out.u64(entry.offset);
        out.string(&entry.value);
        out.string(search_key);
    }
}

/// The key that a text is searched by; empty where that is the text itself.
fn search_key_beside(text: &str) -> String {
    Some(search_key(text)).filter(|key| key != text).unwrap_or_default()
}

impl TableRow for OrganizationSeen {
    const TABLE: &'static str = "organizations_seen";
    const COLUMNS: &'static str = "account_id, organization_id";

    fn encode(&self, _: &Source, out: &mut RowBuffer) {
        out.id(&self.account);
        out.optional_id(self.organization.as_ref());
    }
}

impl TableRow for RejectedRecord {
    const TABLE: &'static str = "rejected_event_facts";
    const COLUMNS: &'static str =
        "source, topic, partition, offset, timestamp, key, payload, payload_bytes, reason, path";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.string(source.as_str());
        out.string(source.topic());
        out.u32(source.partition());
        out.u64(self.offset);
        out.nullable_time_ms(self.timestamp_ms);
        out.nullable_string(self.key.as_deref());
        out.string(&self.payload);
        out.u64(self.payload_bytes);
        out.string(self.reject.reason.as_str());
        out.string(self.reject.path);
    }
}

/// The number of a seat fact's kind in `seat_facts.kind`.
fn seat_kind_code(kind: SeatFactKind) -> i8 {
    match kind {
        SeatFactKind::Assigned => 1,
        SeatFactKind::Revoked => 2,
    }
}

/// The kind that a number in `seat_facts.kind` stands for.
pub(super) fn seat_kind(code: i8) -> Option<SeatFactKind> {
    [SeatFactKind::Assigned, SeatFactKind::Revoked]
        .into_iter()
        .find(|&kind| seat_kind_code(kind) == code)
}

/// The number of a plan record's kind in `plan_facts.kind`.
fn plan_kind_code(kind: PlanKind) -> i8 {
    match kind {
        PlanKind::Started => 1,
        PlanKind::Upgraded => 2,
        PlanKind::Adjusted => 3,
    }
}

/// The kind that a number in `plan_facts.kind` stands for.
pub(super) fn plan_kind(code: i8) -> Option<PlanKind> {
    [PlanKind::Started, PlanKind::Upgraded, PlanKind::Adjusted]
        .into_iter()
        .find(|&kind| plan_kind_code(kind) == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Reject, RejectReason};

    #[test]
    fn rows_of_many_bytes_take_several_bodies() {
        let source = Source::new("t", "", 0);
        let reject = Reject { reason: RejectReason::InvalidJson, path: "" };
        let record = |offset| RejectedRecord {
            offset,
            timestamp_ms: None,
            key: Some(vec![b'k'; 65_536]),
            payload: vec![b'p'; 65_536],
            payload_bytes: 1 << 20,
            reject: reject.clone(),
        };
        let records: Vec<RejectedRecord> = (0..300).map(record).collect();
        let bodies: Vec<_> =
            encode_rows::<RejectedRecord>(records.iter().map(|row| (&source, row))).collect();
        assert_eq!(bodies.iter().map(|body| body.rows).sum::<u64>(), 300);
        assert_eq!(bodies.len(), 3);
        for body in &bodies {
            assert!(body.bytes.len() < INSERT_BYTES_MAX + 2 * 65_536 + 200, "{}", body.bytes.len());
        }
        assert_eq!(
            encode_rows::<RejectedRecord>(records[..0].iter().map(|row| (&source, row))).count(),
            0
        );
    }
}
