//! Accounts with events in two partitions: moved once after all was counted, which is correct, and
//! all other ways, which are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::{Value, json};

use super::SOON;
use crate::counting::{STOP_TIMEOUT, Setup, ask};
use crate::documents::section;
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Program, eventually};

/// Appends one login of each of these accounts to a partition.
#[track_caller]
fn log_in(setup: &Setup<'_>, partition: i32, accounts: &[&str]) {
    let producer = setup.producer(&[]);
    for account in accounts {
        let event = login(account);
        let record =
            BaseRecord::to(&setup.topic).partition(partition).key(*account).payload(&event);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(SOON).unwrap();
}

fn login(account: &str) -> String {
    let data = json!({"account_id": account, "user_id": 7});
    let time = "2026-03-01T09:00:00Z";
    json!({"id": "1", "source": "/auth", "type": "user.login", "time": time, "data": data})
        .to_string()
}

/// Content of the view: partitions by account.
#[track_caller]
fn split_accounts(setup: &Setup<'_>) -> BTreeMap<String, String> {
    let lines = setup.database.query("SELECT account_id, partitions FROM split_accounts");
    let pair = |line: &str| {
        line.split_once('\t')
            .map(|(account, partitions)| (account.to_owned(), partitions.to_owned()))
    };
    lines.lines().filter_map(pair).collect()
}

/// Starts a worker with the report API.
fn run(setup: &Setup<'_>) -> Program {
    let mut program = Program::spawn(&mut setup.command(&["run"]));
    program.wait_for_line("partitions assigned", SOON);
    program
}

fn ask_json(program: &mut Program, path: &str) -> Value {
    let (status, body) = ask(program, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Two workers, with a partition each after the rebalance.
#[test]
fn an_account_that_moves_after_a_stop_is_fine_and_one_that_comes_back_is_told() {
    let setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    let mut programs = [run(&setup), run(&setup)];
    log_in(&setup, 0, &["acme", "other"]);
    log_in(&setup, 1, &["third"]);
    setup.wait_until_counted();
    log_in(&setup, 1, &["acme", "third"]);
    setup.wait_until_counted();
    // More events after the move and a restart change nothing.
    let [first, _] = &mut programs;
    assert!(first.terminate(STOP_TIMEOUT).success());
    programs[0] = run(&setup);
    log_in(&setup, 1, &["acme", "third"]);
    log_in(&setup, 0, &["other"]);
    setup.wait_until_counted();
    assert_eq!(split_accounts(&setup), BTreeMap::new());
    let moves = setup.database.query(
        "SELECT account_id, source LIKE '%/1', former LIKE '%/0' FROM account_moves WHERE \
            former != ''",
    );
    assert_eq!(moves, "acme\t1\t1\n");
    assert_eq!(ask_json(&mut programs[0], "/readyz")["degraded"], json!([]));

    log_in(&setup, 0, &["acme"]);
    setup.wait_until_counted();
    assert_eq!(split_accounts(&setup), BTreeMap::from([("acme".to_owned(), "[0,1]".to_owned())]));
    for program in &mut programs {
        let line = program.wait_for_line("split account", SOON);
        assert!(
            line.contains("WARN") && line.contains("acme") && line.contains("[0, 1]"),
            "{line}"
        );
        let readiness = ask_json(program, "/readyz");
        assert_eq!(readiness["status"], "ready", "it serves on");
        let degraded = &readiness["degraded"][0];
        assert_eq!(degraded["component"], "split_accounts");
        assert!(
            degraded["reason"].as_str().unwrap().contains("\"acme\" in partitions [0, 1]"),
            "{degraded}"
        );
        let metrics = ask(program, "/metrics").1;
        assert!(metrics.contains("\nseatmeter_split_accounts 1\n"), "{metrics}");
        eventually("the API tells it", SOON, || {
            (ask_json(program, "/v1/ingest")["split_accounts"] == 1).then_some(())
        });
    }
    assert_eq!(
        programs[0].stderr().matches("split account: ").count(),
        1,
        "one line for each account"
    );

    // The warning is removed as the runbook says.
    let runbook = section("config/runbook.md", "An account in two partitions");
    let statements: Vec<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(statements.len(), 2, "{statements:?}");
    for statement in statements {
        setup.database.query(statement.trim_end_matches(';'));
    }
    eventually("nothing is wrong any more", SOON, || {
        (ask_json(&mut programs[1], "/readyz")["degraded"] == json!([])).then_some(())
    });
    for mut program in programs {
        assert!(program.terminate(STOP_TIMEOUT).success());
    }
}

/// Two producers at once, one with Java's partitioner, the other with librdkafka's default.
#[test]
fn two_partitioners_at_once_are_told_by_worker_and_check_config() {
    let mut setup = Setup::new(4);
    if setup.kafka.is_mock() {
        return;
    }
    let producers = ["murmur2_random", "consistent_random"]
        .map(|name| setup.producer(&[("partitioner", name)]));
    let accounts: Vec<String> = (0..60).map(|number| format!("account-{number}")).collect();
    for _ in 0..3 {
        for producer in &producers {
            for account in &accounts {
                let event = login(account);
                producer
                    .send(BaseRecord::to(&setup.topic).key(account).payload(&event))
                    .map_err(|(error, _)| error)
                    .unwrap();
            }
            producer.flush(SOON).unwrap();
        }
    }
    setup.set("KAFKA__GROUP_ID", "another");
    let checked = setup.command(&["check-config"]).output().unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        said.contains("warning: topic") && said.contains("accounts in several partitions at once"),
        "{said}"
    );
    assert!(checked.status.success(), "a warning is no failure: {said}");

    // The whole log exists at the start, and the partitions are read at different speeds.
    let mut workers = [setup.worker(), setup.worker()];
    setup.wait_until_counted();
    let expected = setup.database.query(
        "SELECT account_id FROM account_progress GROUP BY account_id HAVING uniqExact(source) > 1 \
        ORDER BY account_id",
    );
    let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
    assert!(expected.len() > 20 && expected.len() < accounts.len(), "{expected:?}");
    assert_eq!(split_accounts(&setup).into_keys().collect::<BTreeSet<_>>(), expected);
    for worker in &mut workers {
        for account in &expected {
            worker.wait_for_line(&format!("account=\"{account}\""), SOON);
        }
        assert!(worker.terminate(STOP_TIMEOUT).success());
    }
}

/// Rows, then the progress of accounts, then that of the partition: each waits for the previous
/// one.
#[test]
fn account_progress_lies_between_the_rows_and_the_progress() {
    let mut setup = Setup::new(1);
    let proxy = HttpProxy::to(&setup.database.url);
    setup.set("CLICKHOUSE__URL", &proxy.url);
    let refuse =
        |only: &'static str| proxy.set(Rule { meddling: Meddling::Refuse, every: 1, only });
    let count = |table: &str| {
        setup.database.query(&format!("SELECT count() FROM {table}")).trim().to_owned()
    };
    let next_offset =
        || setup.database.query("SELECT max(next_offset) FROM source_progress").trim().to_owned();

    let mut worker = setup.joined_worker();
    setup.wait_until_counted();
    refuse("active_users_state");
    log_in(&setup, 0, &["acme"]);
    eventually("the other rows are there", SOON, || {
        (count("organizations_seen") == "1").then_some(())
    });
    // The flush is retried meanwhile.
    let refused = proxy.meddled();
    eventually("the flush is tried again", SOON, || (proxy.meddled() > refused + 3).then_some(()));
    assert_eq!((count("account_progress"), next_offset()), ("0".to_owned(), "0".to_owned()));

    refuse("account_progress");
    eventually("all rows are there", SOON, || (count("active_users_state") != "0").then_some(()));
    let refused = proxy.meddled();
    eventually("the flush is tried again", SOON, || (proxy.meddled() > refused + 3).then_some(()));
    assert_eq!((count("account_progress"), next_offset()), ("0".to_owned(), "0".to_owned()));

    refuse("source_progress");
    eventually("the account's progress is there", SOON, || {
        (count("account_progress") != "0").then_some(())
    });
    assert_eq!(next_offset(), "0");
    proxy.clear();
    setup.wait_until_counted();
    assert_eq!(
        setup.database.query("SELECT account_id, upto FROM account_progress FINAL"),
        "acme\t1\n"
    );
    assert!(worker.terminate(STOP_TIMEOUT + Duration::from_secs(20)).success());
}
