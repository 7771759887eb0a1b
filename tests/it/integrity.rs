//! Figures that are counted twice agree on a healthy system, whatever happens to its workers, and
//! differ once a row is changed by other hands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use seatmeter::core::rollup::{LaneRows, Progress};
use serde_json::{Value, json};

use crate::api::support::{Api, RUNTIME, event};
use crate::counting::{COUNT_TIMEOUT, STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::{Program, eventually, patience};

/// How long a difference of an account may take to count: some flushes of idle partitions.
const SOON: Duration = Duration::from_secs(60);

/// Rounds of a worker that is killed while another one counts on, at least,
const ROUNDS: u32 = 8;
/// and samples that are checked meanwhile, at least.
const SAMPLES: u64 = 4;

/// All identities.
const IDENTITIES: [&str; 8] = [
    "account_bitmaps",
    "audited_records",
    "intervals",
    "open_intervals",
    "outcomes",
    "quota",
    "rejected_records",
    "tests",
];

/// The identities that an analyst finds, each with the sum of its differences.
#[track_caller]
fn differences(api: &Api) -> BTreeMap<String, u64> {
    let text = api.sql("SELECT identity, sum(difference) FROM integrity GROUP BY identity");
    let line = |line: &str| {
        let (identity, difference) = line.split_once('\t').unwrap();
        (identity.to_owned(), difference.parse().unwrap())
    };
    text.lines().map(line).collect()
}

/// Those that do not agree.
#[track_caller]
fn differing(api: &Api) -> Vec<String> {
    differences(api).into_iter().filter(|(_, sum)| *sum > 0).map(|(identity, _)| identity).collect()
}

/// Events that make a row of every table.
fn events() -> Vec<String> {
    let of = |kind: &str, time: &str, data: Value| {
        let mut data = data;
        data["account_id"] = json!("a");
        event(kind, time, &data)
    };
    let mut events = vec![
        of(
            "plan.started",
            "2026-01-01T00:00:00Z",
            json!({"organization_id": "o", "plan": "p", "monthly_quota": 10}),
        ),
        "no event".to_owned(),
        of("user.login", "2026-01-02T00:00:00Z", json!({"user_id": 7})),
    ];
    for user in 1..5 {
        let day = format!("2026-01-0{user}T08:00:00Z");
        let seat = json!({"organization_id": "o", "user_id": user});
        events.push(of("license.assigned", &day, seat.clone()));
        events.push(of("user.login", &day, seat.clone()));
        let test = |origin: &str| {
            let mut data = seat.clone();
            (data["origin"], data["tests"]) = (json!(origin), json!(3));
            data
        };
        events.push(of("test.executed", &day, test("run")));
        events.push(of("test.executed", &day, test("upload")));
        if user < 3 {
            events.push(of("license.revoked", "2026-01-09T00:00:00Z", seat));
        }
    }
    // A redelivery.
    events.push(events[3].clone());
    events
}

#[test]
fn every_identity_holds() {
    let api = Api::open();
    let mut partition = RUNTIME.block_on(api.partition());
    api.count_next(&mut partition, &events());
    api.count(&["no event"]);
    let all: Vec<String> = differences(&api).into_keys().collect();
    assert_eq!(all, IDENTITIES);
    assert_eq!(differing(&api), [""; 0]);
    // Redelivered tests are duplicates; all else changes nothing.
    api.count_next(&mut partition, &events());
    assert_eq!(differing(&api), [""; 0]);
}

/// What is done to a table of a healthy system, and which identities notice it.
const TAMPERINGS: [(&str, &str, &[&str]); 11] = [
    (
        "an outcome too many",
        "INSERT INTO source_progress (source, topic, topic_id, partition, skipped, first_offset, \
         completes_flush) SELECT source, topic, topic_id, partition, max(skipped) + 1, \
         min(first_offset), false FROM source_progress GROUP BY source, topic, topic_id, partition",
        &["audited_records", "outcomes"],
    ),
    (
        "an offset that was never passed",
        "INSERT INTO source_progress (source, topic, topic_id, partition, absent, first_offset, \
         completes_flush) SELECT source, topic, topic_id, partition, max(absent) + 1, \
         min(first_offset), false FROM source_progress GROUP BY source, topic, topic_id, partition",
        &["outcomes"],
    ),
    (
        "a lost rejection",
        "ALTER TABLE rejected_event_facts DELETE WHERE 1 SETTINGS mutations_sync = 2",
        &["rejected_records"],
    ),
    (
        "a record too many in an hour",
        "INSERT INTO ingest_audit_state SELECT source, hour, topic, topic_id, partition, \
         first_offset, (counted.1, counted.2 + 1, counted.3, counted.4, counted.5, counted.6, \
         counted.7, counted.8) FROM ingest_audit_state",
        &["audited_records"],
    ),
    (
        "a lost hour",
        "ALTER TABLE ingest_audit_state DELETE WHERE 1 SETTINGS mutations_sync = 2",
        &["audited_records", "tests"],
    ),
    (
        "a counter off by one",
        "INSERT INTO test_executions_state SELECT account_id, organization_id, project_id, day, \
         source, run + 1, uploaded, duration_ms, upto FROM test_executions_state LIMIT 1",
        &["tests"],
    ),
    (
        "a user missing from the account",
        "ALTER TABLE active_users_by_account_state DELETE WHERE day = '2026-01-03' \
         SETTINGS mutations_sync = 2",
        &["account_bitmaps"],
    ),
    (
        "a user missing from the organizations, and another one from the account",
        "INSERT INTO active_users_by_account_state SELECT account_id, day + 10, users \
         FROM active_users_by_account_state WHERE day = '2026-01-03'",
        &["account_bitmaps"],
    ),
    (
        "an interval lost",
        "ALTER TABLE seat_intervals DELETE WHERE user_id = '4' SETTINGS mutations_sync = 2",
        &["intervals", "open_intervals"],
    ),
    (
        "an interval that ends too early",
        "INSERT INTO seat_intervals SELECT account_id, organization_id, user_id, start, opened, \
         start, superseded, first_active, last_active FROM seat_intervals WHERE user_id = '4'",
        &["open_intervals"],
    ),
    (
        "quota that nobody used",
        "INSERT INTO quota_usage_state SELECT account_id, organization_id, anchor, month, day, \
         source, tests + 1, upto FROM quota_usage_state LIMIT 1",
        &["quota"],
    ),
];

#[test]
fn whatever_is_done_to_a_table_is_noticed() {
    for (what, sql, expected) in TAMPERINGS {
        let api = Api::open();
        api.count(&events());
        api.sql(sql);
        assert_eq!(differing(&api), expected, "{what}");
    }
}

/// Rows of some tables arrive, and the progress does not: a flush is under way, or has died.
#[test]
fn what_lies_beyond_the_progress_makes_no_difference() {
    let api = Api::open();
    let mut partition = RUNTIME.block_on(api.partition());
    api.count_next(&mut partition, &events());
    let rest = events();
    let rows = RUNTIME.block_on(partition.drained(&api.store, &rest));
    let nothing = || LaneRows::new(rows.source.clone(), Progress::default());
    let parts = [
        LaneRows { audited_hours: rows.audited_hours.clone(), ..nothing() },
        LaneRows { rejected: rows.rejected.clone(), ..nothing() },
        LaneRows { quota_usage: rows.quota_usage.clone(), ..nothing() },
        LaneRows { test_executions: rows.test_executions.clone(), ..nothing() },
    ];
    for part in parts {
        assert!(part.row_count() > 0);
        RUNTIME.block_on(api.store.write_rows(&[part])).unwrap();
        assert_eq!(differing(&api), [""; 0]);
    }
    let (source, progress) = (rows.source.clone(), rows.progress);
    RUNTIME.block_on(api.store.write_rows(&[rows])).unwrap();
    assert_eq!(differing(&api), [""; 0]);
    RUNTIME.block_on(api.complete(source, progress));
    assert_eq!(differing(&api), [""; 0]);
    assert_eq!(differences(&api).into_keys().collect::<Vec<_>>(), IDENTITIES);
}

/// The gauges that are not 0, and how many samples were checked.
#[track_caller]
fn gauges(api: &mut Program) -> (Vec<String>, u64) {
    let (status, text) = ask(api, "/metrics");
    assert_eq!(status, 200);
    let gauges: Vec<&str> =
        text.lines().filter(|line| line.starts_with("seatmeter_integrity_difference{")).collect();
    assert_eq!(gauges.len(), IDENTITIES.len(), "{text}");
    let differing = gauges.into_iter().filter(|line| !line.ends_with(" 0")).map(str::to_owned);
    let checks =
        text.lines().find_map(|line| line.strip_prefix("seatmeter_integrity_checks_total "));
    (differing.collect(), checks.unwrap().parse().unwrap())
}

#[test]
fn the_gauges_stay_at_0_while_workers_die_and_partitions_move_and_tell_of_a_changed_row() {
    let mut setup = Setup::new(4);
    setup.set("AUDIT__INTERVAL_MS", 1_000);
    let mut writer = Writer::new(71);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    let mut first = setup.worker();
    let began = Instant::now();
    let mut checks = 0;
    for round in 0.. {
        if round >= ROUNDS && checks >= SAMPLES {
            break;
        }
        assert!(began.elapsed() < patience(COUNT_TIMEOUT), "{checks} samples in {round} rounds");
        setup.produce(&writer.write(400));
        let mut second = setup.worker();
        std::thread::sleep(Duration::from_millis(1_500));
        if round % 2 == 0 {
            first.kill();
            first = second;
        } else {
            second.kill();
        }
        let (differing, checked) = gauges(&mut api);
        assert_eq!(differing, [""; 0], "after {:?}", began.elapsed());
        checks = checked;
    }
    setup.check(&writer);
    let (_, before) = gauges(&mut api);
    eventually("a few samples more are checked", SOON, || {
        let (differing, checks) = gauges(&mut api);
        assert_eq!(differing, [""; 0]);
        (checks > before + 5).then_some(())
    });

    setup.database.query(
        "INSERT INTO test_executions_state SELECT account_id, organization_id, project_id, day, \
         source, max(run) + 1, max(uploaded), max(duration_ms), max(upto) \
         FROM test_executions_state GROUP BY account_id, organization_id, project_id, day, source \
         LIMIT 1",
    );
    setup.database.query(
        "ALTER TABLE seat_intervals DELETE WHERE account_id = (SELECT min(account_id) FROM \
         seat_intervals) SETTINGS mutations_sync = 2",
    );
    let expected = ["intervals", "tests"];
    eventually("the changed rows are told of", COUNT_TIMEOUT, || {
        let (differing, _) = gauges(&mut api);
        let tells = |identity: &&str| differing.iter().any(|line| line.contains(*identity));
        expected.iter().all(tells).then_some(())
    });
    api.wait_for_line("figures differ that are counted twice", STOP_TIMEOUT);
    assert!(first.terminate(STOP_TIMEOUT).success());
    assert!(api.terminate(STOP_TIMEOUT).success());
}
