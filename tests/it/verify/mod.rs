//! `seatmeter verify` on real runs: it agrees while a worker goes on, and finds and names whatever
//! is done to the tables.

use std::process::Output;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::counting::{STOP_TIMEOUT, Setup, Writer};

/// Runs `verify` with these arguments; returns its output and its report.
#[track_caller]
fn verify(setup: &Setup<'_>, arguments: &[&str]) -> (Output, Value) {
    let report = NamedTempFile::new().unwrap();
    let path = report.path().to_str().unwrap();
    let all: Vec<&str> = ["verify", "--report", path].iter().chain(arguments).copied().collect();
    let output = setup.command(&all).output().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, report)
}

#[track_caller]
fn assert_agrees(output: &Output, report: &Value) {
    assert!(output.status.success() && report["agrees"] == true, "{report:#}\n{output:?}");
    assert!(text(&output.stdout).starts_with("all agrees: "), "{output:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A topic that is counted to its end, with no worker any more.
fn counted(seed: u64, records: usize) -> Setup<'static> {
    let setup = Setup::new(2);
    let mut writer = Writer::new(seed);
    setup.produce(&writer.write(records));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    setup
}

#[test]
fn a_run_agrees_while_a_worker_goes_on() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(31);
    setup.produce(&writer.write(4_000));
    let mut worker = setup.worker();
    setup.wait_until_passed(1_000);
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            for _ in 0..20 {
                setup.produce(&writer.write(200));
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        });
        let (output, report) = verify(&setup, &[]);
        assert_agrees(&output, &report);
        producing.join().unwrap();
    });
    setup.wait_until_counted();
    let (output, report) = verify(&setup, &["--threads", "1"]);
    assert_agrees(&output, &report);
    assert_eq!(report["open"], serde_json::json!([]));
    let (output, report) = verify(&setup, &["--account", "acct-1"]);
    assert_agrees(&output, &report);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn accounts_that_do_not_fit_are_verified_in_passes() {
    let setup = counted(32, 20_000);
    let (output, report) = verify(&setup, &["--memory-mib", "1"]);
    assert_agrees(&output, &report);
    assert!(report["passes"].as_u64().unwrap() > 1, "{report:#}");
    let (_, at_once) = verify(&setup, &[]);
    assert_eq!((&at_once["passes"], &at_once["rows"]), (&1.into(), &report["rows"]));
}

/// One row of a query, by columns.
#[track_caller]
fn row(setup: &Setup<'_>, sql: &str) -> Vec<String> {
    let answer = setup.database.query(sql);
    answer.trim_end().split('\t').map(str::to_owned).collect()
}

#[test]
fn whatever_is_done_to_the_tables_is_found_and_named() {
    let setup = counted(33, 3_000);
    let counter = off_by_one(&setup);
    let missing = remove_user(&setup);
    let surplus = add_user(&setup);
    let foreign = add_foreign_row(&setup);
    let lost = lose_rejection(&setup);
    let hour = raise_hour(&setup);

    let (output, report) = verify(&setup, &[]);
    assert!(!output.status.success(), "{report:#}");
    let printed = text(&output.stdout);
    for expected in [&counter, &missing, &surplus, &foreign, &lost, &hour] {
        let line = printed.lines().find(|line| line.contains(expected.as_str()));
        assert!(line.is_some(), "{expected} is not in\n{printed}");
    }
    // The user that is too many is also among those of the account.
    assert_eq!(report["differences"].as_array().unwrap().len(), 7, "{report:#}");
    let located = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|difference| difference["first_offset"]["offset"].is_u64());
    assert!(located.count() >= 4, "{report:#}");
    assert!(text(&output.stderr).contains("7 differences"), "{output:?}");
}

/// Raises a counter; returns what the difference must say.
fn off_by_one(setup: &Setup<'_>) -> String {
    let columns = row(
        setup,
        "SELECT account_id, organization_id, project_id, day, source, max(run), max(uploaded), \
         max(duration_ms), max(upto) FROM test_executions_state \
         GROUP BY account_id, organization_id, project_id, day, source HAVING max(run) > 0 \
         ORDER BY account_id, organization_id, project_id, day LIMIT 1",
    );
    let [account, organization, project, day, source, run, uploaded, ms, upto] = &columns[..]
    else {
        panic!("{columns:?}")
    };
    let more = run.parse::<u64>().unwrap() + 1;
    setup.database.query(&format!(
        "INSERT INTO test_executions_state VALUES ('{account}', '{organization}', '{project}', \
         '{day}', '{source}', {more}, {uploaded}, {ms}, {upto})"
    ));
    format!(
        "test_executions_state account_id={account} organization_id={organization} \
         project_id={project} day={day} source={source}: wanted {run} run, {uploaded} uploaded, \
         {ms} ms, found {more} run"
    )
}

