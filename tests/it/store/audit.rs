//! The audit by the hour: merges, loads, and what others can compute of it.

use seatmeter::core::audit::{AuditedHour, HourCounts, RecordHour, write_term};
use seatmeter::core::event::{Event, EventKind, Record};
use seatmeter::core::id::IdRef;
use seatmeter::core::load::{Loaded, Missing};
use seatmeter::store::ProgressRow;

use super::{TestDatabase, rows, source};
use crate::documents::section;

/// An hour with so many accepted records.
fn hour(hour: u32, accepted: u64, checksum: u64, upto: u64) -> AuditedHour {
    let counts = HourCounts { accepted, checksum, ..HourCounts::default() };
    AuditedHour { hour: RecordHour(hour), first_offset: 3, counts, upto }
}

async fn write(database: &TestDatabase, partition: u32, hours: &[AuditedHour]) {
    let mut rows = rows(&source(partition), 100);
    rows.audited_hours = hours.to_vec();
    database.store().write_rows(&[rows]).await.unwrap();
}

fn asking(hours: &[u32]) -> Missing {
    Missing { hours: hours.iter().map(|&hour| RecordHour(hour)).collect(), ..Missing::default() }
}

#[tokio::test]
async fn an_hour_is_what_was_counted_furthest_however_small_its_checksum() {
    let database = TestDatabase::migrated().await;
    database.execute("SYSTEM STOP MERGES");
    let furthest = hour(500_000, 3, 1, 9);
    for row in [hour(500_000, 2, u64::MAX, 8), furthest, hour(500_000, 1, 7, 5), furthest] {
        write(&database, 0, &[row]).await;
    }
    let loaded = database.store().load(&source(0), &asking(&[500_000])).await.unwrap();
    assert_eq!(loaded.audited_hours, [furthest]);
    let sql = "SELECT partition, accepted, checksum, first_offset FROM ingest_audit";
    assert_eq!(database.analyst_text(sql), "0\t3\t1\t3\n");
}

#[tokio::test]
async fn the_last_hour_of_the_source_comes_with_those_asked_for() {
    let database = TestDatabase::migrated().await;
    let stored = [hour(5, 1, 1, 9), hour(7, 1, 1, 9), hour(9, 1, 1, 9)];
    write(&database, 0, &stored).await;
    write(&database, 1, &[hour(20, 1, 1, 9)]).await;
    let load = async |partition, hours: &[u32]| {
        let loaded = database.store().load(&source(partition), &asking(hours)).await.unwrap();
        let mut hours = loaded.audited_hours;
        hours.sort_by_key(|row| row.hour);
        hours
    };
    assert_eq!(load(0, &[5, 6]).await, [stored[0], stored[2]]);
    assert_eq!(load(0, &[9]).await, [stored[2]]);
    assert_eq!(load(2, &[5]).await, [], "nothing is stored of it");
    let nothing = database.store().load(&source(0), &Missing::default()).await.unwrap();
    assert_eq!(nothing, Loaded::default());
    let many: Vec<u32> = (0..20_000).collect();
    let found = load(0, &many).await;
    let mut hours: Vec<u32> = found.iter().map(|row| row.hour.0).collect();
    hours.dedup();
    assert_eq!(hours, [5, 7, 9], "whatever number of requests it takes");
}

#[tokio::test]
async fn anybody_can_compute_the_checksum_in_sql() {
    let accounts = ["acme", "42", "é 漢"];
    let (mut sum, mut term) = (HourCounts::default(), Vec::new());
    let mut events = Vec::new();
    for (offset, account) in (0..).zip(accounts) {
        let event = Event {
            id: format!("evt-{offset}").into(),
            time_ms: 0,
            account: IdRef::from_text(account),
            kind: EventKind::LicensePurchased { seats: 1 },
        };
        let offset = offset << 40;
        let key = Some(account.as_bytes());
        let record = Record { offset, timestamp_ms: None, key, payload: Some(b"{}") };
        write_term(&record, &event, &mut term);
        sum += HourCounts::accepted(&event, &term);
        events.push(format!("('{account}', {offset}, '{}')", event.id));
    }
    let sql = format!(
        "SELECT sum(xxh3(concat(reinterpretAsFixedString(xxh3(account_id)), \
         reinterpretAsFixedString(toUInt64(offset)), id))) \
         FROM VALUES('account_id String, offset UInt64, id String', {})",
        events.join(", ")
    );
    let database = TestDatabase::absent();
    assert_eq!(database.engine_text(&sql), format!("{}\n", sum.checksum));
}

#[tokio::test]
async fn the_documented_statement_names_the_hours_that_differ_from_a_copy_of_the_log() {
    let section = section("schemas/clickhouse/README.md", "An hour against a copy of the log");
    let sql = section.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let database = TestDatabase::migrated().await;
    database.execute(
        "CREATE TABLE archive (partition UInt32, timestamp DateTime('UTC'), account_id String, \
         offset UInt64, id String) ENGINE = Memory",
    );
    let archive = |offset: u64, at: u32| {
        database.execute(&format!("INSERT INTO archive VALUES (0, {at}, 'acme', {offset}, 'e')"));
        let event = Event {
            id: "e".into(),
            time_ms: 0,
            account: IdRef::from_text("acme"),
            kind: EventKind::LicensePurchased { seats: 1 },
        };
        let record = Record { offset, timestamp_ms: None, key: Some(b"acme"), payload: None };
        let mut term = Vec::new();
        write_term(&record, &event, &mut term);
        HourCounts::accepted(&event, &term)
    };
    let mut counts = archive(7, 5 * 3_600);
    counts += archive(8, 5 * 3_600 + 59);
    let stored = AuditedHour { counts, ..hour(5, 0, 0, 9) };
    write(&database, 0, &[stored]).await;
    assert_eq!(database.text(sql), "");
    archive(9, 6 * 3_600);
    write(&database, 0, &[hour(7, 1, 1, 9)]).await;
    let found =
        database.text(&format!("SELECT partition, accepted, records FROM ({sql}) ORDER BY hour"));
    assert_eq!(
        found, "0\t0\t1\n0\t1\t0\n",
        "one that was not counted, one that is not in the copy"
    );
}

#[tokio::test]
async fn an_hour_is_complete_when_a_later_one_lies_below_the_progress() {
    let database = TestDatabase::migrated().await;
    let complete = || {
        let sql = "SELECT complete FROM ingest_audit WHERE partition = 0 ORDER BY hour";
        database.analyst_text(sql).replace('\n', " ")
    };
    let progress = async |next_offset| {
        let row = ProgressRow {
            source: source(0),
            progress: seatmeter::core::rollup::Progress { next_offset, ..Default::default() },
            high_watermark: 100,
            end_valid_for: std::time::Duration::ZERO,
            completes_flush: true,
        };
        database.store().write_progress(&[row]).await.unwrap();
    };
    let later = AuditedHour { first_offset: 50, ..hour(6, 1, 1, 60) };
    write(&database, 0, &[hour(5, 1, 1, 60), later]).await;
    write(&database, 1, &[hour(9, 1, 1, 60)]).await;
    assert_eq!(complete(), "false false ", "nothing is settled");
    progress(50).await;
    assert_eq!(complete(), "false false ");
    progress(51).await;
    assert_eq!(complete(), "true false ");
}
