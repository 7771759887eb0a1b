//! The store on the real engine: what is written is read back, even if written twice, late, or by
//! two sources.

mod audit;
mod database;
mod errors;
mod load;
mod shortcuts;
mod views;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use seatmeter::core::audit::{AuditedHour, HourCounts, RecordHour};
use seatmeter::core::calendar::{Day, YearMonth};
use seatmeter::core::event::{PlanKind, Reject, RejectReason};
use seatmeter::core::id::Id;
use seatmeter::core::load::{AccountExtent, CounterBlock, Loaded, MetBy, Missing};
use seatmeter::core::rollup::{
    AccountMove, AccountProgress, ActiveUsers, DirectoryEntry, Entity, ExecutionCount, Field,
    LaneRows, OrganizationSeen, PlanFact, Progress, QuotaUsage, RecordPlace, RejectedRecord,
    SeatFact, SeatFactKind, SeatInterval, SeatUsage, Source, TestExecutions, ZoneFact,
};
use seatmeter::core::topics::Touched;

use crate::support::seat_intervals;

pub(crate) use database::TestDatabase;

/// 2026-03-01, the first day of most rows here.
const MARCH: i32 = 20_513;

pub(crate) fn id(text: &str) -> Id {
    Id::from_text(text)
}

pub(crate) fn day(offset: i32) -> Day {
    Day(MARCH + offset)
}

/// Milliseconds since 1970 of an hour after 2026-03-01 00:00 UTC.
pub(crate) fn hour(hours: i64) -> i64 {
    (i64::from(MARCH) * 24 + hours) * 3_600_000
}

pub(crate) fn source(partition: u32) -> Source {
    Source::new("usage-events", "", partition)
}

/// Rows of a lane that has counted up to `upto`.
pub(crate) fn rows(source: &Source, upto: u64) -> LaneRows {
    LaneRows::new(
        source.clone(),
        Progress { next_offset: upto, accepted: upto, ..Progress::default() },
    )
}

/// Ids that would break a query, a parameter or a format that does not escape them.
const ODD_IDS: [&str; 8] = [
    "o'brien",
    "back\\slash",
    "quote\"d",
    "`tick`",
    "é–漢字–🙂",
    "{x:String}",
    "a?b??c",
    "%00 ; DROP TABLE users --",
];

/// One row of every type, with ids that need escaping.
fn one_of_each(source: &Source) -> LaneRows {
    let mut rows = rows(source, 100);
    for (index, odd) in (0..).zip(ODD_IDS) {
        let account = id("acme");
        let fact = (source.name(), u64::try_from(index).unwrap());
        rows.test_executions.push(TestExecutions {
            account: account.clone(),
            organization: id(odd),
            project: (index % 2 == 0).then(|| id(odd)),
            day: day(index),
            count: ExecutionCount { run: 1, uploaded: u64::MAX, duration_ms: 1_000_000_000_000 },
            upto: 100,
        });
        rows.quota_usage.push(QuotaUsage {
            account: account.clone(),
            organization: id(odd),
            anchor_ms: hour(0) + 1,
            month: 1,
            day: day(index),
            tests: 7,
            upto: 100,
        });
        rows.seat_facts.push(SeatFact {
            account: account.clone(),
            organization: id(odd),
            user: id(odd),
            time_ms: hour(0),
            kind: if index % 2 == 0 { SeatFactKind::Assigned } else { SeatFactKind::Revoked },
            source: fact.0.clone(),
            offset: fact.1,
            project: (index % 3 == 0).then(|| id(odd)),
            license_source: (index % 2 == 0).then(|| id("acme")),
        });
        rows.seat_intervals.push(used(&account, &id(odd), &id(odd)));
        rows.plan_facts.push(PlanFact {
            account: account.clone(),
            organization: id(odd),
            time_ms: hour(index.into()),
            source: fact.0.clone(),
            offset: fact.1,
            kind: [PlanKind::Started, PlanKind::Upgraded, PlanKind::Adjusted]
                [usize::try_from(index).unwrap() % 3],
            plan: id(odd),
            monthly_quota: (index % 2 == 0).then_some(1_000_000_000_000),
        });
        rows.organizations.push(OrganizationSeen { account, organization: Some(id(odd)) });
    }
    let account_move =
        AccountMove { account: id("acme"), source: source.name(), former: None, former_upto: 0 };
    rows.account_moves.push(account_move);
    rows.account_progress.push(counted("acme", (2, Some(hour(1))), (99, None)));
    rows.zone_facts.push(ZoneFact {
        account: id("acme"),
        time_ms: hour(5),
        source: source.name(),
        offset: 5,
        zone: "Asia/Kathmandu".parse().unwrap(),
    });
    rows.organizations.push(OrganizationSeen { account: id("acme"), organization: None });
    rows.seat_intervals.extend(seat_intervals(&rows.seat_facts, &[]));
    rows.audited_hours = audited_hours();
    rows
}