/// An organization's day of several users: account, organization, day, users; not the first.
#[track_caller]
fn users_of_a_day(setup: &Setup<'_>, at: u32) -> [String; 4] {
    let sql = format!(
        "SELECT account_id, organization_id, day, \
         arrayStringConcat(bitmapToArray(groupBitmapMergeState(users)), ',') AS keys \
         FROM active_users_state WHERE organization_id != '' \
         GROUP BY account_id, organization_id, day \
         HAVING groupBitmapMerge(users) > 2 AND groupBitmapMerge(users) < 30 \
         ORDER BY account_id, organization_id, day LIMIT 1 OFFSET {at}"
    );
    row(setup, &sql).try_into().unwrap()
}

/// Removes a user with a number for an id from a day.
fn remove_user(setup: &Setup<'_>) -> String {
    let [account, organization, day, users] = users_of_a_day(setup, 5);
    let mut users: Vec<u64> = users.split(',').map(|user| user.parse().unwrap()).collect();
    users.sort_unstable();
    let removed = users.remove(0);
    let place = format!(
        "account_id = '{account}' AND organization_id = '{organization}' AND day = '{day}'"
    );
    setup.database.query(&format!(
        "ALTER TABLE active_users_state DELETE WHERE {place} SETTINGS mutations_sync = 2"
    ));
    setup.database.query(&format!(
        "INSERT INTO active_users_state SELECT '{account}', '{organization}', '{day}', \
         arrayReduce('groupBitmapState', CAST({users:?}, 'Array(UInt64)'))"
    ));
    format!(
        "active_users_state account_id={account} organization_id={organization} day={day}: wanted \
         {} users, found {} users; missing: {removed}; see partition",
        users.len() + 1,
        users.len()
    )
}

/// Adds a user to a day.
fn add_user(setup: &Setup<'_>) -> String {
    let [account, organization, day, users] = users_of_a_day(setup, 9);
    setup.database.query(&format!(
        "INSERT INTO active_users_state SELECT '{account}', '{organization}', '{day}', \
         arrayReduce('groupBitmapState', CAST([987654321], 'Array(UInt64)'))"
    ));
    let users = users.split(',').count();
    format!(
        "active_users_state account_id={account} organization_id={organization} day={day}: wanted \
         {users} users, found {} users; too many: key 987654321",
        users + 1
    )
}

/// Adds a counter of a source that has never counted.
fn add_foreign_row(setup: &Setup<'_>) -> String {
    setup.database.query(
        "INSERT INTO quota_usage_state SELECT account_id, organization_id, anchor, month, day, \
         'elsewhere/id/7', tests, upto FROM quota_usage_state \
         ORDER BY account_id, organization_id, day LIMIT 1",
    );
    "source=elsewhere/id/7: wanted no row, found".to_owned()
}

/// Adds an accepted record to an hour of the audit.
fn raise_hour(setup: &Setup<'_>) -> String {
    let columns = row(
        setup,
        "SELECT source, hour, max(counted).1 AS upto, max(counted).2 AS accepted, \
         max(counted).8 AS checksum FROM ingest_audit_state GROUP BY source, hour \
         ORDER BY source, hour LIMIT 1",
    );
    let [source, hour, upto, accepted, _] = &columns[..] else { panic!("{columns:?}") };
    setup.database.query(&format!(
        "INSERT INTO ingest_audit_state SELECT source, hour, any(topic), any(topic_id), \
         any(partition), min(first_offset), ({upto} + 1, {accepted} + 1, max(counted).3, \
         max(counted).4, max(counted).5, max(counted).6, max(counted).7, max(counted).8) \
         FROM ingest_audit_state WHERE source = '{source}' AND hour = '{hour}' \
         GROUP BY source, hour"
    ));
    format!("ingest_audit_state source={source} hour={hour}: wanted {accepted} accepted, ")
}

