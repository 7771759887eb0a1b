//! Faults on the way: an event that is lost is a wrong answer, what is only late is none.

use std::time::Duration;

use serde_json::json;

use super::{
    ACCOUNT, SOON, assert_nothing_is_wrong, canary, metric, rounds_seen, url_of, wait_for_rounds,
    wrong_answers,
};
use crate::counting::{Record, STOP_TIMEOUT, Setup};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Program, eventually};

/// Times that the worker is killed.
const KILLS: u64 = 6;

/// Somebody else has used the ids of the next rounds, so that their tests are duplicates: all is
/// counted, and they are never shown.
#[test]
fn a_lost_event_is_a_wrong_answer() {
    let setup = Setup::new(1);
    let mut run = Program::spawn(&mut setup.command(&["run"]));
    let mut canary = Program::spawn(&mut canary(&setup, &url_of(&mut run)));
    let line = canary.wait_for_line("the next rounds are of this organization", SOON);
    let organization = line.split("organization=\"").nth(1).unwrap().split('"').next().unwrap();
    wait_for_rounds(&mut canary, 1.0);
    assert_nothing_is_wrong(&mut canary);

    let ids = (4..30).flat_map(|round| (0..8).map(move |index| format!("-{round}-{index}")));
    let stolen = ids.map(|id| {
        let event = json!({"specversion": "1.0", "id": format!("{organization}{id}"),
            "source": "/seatmeter/canary", "type": "test.executed",
            "time": chrono::Utc::now().to_rfc3339(),
            "data": {"account_id": ACCOUNT, "organization_id": "seatmeter-canary-thief",
                "origin": "run"}});
        Record { key: Some(ACCOUNT.to_owned()), value: Some(event.to_string().into_bytes()) }
    });
    setup.produce(&stolen.collect::<Vec<_>>());
    for report in ["test_activity", "quota"] {
        eventually("the report is called wrong", SOON, || {
            (wrong_answers(&mut canary, report) > 0.0).then_some(())
        });
    }
    let timeouts = metric(&mut canary, "seatmeter_canary_failures_total{cause=\"timeout\"}");
    assert!(timeouts < 0.5, "it is counted, so nothing is awaited: {}", canary.stderr());
    assert!(wrong_answers(&mut canary, "license_usage") < 0.5, "{}", canary.stderr());
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    assert!(run.terminate(STOP_TIMEOUT).success());
}

/// Kills at any time, some of them between the rows of a flush and its progress: each INSERT is
/// delayed a little. What the API keeps hides most of such moments; how tables that are not equally
/// far are judged is tested where the bounds are.
#[test]
fn a_worker_that_is_killed_again_and_again_is_no_wrong_answer() {
    let mut setup = Setup::new(2);
    // The group removes a killed member soon.
    setup.set("KAFKA__SESSION_TIMEOUT_MS", 1_000);
    setup.set("INGEST__REVOKE_DEADLINE_MS", 900);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    let mut canary = Program::spawn(&mut canary(&setup, &url_of(&mut api)));
    let proxy = HttpProxy::to(&setup.database.url);
    proxy.set(Rule {
        meddling: Meddling::Delay(Duration::from_millis(120)),
        every: 1,
        only: "INSERT",
    });
    setup.set("CLICKHOUSE__URL", &proxy.url);
    for kill in 0..KILLS {
        let mut worker = setup.worker();
        wait_for_rounds(&mut canary, 1.0);
        std::thread::sleep(Duration::from_millis(230 * kill));
        worker.kill();
    }
    let mut worker = setup.worker();
    wait_for_rounds(&mut canary, 3.0);
    assert_nothing_is_wrong(&mut canary);
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    // With these delays its last flush may not end in time.
    worker.kill();
    assert!(api.terminate(STOP_TIMEOUT).success());
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let setup = Setup::new(1);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    let mut command = canary(&setup, &url_of(&mut api));
    let mut canary = Program::spawn(command.env("SEATMETER__KAFKA__BROKERS", "127.0.0.1:1"));
    let line = canary.wait_for_line("canary: a round failed", SOON);
    assert!(line.contains("cannot reach Kafka at 127.0.0.1:1 (kafka.brokers)"), "{line}");
    eventually("it tries again", SOON, || {
        let failures = "seatmeter_canary_failures_total{cause=\"send\"}";
        (metric(&mut canary, failures) > 1.0).then_some(())
    });
    assert!(rounds_seen(&mut canary) < 0.5);
    assert!(canary.terminate(STOP_TIMEOUT).success(), "{}", canary.stderr());
    assert!(api.terminate(STOP_TIMEOUT).success());
}
