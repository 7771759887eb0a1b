//! Written rows are read exactly in SQL, even if written twice, late, or by two sources.

use std::collections::BTreeSet;

use seatmeter::core::event::{Reject, RejectReason};
use seatmeter::core::id::Id;
use seatmeter::core::rollup::{
    ActiveUsers, DirectoryEntry, Entity, ExecutionCount, Field, LastRecord, Progress, QuotaUsage,
    RejectedRecord, Source, TestExecutions,
};
use seatmeter::core::takeover::Claim;
use seatmeter::core::topics::{Topic, Topics};
use seatmeter::store::{ProgressRow, ZoneClaim};

use super::{
    TestDatabase, active, as_loaded, counted, day, everything, hour, id, name_of, one_of_each,
    rejected, rows, sorted, source,
};

#[tokio::test]
async fn writing_again_or_late_changes_nothing() {
    let database = TestDatabase::migrated().await;
    let source = source(0);
    let mut newer = one_of_each(&source);
    let mut older = newer.clone();
    for row in &mut older.test_executions {
        row.count = ExecutionCount { run: 0, uploaded: 3, duration_ms: 1 };
        row.upto = 50;
    }
    for row in &mut older.quota_usage {
        (row.tests, row.upto) = (2, 50);
    }
    for row in &mut older.seat_intervals {
        row.last_active_ms = row.first_active_ms;
    }
    newer.active_users.push(active("42", day(0), 1..=3));
    older.active_users.push(active("42", day(0), 2..=2));
    newer.rejected.push(rejected(9, b"{"));
    older.rejected.push(rejected(9, b"{"));
    let views = |database: &TestDatabase| {
        [
            "SELECT * EXCEPT users, bitmapToArray(users) FROM daily_active_users ORDER BY ALL",
            "SELECT * EXCEPT users, bitmapToArray(users) FROM daily_active_users_by_account ORDER \
            BY ALL",
            "SELECT * FROM test_executions_daily ORDER BY ALL",
            "SELECT * FROM quota_usage_daily ORDER BY ALL",
            "SELECT * FROM quota_usage ORDER BY ALL",
            "SELECT * FROM license_intervals ORDER BY ALL",
            "SELECT * FROM license_assignments ORDER BY ALL",
            "SELECT * FROM plans ORDER BY ALL",
            "SELECT * FROM accounts ORDER BY ALL",
            "SELECT * FROM organizations ORDER BY ALL",
            "SELECT * FROM users ORDER BY ALL",
            "SELECT * FROM projects ORDER BY ALL",
            "SELECT * EXCEPT flushed_at FROM rejected_events ORDER BY ALL",
        ]
        .map(|sql| database.text(sql))
    };
    let store = database.store();
    // Merges would hide what the views have to do.
    database.execute("SYSTEM STOP MERGES");
    store.write_rows(&[newer.clone()]).await.unwrap();
    let once = views(&database);
    assert!(once.iter().all(|view| !view.is_empty()), "{once:?}");
    store.write_rows(&[newer.clone(), newer.clone()]).await.unwrap();
    store.write_rows(&[older]).await.unwrap();
    assert_eq!(views(&database), once);
    assert_eq!(sorted(store.load(&source, &everything()).await.unwrap()), as_loaded(&newer));
    database.execute("SYSTEM START MERGES");
    for table in seatmeter::store::TABLES {
        database.execute(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    assert_eq!(views(&database), once, "and merges change nothing either");
}

#[tokio::test]
async fn progress_is_told_by_topic() {
    let database = TestDatabase::migrated().await;
    let told = |offset, topics: &[Topic], time_ms| {
        let mut row = counted("acme", (1, None), (offset, None));
        let mut set = Topics::NONE;
        topics.iter().for_each(|&topic| set.insert(topic));
        row.touched.add(set, time_ms);
        let mut rows = rows(&source(0), offset + 1);
        rows.account_progress.push(row);
        rows
    };
    let newer = told(8, &[Topic::Directory, Topic::Tests], hour(2));
    let older = told(4, &[Topic::Seats, Topic::Tests], hour(3));
    // A merge may not look at the rows of one table in the order in which they were written.
    for flush in [newer, older, told(9, &[], hour(9))] {
        database.store().write_rows(&[flush]).await.unwrap();
    }
    let columns: Vec<String> =
        Topic::ALL.map(|topic| format!("{0}_upto, {0}_latest", topic.name())).into();
    let sql = format!("SELECT upto, {} FROM account_progress FINAL FORMAT CSV", columns.join(", "));
    let nothing = r#"0,"1970-01-01 00:00:00.000""#;
    assert_eq!(
        database.text(&sql),
        format!(
            "10,9,\"2026-03-01 02:00:00.000\",5,\"2026-03-01 03:00:00.000\",{nothing},{nothing},\
             9,\"2026-03-01 03:00:00.000\"\n"
        )
    );
}

#[tokio::test]
async fn bitmaps_of_every_form_are_read_by_clickhouse() {
    let database = TestDatabase::migrated().await;
    let seed = database.store().user_key_seed().await.unwrap();
    let text_keys =
        ["u-ben", "é", "007", "9223372036854775808"].map(|user| id(user).user_key(seed));
    let mut rows = rows(&source(0), 1);
    rows.active_users = vec![
        active("one", day(0), [7]),
        active("small", day(0), 0..32),
        active("large", day(0), 0..33),
        active("huge", day(0), (0..100_000).map(|user| user * 3)),
        active("spread", day(0), (0..1_000).map(|user| user << 40)),
        active("text", day(0), text_keys),
        active("largest", day(0), [0, u64::MAX, i64::MAX.unsigned_abs()]),
        ActiveUsers { organization: None, ..active("", day(0), [1 << 50]) },
    ];
    database.store().write_rows(&[rows.clone()]).await.unwrap();
    for row in &rows.active_users {
        let organization = row.organization.as_ref().map(Id::to_string).unwrap_or_default();
        let sql = "SELECT active_users, arrayMin(bitmapToArray(users)), \
            arrayMax(bitmapToArray(users)) \
                   FROM daily_active_users WHERE organization_id = {organization:String}";
        let (count, min, max) =
            (row.users.len(), row.users.first().unwrap(), row.users.last().unwrap());
        let answer = database.text_of(sql, &[("organization", &organization)]);
        assert_eq!(answer, format!("{count}\t{min}\t{max}\n"), "{organization}");
        if row.users.len() <= 33 {
            let sql = "SELECT arrayJoin(bitmapToArray(users)) AS user FROM daily_active_users \
                       WHERE organization_id = {organization:String} ORDER BY user";
            let users = database.text_of(sql, &[("organization", &organization)]);
            assert_eq!(users, row.users.iter().map(|user| format!("{user}\n")).collect::<String>());
        }
    }
    let all: BTreeSet<u64> =
        rows.active_users.iter().flat_map(|row| row.users.iter().copied()).collect();
    assert_eq!(
        database.text("SELECT active_users FROM daily_active_users_by_account"),
        format!("{}\n", all.len()),
        "the account's own bitmaps are the union"
    );
}

#[tokio::test]
async fn a_rejected_record_was_written_when_it_was_written_first() {
    let database = TestDatabase::migrated().await;
    database.execute("SYSTEM STOP MERGES");
    for time in ["2026-03-01 00:00:00", "2026-03-02 00:00:00"] {
        database.execute(&format!(
            "INSERT INTO rejected_event_facts (source, offset, flushed_at) VALUES \
            ('usage-events//0', 1, '{time}')"
        ));
    }
    let sql = "SELECT flushed_at FROM rejected_events";
    assert_eq!(database.text(sql), "2026-03-01 00:00:00.000\n");
    assert_eq!(database.text(&format!("{sql} SETTINGS final = 1")), "2026-03-01 00:00:00.000\n");
    database.execute("SYSTEM START MERGES");
    database.execute("OPTIMIZE TABLE rejected_event_facts FINAL");
    assert_eq!(database.text(sql), "2026-03-01 00:00:00.000\n", "and a merge changes nothing");
}

#[tokio::test]
async fn sql_computes_the_same_user_keys() {
    let database = TestDatabase::migrated().await;
    let ids = [
        "0",
        "7",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "007",
        "-1",
        "1e3",
        "u-é",
    ];
    let mut rows = rows(&source(0), 1);
    rows.directory =
        ids.iter().map(|user| name_of(Entity::User(id(user)), 0, 0, "Someone")).collect();
    database.store().write_rows(&[rows]).await.unwrap();
    let seed = database.store().user_key_seed().await.unwrap();
    for user in ids {
        let sql = "SELECT user_key FROM users WHERE user_id = {user:String}";
        assert_eq!(
            database.text_of(sql, &[("user", user)]),
            format!("{}\n", id(user).user_key(seed)),
            "{user}"
        );
    }
}

#[tokio::test]
async fn two_sources_are_added_up() {
    let database = TestDatabase::migrated().await;
    for partition in 0..2_u32 {
        let mut rows = rows(&source(partition), 10);
        let tests = u64::from(partition) + 5;
        rows.test_executions.push(TestExecutions {
            account: id("acme"),
            organization: id("42"),
            project: None,
            day: day(0),
            count: ExecutionCount { run: tests, uploaded: 1, duration_ms: 100 },
            upto: 10,
        });
        rows.quota_usage.push(QuotaUsage {
            account: id("acme"),
            organization: id("42"),
            anchor_ms: hour(0),
            month: 1,
            day: day(0),
            tests,
            upto: 10,
        });
        rows.active_users.push(active("42", day(0), [1, u64::from(partition) + 2]));
        database.store().write_rows(&[rows.clone(), rows]).await.unwrap();
    }
    let tests = "SELECT executions, run, uploaded, duration_ms FROM test_executions_daily";
    assert_eq!(database.text(tests), "13\t11\t2\t200\n");
    assert_eq!(database.text("SELECT month, used FROM quota_usage"), "1\t11\n");
    assert_eq!(database.text("SELECT active_users FROM daily_active_users"), "3\n");
}

#[tokio::test]
async fn the_latest_directory_fact_wins_by_time_then_log_order() {
    let database = TestDatabase::migrated().await;
    let user = || Entity::User(id("7"));
    let project = || Entity::Project { organization: id("42"), project: id("p") };
    let email = DirectoryEntry { field: Field::Email, ..name_of(user(), 1, 4, "ann@acme.example") };
    let mut first = rows(&source(0), 10);
    first.directory = vec![
        name_of(user(), 2, 5, "Ann"),
        name_of(user(), 2, 10, "Anne"),
        name_of(user(), 1, 99, "Too old"),
        email,
        name_of(Entity::Account, 1, 1, "Acme"),
        name_of(project(), 1, 1, "Checkout"),
        name_of(Entity::Organization(id("42")), 1, 1, "Quality"),
    ];
    database.store().write_rows(&[first]).await.unwrap();
    let mut second = rows(&source(0), 20);
    second.directory = vec![name_of(user(), 1, 200, "Late and older")];
    database.store().write_rows(&[second]).await.unwrap();
    assert_eq!(
        database.text("SELECT user_id, name, email FROM users"),
        "7\tAnne\tann@acme.example\n"
    );
    assert_eq!(database.text("SELECT name, timezone FROM accounts"), "Acme\tUTC\n");
    assert_eq!(
        database.text("SELECT organization_id, project_id, name FROM projects"),
        "42\tp\tCheckout\n"
    );
    assert_eq!(
        database.text("SELECT organization_id, name, parent_id FROM organizations"),
        "42\tQuality\t\\N\n"
    );
}

#[tokio::test]
async fn rejected_payloads_are_kept_to_the_byte() {
    let database = TestDatabase::migrated().await;
    let payloads: [&[u8]; 5] =
        [b"", b"\n\r\t\\'\"", &[0, 0xff, 0xfe, 0x80, 0], &[0xc3, 0x28], &[b'x'; 65_536]];
    let mut rows = rows(&Source::new("usage-events", "id-1", 3), 10);
    rows.rejected =
        (0..).zip(payloads).map(|(offset, payload)| rejected(offset, payload)).collect();
    rows.rejected.push(RejectedRecord {
        timestamp_ms: None,
        key: None,
        payload_bytes: 2_000_000,
        reject: Reject { reason: RejectReason::TooLarge, path: "" },
        ..rejected(5, b"cut")
    });
    rows.rejected[1].reject = Reject { reason: RejectReason::MissingField, path: "data.seats" };
    database.store().write_rows(&[rows]).await.unwrap();
    for (offset, payload) in payloads.iter().enumerate() {
        let hex = database.text(&format!(
            "SELECT lower(hex(payload)) FROM rejected_events WHERE offset = {offset}"
        ));
        assert_eq!(hex.trim_end(), hex::encode(payload));
    }
    let sql = "SELECT source, topic, partition, offset, timestamp, key, payload_bytes, reason, \
        path \
               FROM rejected_events WHERE offset IN (1, 5) ORDER BY offset";
    assert_eq!(
        database.text(sql),
        "usage-events/id-1/3\tusage-events\t3\t1\t2026-03-01 \
        01:00:00.000\tacme\t6\tmissing_field\tdata.seats\n\
         usage-events/id-1/3\tusage-events\t3\t5\t\\N\t\\N\t2000000\ttoo_large\t\n"
    );
}

#[tokio::test]
async fn progress_only_ever_advances() {
    let database = TestDatabase::migrated().await;
    let store = database.store();
    // A lane that has passed no record yet has no last one.
    let last = |next_offset: u64| {
        let offset = (next_offset > 7).then(|| next_offset - 1)?;
        Some(LastRecord { offset, leader_epoch: -1, fingerprint: u64::MAX - next_offset })
    };
    let row = |partition, next_offset, high_watermark| ProgressRow {
        source: Source::new("usage-events", "id/with/slashes", partition),
        progress: Progress {
            next_offset,
            accepted: next_offset,
            last_record: last(next_offset),
            ..Progress::default()
        },
        high_watermark,
        end_valid_for: std::time::Duration::from_secs(3_600),
        completes_flush: true,
    };
    assert_eq!(store.progress("usage-events").await.unwrap(), []);
    store.write_progress(&[]).await.unwrap();
    store.write_progress(&[row(0, 100, 150), row(11, 7, 7)]).await.unwrap();
    let before = store.progress("usage-events").await.unwrap();
    store.write_progress(&[row(0, 90, 140)]).await.unwrap();
    let other = ProgressRow { source: Source::new("other-topic", "", 0), ..row(0, 1, 1) };
    store.write_progress(std::slice::from_ref(&other)).await.unwrap();
    let stored = store.progress("usage-events").await.unwrap();
    let of = |row: ProgressRow| (row.source, row.progress, row.high_watermark);
    let stored_rows: Vec<_> =
        stored.iter().map(|p| (p.source.clone(), p.progress, p.high_watermark)).collect();
    assert_eq!(
        stored_rows,
        [of(row(0, 100, 150)), of(row(11, 7, 7))],
        "an old row changes nothing"
    );
    assert!(stored[0].flushed_at_ms >= before[0].flushed_at_ms);
    assert_eq!(stored[1].flushed_at_ms, before[1].flushed_at_ms);
    assert_eq!(
        database.text(
            "SELECT topic, topic_id, partition, next_offset, lag FROM ingest_progress ORDER BY ALL"
        ),
        "other-topic\t\t0\t1\t0\nusage-events\tid/with/slashes\t0\t100\t50\n\
         usage-events\tid/with/slashes\t11\t7\t0\n"
    );
}

#[tokio::test]
async fn a_lag_is_known_for_as_long_as_the_log_was_asked_for_its_end() {
    let database = TestDatabase::migrated().await;
    let store = database.store();
    let row = |end_valid_ms, high_watermark, completes_flush| ProgressRow {
        source: Source::new("usage-events", "id", 0),
        progress: Progress { next_offset: 5, accepted: 5, ..Progress::default() },
        high_watermark,
        end_valid_for: std::time::Duration::from_millis(end_valid_ms),
        completes_flush,
    };
    let stored = async || store.progress("usage-events").await.unwrap().remove(0);
    store.write_progress(&[row(0, 7, false)]).await.unwrap();
    let first = stored().await;
    assert_eq!((first.is_end_known, first.flushed_at_ms), (false, None));
    assert_eq!(database.text("SELECT lag, flushed_at FROM ingest_progress"), "\\N\t\\N\n");

    store.write_progress(&[row(3_600_000, 9, true)]).await.unwrap();
    let flushed = stored().await;
    assert!(flushed.is_end_known && flushed.flushed_at_ms.is_some(), "{flushed:?}");
    assert_eq!(database.text("SELECT lag FROM ingest_progress"), "4\n");

    store.write_progress(&[row(0, 9, false)]).await.unwrap();
    assert_eq!(
        stored().await,
        flushed,
        "no flush is complete, and what was known is known for its time"
    );
    store.write_progress(&[row(3_600_000, 11, false)]).await.unwrap();
    assert_eq!(stored().await.flushed_at_ms, flushed.flushed_at_ms);
    assert_eq!(database.text("SELECT lag FROM ingest_progress"), "6\n");

    let other = ProgressRow { source: Source::new("other", "id", 0), ..row(50, 9, true) };
    store.write_progress(&[other]).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while store.progress("other").await.unwrap()[0].is_end_known {
        assert!(std::time::Instant::now() < deadline, "an answer grows old");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn claims_of_zone_data_only_ever_advance() {
    let database = TestDatabase::migrated().await;
    let store = database.store();
    let row = |source: &Source, release: &str, turn, upto| ZoneClaim {
        source: source.clone(),
        release: release.into(),
        claim: Claim { turn, upto },
    };
    let of = Source::new("usage-events", "id/with/slashes", 3);
    let claims = async |source: &Source| {
        let claims =
            store.zone_claims("usage-events").await.unwrap().remove(source).unwrap_or_default();
        let claims = claims
            .into_iter()
            .map(|(release, claim)| (release.to_string(), claim.turn, claim.upto));
        claims.collect::<Vec<_>>()
    };
    store.write_zone_claims(&[]).await.unwrap();
    assert_eq!(claims(&of).await, []);
    store
        .write_zone_claims(&[row(&of, "2025b", 1, 20), row(&source(0), "2025b", 1, 7)])
        .await
        .unwrap();
    store.write_zone_claims(&[row(&of, "2026f", 2, 20)]).await.unwrap();
    store.write_zone_claims(&[row(&of, "2025b", 1, 10), row(&of, "2026f", 1, 90)]).await.unwrap();
    assert_eq!(claims(&of).await, [("2025b".to_owned(), 1, 20), ("2026f".to_owned(), 2, 20)]);
    assert_eq!(claims(&source(0)).await, [("2025b".to_owned(), 1, 7)]);
    assert_eq!(store.zone_claims("other-topic").await.unwrap().len(), 0);
    let progress = Progress { next_offset: 20, accepted: 20, ..Progress::default() };
    let row = ProgressRow {
        source: of,
        progress,
        high_watermark: 20,
        end_valid_for: std::time::Duration::from_secs(3_600),
        completes_flush: true,
    };
    store.write_progress(&[row]).await.unwrap();
    assert_eq!(
        database.text("SELECT zone_release, next_offset FROM ingest_progress"),
        "2026f\t20\n"
    );
}