/// Removes a rejected record.
fn lose_rejection(setup: &Setup<'_>) -> String {
    let columns = row(
        setup,
        "SELECT source, offset FROM rejected_event_facts ORDER BY source, offset LIMIT 1",
    );
    let [source, offset] = &columns[..] else { panic!("{columns:?}") };
    setup.database.query(&format!(
        "ALTER TABLE rejected_event_facts DELETE WHERE source = '{source}' AND offset = {offset} \
         SETTINGS mutations_sync = 2"
    ));
    format!("rejected_event_facts source={source} offset={offset}: wanted")
}

#[test]
fn of_a_log_that_was_cut_the_rest_is_verified() {
    let setup = counted(34, 3_000);
    if setup.kafka.is_mock() {
        return;
    }
    setup.kafka.delete_records(&setup.topic, 0, 500);
    let (output, report) = verify(&setup, &[]);
    assert_agrees(&output, &report);
    let open = report["open"][0].as_str().unwrap();
    assert!(open.contains("partition 0 is read from offset 500 on"), "{open}");

    setup.database.query(
        "ALTER TABLE license_facts DELETE WHERE source LIKE '%/0' AND offset = (SELECT \
         max(offset) FROM license_facts WHERE source LIKE '%/0') SETTINGS mutations_sync = 2",
    );
    let (output, report) = verify(&setup, &[]);
    assert!(!output.status.success(), "{report:#}");
    assert!(text(&output.stdout).contains("license_facts account_id="), "{output:?}");
}

#[test]
fn a_topic_that_does_not_exist_is_no_agreement() {
    let mut setup = Setup::new(1);
    setup.set("KAFKA__TOPIC", "no-such-topic");
    let output = setup.command(&["verify"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("no-such-topic"), "{output:?}");
}

#[test]
fn accounts_that_moved_to_added_partitions_are_verified() {
    let setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(35);
    setup.produce(&writer.write(3_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    writer.forget_sent_tests();
    setup.kafka.add_partitions(&setup.topic, 3);
    // Kafka's timestamps tell who was first; they have milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(50));
    setup.produce(&writer.write(3_000));
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    let (output, report) = verify(&setup, &[]);
    assert_agrees(&output, &report);
    assert_eq!(report["open"], serde_json::json!([]));
    add_user(&setup);
    let (output, report) = verify(&setup, &[]);
    assert!(!output.status.success(), "{report:#}");
    assert_eq!(report["differences"].as_array().unwrap().len(), 2, "{report:#}");
}

#[test]
fn what_a_cut_off_flush_has_left_is_not_settled_before_a_worker_goes_on() {
    let setup = counted(36, 1_000);
    let mut writer = Writer::new(37);
    setup.produce(&writer.write(1_000));
    // As if a worker had written rows of these records and died before the progress.
    setup
        .database
        .query("CREATE TABLE progress_before ENGINE = Memory AS SELECT * FROM source_progress");
    let mut worker = setup.worker();
    setup.wait_until_counted();
    assert!(worker.terminate(STOP_TIMEOUT).success());
    setup.database.query("TRUNCATE TABLE source_progress");
    setup.database.query("INSERT INTO source_progress SELECT * FROM progress_before");
    setup.database.query("DROP TABLE progress_before");
    // More of the same keys is to be counted, so that no row is what the log says at its end.
    setup.produce(&writer.write(3_000));

    let (output, report) = verify(&setup, &["--account", "acct-2"]);
    assert!(!output.status.success(), "{report:#}");
    assert_eq!(report["differences"], serde_json::json!([]), "{report:#}");
    assert!(!report["unsettled"].as_array().unwrap().is_empty());
    assert!(text(&output.stdout).contains("not settled: "), "{output:?}");

    let mut worker = setup.worker();
    setup.wait_until_counted();
    let (output, report) = verify(&setup, &[]);
    assert_agrees(&output, &report);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn what_was_sent_since_a_time_is_verified_alone() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(38);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let since = chrono::Utc::now().to_rfc3339();
    setup.produce(&writer.write(2_000));
    setup.check(&writer);
    let (output, report) = verify(&setup, &["--from", &since]);
    assert_agrees(&output, &report);
    for partition in report["partitions"].as_array().unwrap() {
        let first = partition["first_offset"].as_u64().unwrap();
        assert!(first > 0 && first < partition["next_offset"].as_u64().unwrap(), "{report:#}");
    }
    let (_, whole) = verify(&setup, &[]);
    assert!(report["rows"].as_u64().unwrap() < whole["rows"].as_u64().unwrap(), "{whole:#}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