/// The first hour that there may be, and the last.
fn audited_hours() -> Vec<AuditedHour> {
    let counts = HourCounts {
        accepted: 1,
        rejected: 2,
        duplicates: 3,
        skipped: 4,
        tests_run: 5,
        tests_uploaded: 6,
        checksum: u64::MAX,
    };
    let hour = |hour| AuditedHour { hour, first_offset: 7, counts, upto: 100 };
    [RecordHour(0), RecordHour::LAST].map(hour).to_vec()
}

/// Everything that [`one_of_each`] wrote.
fn everything() -> Missing {
    let counters = ODD_IDS.iter().map(|odd| block("acme", odd, 2026, 3));
    Missing {
        accounts: vec![id("acme")],
        users: ODD_IDS.iter().map(|odd| (id("acme"), id(odd))).collect(),
        counters: counters.collect(),
        hours: vec![RecordHour(0), RecordHour(1), RecordHour::LAST],
    }
}

fn block(account: &str, organization: &str, year: i32, month: i32) -> CounterBlock {
    CounterBlock {
        account: id(account),
        organization: id(organization),
        month: YearMonth(year * 12 + month - 1),
    }
}

/// A seat that was assigned at the beginning, and used from the first hour to the second.
fn used(account: &Id, organization: &Id, user: &Id) -> SeatInterval {
    SeatInterval {
        account: account.clone(),
        organization: organization.clone(),
        user: user.clone(),
        start_ms: hour(0),
        opened: None,
        end_ms: None,
        is_superseded: false,
        first_active_ms: Some(hour(1)),
        last_active_ms: Some(hour(2)),
    }
}

fn extent(account: &str, has_all_seats: bool, last_counted: Option<YearMonth>) -> AccountExtent {
    AccountExtent { account: id(account), has_all_seats, last_counted }
}

/// ClickHouse returns rows in any order.
fn sorted(mut loaded: Loaded) -> Loaded {
    loaded.zone_facts.sort_by_key(|row| row.offset);
    loaded.plan_facts.sort_by_key(|row| (row.source.clone(), row.offset));
    loaded.organizations.sort_by_key(|row| row.organization.as_ref().map(Id::to_string));
    loaded.seat_facts.sort_by_key(|row| (row.source.clone(), row.offset));
    loaded.seat_usage.sort_by_key(|row| row.user.to_string());
    loaded.test_executions.sort_by_key(|row| (row.day, row.organization.to_string()));
    loaded.quota_usage.sort_by_key(|row| (row.day, row.organization.to_string()));
    loaded.audited_hours.sort_by_key(|row| row.hour);
    loaded
}

fn as_loaded(rows: &LaneRows) -> Loaded {
    let met_by = |row: &AccountMove| MetBy {
        account: row.account.clone(),
        source: Arc::clone(&row.source),
        // No progress is recorded.
        upto: 0,
    };
    sorted(Loaded {
        met_by: rows.account_moves.iter().map(met_by).collect(),
        moves_away: Vec::new(),
        extents: vec![extent(
            "acme",
            true,
            rows.test_executions.iter().map(|row| row.day.year_month()).max(),
        )],
        zone_facts: rows.zone_facts.clone(),
        plan_facts: rows.plan_facts.clone(),
        organizations: rows.organizations.clone(),
        seat_facts: rows.seat_facts.clone(),
        seat_usage: rows.seat_intervals.iter().filter_map(as_usage).collect(),
        test_executions: rows.test_executions.clone(),
        quota_usage: rows.quota_usage.clone(),
        audited_hours: rows.audited_hours.clone(),
    })
}

/// The use that an interval's row tells of.
fn as_usage(row: &SeatInterval) -> Option<SeatUsage> {
    Some(SeatUsage {
        account: row.account.clone(),
        organization: row.organization.clone(),
        user: row.user.clone(),
        start_ms: row.start_ms,
        first_active_ms: row.first_active_ms?,
        last_active_ms: row.last_active_ms?,
    })
}

/// An account's first and last event, each by offset and timestamp.
fn counted(account: &str, first: (u64, Option<i64>), last: (u64, Option<i64>)) -> AccountProgress {
    let place = |(offset, timestamp_ms)| RecordPlace { offset, timestamp_ms };
    AccountProgress {
        account: id(account),
        first: place(first),
        last: place(last),
        touched: Touched::default(),
    }
}

fn active(organization: &str, day: Day, users: impl IntoIterator<Item = u64>) -> ActiveUsers {
    let users: BTreeSet<u64> = users.into_iter().collect();
    ActiveUsers {
        account: id("acme"),
        organization: Some(id(organization)),
        day,
        users: users.into_iter().collect(),
    }
}

fn rejected(offset: u64, payload: &[u8]) -> RejectedRecord {
    RejectedRecord {
        offset,
        timestamp_ms: Some(hour(1)),
        key: Some(b"acme".to_vec()),
        payload: payload.to_vec(),
        payload_bytes: u64::try_from(payload.len()).unwrap(),
        reject: Reject { reason: RejectReason::InvalidJson, path: "" },
    }
}

fn name_of(entity: Entity, hours: i64, offset: u64, value: &str) -> DirectoryEntry {
    DirectoryEntry {
        account: id("acme"),
        entity,
        field: Field::Name,
        time_ms: hour(hours),
        source: source(0).name(),
        offset,
        value: value.into(),
    }
}
