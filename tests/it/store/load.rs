//! A lane loads exactly what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use seatmeter::core::load::{Loaded, Missing};
use seatmeter::core::rollup::{SeatFact, SeatFactKind, Source, TestExecutions};

use super::{
    TestDatabase, as_loaded, block, day, everything, extent, hour, id, one_of_each, rows, sorted,
    source, used,
};

#[tokio::test]
async fn every_row_comes_back_as_it_was_written() {
    let database = TestDatabase::migrated().await;
    let source = source(0);
    let rows = one_of_each(&source);
    let written = database.store().write_rows(std::slice::from_ref(&rows)).await.unwrap();
    let counts: BTreeMap<_, _> =
        written.tables.iter().map(|table| (table.table, table.rows)).collect();
    assert_eq!(counts["seat_facts"], 8);
    assert_eq!(counts["organizations_seen"], 9);
    assert_eq!(counts.get("rejected_event_facts"), None, "a table without rows gets no INSERT");
    assert!(written.tables.iter().all(|table| table.bytes > table.rows));
    let loaded = database.store().load(&source, &everything()).await.unwrap();
    assert_eq!(sorted(loaded), as_loaded(&rows));
}

#[tokio::test]
async fn nothing_is_loaded_that_was_not_asked_for() {
    let database = TestDatabase::migrated().await;
    let source = source(0);
    database.store().write_rows(&[one_of_each(&source)]).await.unwrap();
    let other_day =
        TestExecutions { day: day(31), ..one_of_each(&source).test_executions[0].clone() };
    let mut april = rows(&source, 100);
    april.test_executions.push(other_day.clone());
    database.store().write_rows(&[april]).await.unwrap();
    let store = database.store();
    assert_eq!(store.load(&source, &Missing::default()).await.unwrap(), Loaded::default());
    let missing = Missing {
        accounts: vec![id("unknown")],
        users: vec![(id("acme"), id("nobody")), (id("other"), id("o'brien"))],
        counters: vec![block("acme", "o'brien", 2026, 4)],
        ..Missing::default()
    };
    let extents = vec![extent("unknown", true, None)];
    let expected = Loaded { extents, test_executions: vec![other_day], ..Loaded::default() };
    assert_eq!(store.load(&source, &missing).await.unwrap(), expected);
}

#[tokio::test]
async fn counters_of_another_source_are_not_loaded_and_facts_are() {
    let database = TestDatabase::migrated().await;
    let (own, other) = (source(0), Source::new("usage-events", "another-topic-id", 0));
    database.store().write_rows(&[one_of_each(&other)]).await.unwrap();
    let loaded = database.store().load(&own, &everything()).await.unwrap();
    let expected = Loaded {
        extents: vec![extent("acme", true, None)],
        met_by: Vec::new(),
        test_executions: Vec::new(),
        quota_usage: Vec::new(),
        audited_hours: Vec::new(),
        ..as_loaded(&one_of_each(&other))
    };
    assert_eq!(sorted(loaded), expected);
}

#[tokio::test]
async fn an_account_with_few_seats_is_loaded_whole() {
    let database = TestDatabase::migrated().await;
    let source = source(0);
    let written = one_of_each(&source);
    let mut large = rows(&source, 100);
    for user in 0..20_001_u64 {
        let fact = SeatFact {
            account: id("large"),
            offset: user,
            user: id(&format!("u{user}")),
            ..written.seat_facts[0].clone()
        };
        large.seat_facts.push(fact);
    }
    database.store().write_rows(&[written.clone(), large]).await.unwrap();
    let missing = Missing {
        accounts: vec![id("acme"), id("large")],
        users: vec![(id("acme"), id("nobody")), (id("large"), id("u7"))],
        counters: vec![block("acme", "o'brien", 2026, 3), block("acme", "o'brien", 2026, 4)],
        ..Missing::default()
    };
    let loaded = database.store().load(&source, &missing).await.unwrap();
    let march = written.test_executions[0].day.year_month();
    assert_eq!(loaded.extents, [extent("acme", true, Some(march)), extent("large", false, None)]);
    let of =
        |account: &str| loaded.seat_facts.iter().filter(|fact| fact.account == id(account)).count();
    assert_eq!(
        (of("acme"), of("large")),
        (written.seat_facts.len(), 1),
        "all of the one, the user asked for of the other"
    );
    assert_eq!(loaded.seat_usage.len(), as_loaded(&written).seat_usage.len());
    assert_eq!(loaded.test_executions.len(), 1, "of March, which is the last month that there is");
}

/// A batch with 5,000 new users must not delay the worker. The bound is far above the 0.1 s that it
/// takes, so that only a query which does not use the primary key, or one request per user, breaks
/// it.
#[tokio::test]
async fn thousands_of_users_are_loaded_at_once() {
    let database = TestDatabase::migrated().await;
    let source = source(0);
    let mut rows = rows(&source, 1);
    for user in 0..20_000_u64 {
        rows.seat_facts.push(SeatFact {
            account: id("acme"),
            organization: id(&format!("org-{}", user % 50)),
            user: id(&format!("user-{user:06}-with-a-long-name")),
            time_ms: hour(0),
            kind: SeatFactKind::Assigned,
            source: source.name(),
            offset: user,
            project: None,
            license_source: Some(id("acme")),
        });
        let organization = id(&format!("org-{}", user % 50));
        rows.seat_intervals.push(used(
            &id("acme"),
            &organization,
            &id(&format!("user-{user:06}-with-a-long-name")),
        ));
    }
    database.store().write_rows(&[rows]).await.unwrap();
    let users = (0..20_000)
        .step_by(4)
        .map(|user| (id("acme"), id(&format!("user-{user:06}-with-a-long-name"))));
    let missing = Missing { users: users.collect(), ..Missing::default() };
    let began = Instant::now();
    let loaded = database.store().load(&source, &missing).await.unwrap();
    let took = began.elapsed();
    eprintln!("loading the seats of 5,000 users took {took:?}");
    assert_eq!((loaded.seat_facts.len(), loaded.seat_usage.len()), (5_000, 5_000));
    let offsets: BTreeSet<u64> = loaded.seat_facts.iter().map(|fact| fact.offset).collect();
    assert_eq!(offsets, (0..20_000).step_by(4).collect());
    assert!(took < Duration::from_secs(10), "{took:?}");
}
