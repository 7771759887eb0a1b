//! The rows of a drain, as the compared tables have them.

use std::fmt::{Display, Write as _};

use chrono::DateTime;
use xxhash_rust::xxh3::xxh3_64;

use super::members::Members;
use super::value::{Latest, StoredHour, StoredInterval, Value};
use crate::core::audit::RecordHour;
use crate::core::event::PlanKind;
use crate::core::id::Id;
use crate::core::rollup::{
    DirectoryEntry, Entity, Field, LaneRows, RejectedRecord, SeatFact, SeatFactKind, SeatInterval,
};
use crate::store::Compared;

/// The time that stands for no minimum in the tables, milliseconds since 1970 UTC.
const NO_MINIMUM_MS: u64 = 10_413_791_999_999;

/// Passes each row to `take`: its table, its key and its value.
pub(super) fn each(rows: &LaneRows, mut take: impl FnMut(Compared, String, Value)) {
    let source = rows.source.as_str();
    for row in &rows.active_users {
        let (account, day) = (&row.account, row.day);
        let users = || Value::Users(Members::new(row.users.clone()));
        let key = key([account, &optional(row.organization.as_ref()), &day]);
        take(Compared::ActiveUsers, key, users());
        take(Compared::ActiveUsersByAccount, self::key([account, &day]), users());
    }
    for row in &rows.test_executions {
        let project = optional(row.project.as_ref());
        let key = key([&row.account, &row.organization, &project, &row.day, &source]);
        let count = row.count;
        let counts = vec![count.run, count.uploaded, count.duration_ms];
        take(Compared::TestExecutions, key, Value::Counts(counts));
    }
    for row in &rows.quota_usage {
        let (account, organization) = (&row.account, &row.organization);
        let key = key([account, organization, &row.anchor_ms, &row.month, &row.day, &source]);
        take(Compared::QuotaUsage, key, Value::Counts(vec![row.tests]));
    }
    for row in &rows.seat_facts {
        let (key, value) = seat_fact(row);
        take(Compared::SeatFacts, key, value);
    }
    for row in &rows.seat_intervals {
        let key = key([&row.account, &row.organization, &row.user, &row.start_ms]);
        take(Compared::SeatIntervals, key, interval(row));
    }
    for row in &rows.license_facts {
        let organization = optional(row.organization.as_ref());
        let key = key([&row.account, &organization, &row.time_ms, &source, &row.offset]);
        take(Compared::LicenseFacts, key, Value::Fact(row.seats.to_string().into()));
    }
    for row in &rows.plan_facts {
        let key = key([&row.account, &row.organization, &row.time_ms, &source, &row.offset]);
        let quota =
            row.monthly_quota.map_or_else(|| "unlimited".to_owned(), |quota| quota.to_string());
        let text = self::key([&plan_kind(row.kind), &row.plan, &quota]);
        take(Compared::PlanFacts, key, Value::Fact(text.into()));
    }
    for row in &rows.zone_facts {
        let key = key([&row.account, &row.time_ms, &source, &row.offset]);
        take(Compared::ZoneFacts, key, Value::Fact(row.zone.name().into()));
    }
    for row in &rows.directory {
        let (key, value) = directory(row);
        take(Compared::Directory, key, value);
    }
    for row in &rows.organizations {
        let key = key([&row.account, &optional(row.organization.as_ref())]);
        take(Compared::Organizations, key, Value::Present);
    }
    for row in &rows.rejected {
        take(Compared::RejectedEvents, key([&source, &row.offset]), rejected(row));
    }
    for row in &rows.audited_hours {
        let hour = StoredHour { first_offset: row.first_offset, counts: row.counts };
        take(
            Compared::AuditedHours,
            key([&source, &hour_text(row.hour)]),
            Value::Hour(Box::new(hour)),
        );
    }
}

/// Values, separated by tabs.
fn key<const N: usize>(parts: [&dyn Display; N]) -> String {
    let mut key = String::with_capacity(64);
    for (index, part) in parts.into_iter().enumerate() {
        let tab = if index == 0 { "" } else { "\t" };
        write!(key, "{tab}{part}").expect("a String takes every write");
    }
    key
}

/// The hour as ClickHouse writes it.
fn hour_text(hour: RecordHour) -> String {
    let time = DateTime::from_timestamp(i64::from(hour.start_s()), 0).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn optional(id: Option<&Id>) -> String {
    id.map_or_else(String::new, Id::to_string)
}

fn plan_kind(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::Started => "started",
        PlanKind::Upgraded => "upgraded",
        PlanKind::Adjusted => "adjusted",
    }
}

/// A time that an event may have; none is before 1970.
fn time(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or(0)
}

fn seat_fact(row: &SeatFact) -> (String, Value) {
    let kind = match row.kind {
        SeatFactKind::Assigned => "assigned",
        SeatFactKind::Revoked => "revoked",
    };
    let (account, organization, user) = (&row.account, &row.organization, &row.user);
    let key = key([account, organization, user, &row.time_ms, &kind, &row.source, &row.offset]);
    let project = optional(row.project.as_ref());
    let text = self::key([&project, &optional(row.license_source.as_ref())]);
    (key, Value::Fact(text.into()))
}

fn interval(row: &SeatInterval) -> Value {
    let opened = row.opened.as_ref().map(|opened| {
        let rest = key([&optional(opened.project.as_ref()), &opened.license_source]);
        (Box::from(&*opened.source), opened.offset, rest.into())
    });
    Value::Interval(Box::new(StoredInterval {
        opened,
        end_ms: row.end_ms.map_or(NO_MINIMUM_MS, time),
        is_superseded: row.is_superseded,
        first_active_ms: row.first_active_ms.map_or(NO_MINIMUM_MS, time),
        last_active_ms: row.last_active_ms.map_or(0, time),
    }))
}

fn directory(row: &DirectoryEntry) -> (String, Value) {
    let (entity, organization, id) = match &row.entity {
        Entity::Account => ("account", None, &row.account),
        Entity::Organization(id) => ("organization", None, id),
        Entity::User(id) => ("user", None, id),
        Entity::Project { organization, project } => ("project", Some(organization), project),
    };
    let field = match row.field {
        Field::Name => "name",
        Field::Email => "email",
        Field::Parent => "parent",
    };
    let key = key([&row.account, &entity, &optional(organization), id, &field]);
    let latest = Latest {
        time_ms: time(row.time_ms),
        source: Box::from(&*row.source),
        offset: row.offset,
        value: row.value.as_str().into(),
    };
    (key, Value::Latest(Box::new(latest)))
}

fn rejected(row: &RejectedRecord) -> Value {
    let timestamp = row.timestamp_ms.map_or_else(|| "none".to_owned(), |ms| ms.to_string());
    let hash = row.key.as_ref().map_or_else(|| "none".to_owned(), |key| xxh3_64(key).to_string());
    let text = key([
        &row.reject.reason.as_str(),
        &row.reject.path,
        &row.payload_bytes,
        &timestamp,
        &hash,
        &xxh3_64(&row.payload),
    ]);
    Value::Fact(text.into())
}
