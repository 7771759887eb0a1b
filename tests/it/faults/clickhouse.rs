//! Faults of ClickHouse and of the network to it.

use std::time::Duration;

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Kafka, PrivateEngine, eventually};

/// ClickHouse is killed in the middle of a run and stays away for longer than the group would wait
/// for a silent member: the worker keeps its partitions and its rows, stops reading when it is
/// full, and goes on when ClickHouse is back.
#[test]
fn clickhouse_may_go_away_and_come_back() {
    let mut engine = PrivateEngine::start();
    let mut setup = Setup::between(Kafka::shared(), engine.database(), 2);
    hurry(&mut setup);
    setup.set("INGEST__PENDING_ROWS_MAX", 1_000);
    setup.set("INGEST__WORKER_THREADS", 1);
    let mut writer = Writer::new(4);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.wait_until_counted();

    engine.process.kill().unwrap();
    // A lane that waits for a load does not fill up, so the first records need none.
    setup.produce(&writer.write_rejects(3_000));
    setup.produce(&writer.write(5_000));
    worker.wait_for_line("cannot write to ClickHouse, trying again", Duration::from_secs(30));
    worker.wait_for_line("not reading: so many rows wait for a flush", Duration::from_secs(60));
    let (status, readiness) = ask(&mut worker, "/readyz");
    assert_eq!(status, 503, "{readiness}");
    assert!(
        readiness.contains("cannot write to ClickHouse") && readiness.contains("cannot be reached"),
        "{readiness}"
    );
    // With the time so far, more than twice the session timeout.
    std::thread::sleep(Duration::from_secs(5));
    engine.process.restart().unwrap();

    worker.wait_for_line("reading again", Duration::from_secs(60));
    setup.check(&writer);
    eventually("the worker is ready again", Duration::from_secs(30), || {
        (ask(&mut worker, "/readyz").0 == 200).then_some(())
    });
    let said = worker.stderr();
    assert!(!said.contains("partitions lost") && !said.contains("partitions revoked"), "{said}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_worker_that_cannot_write_its_last_rows_says_so_and_fails() {
    let mut engine = PrivateEngine::start();
    let setup = Setup::between(Kafka::shared(), engine.database(), 1);
    let mut writer = Writer::new(5);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.wait_until_counted();
    engine.process.kill().unwrap();
    setup.produce(&writer.write(500));
    worker.wait_for_line("cannot write to ClickHouse, trying again", Duration::from_secs(30));
    let status = worker.terminate(STOP_TIMEOUT);
    assert_eq!(status.code(), Some(1));
    let said = worker.stderr();
    assert!(!said.contains("works again"), "it never did: {said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("stopped before the last events of 1 partitions were written"), "{said}");
    assert!(last.contains("cannot be reached") && last.contains("nothing is lost"), "{said}");

    engine.process.restart().unwrap();
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// ClickHouse is killed repeatedly, within INSERTs, while the worker goes on.
#[test]
fn clickhouse_may_be_killed_during_a_run() {
    let mut engine = PrivateEngine::start();
    let setup = Setup::between(Kafka::shared(), engine.database(), 4);
    let mut writer = Writer::new(41);
    setup.produce(&writer.write(1_000));
    let mut worker = setup.worker();
    for kill in 0..5 {
        setup.produce(&writer.write(700));
        std::thread::sleep(Duration::from_millis(50 + 90 * kill));
        engine.process.kill().unwrap();
        setup.produce(&writer.write(300));
        engine.process.restart().unwrap();
    }
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Requests are disturbed while a log is counted and while another worker starts; then they pass.
#[track_caller]
fn meddled_with(seed: u64, rule: Rule, options: &[(&'static str, u32)]) {
    let mut setup = Setup::new(2);
    hurry(&mut setup);
    let proxy = HttpProxy::to(&setup.database.url);
    setup.set("CLICKHOUSE__URL", &proxy.url);
    for (name, value) in options {
        setup.set(name, value);
    }
    let mut writer = Writer::new(seed);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.wait_until_counted();
    proxy.set(rule);
    for _ in 0..4 {
        setup.produce(&writer.write(300));
        std::thread::sleep(Duration::from_millis(400));
    }
    let mut another = setup.worker();
    eventually("some requests are meddled with", SOON, || (proxy.meddled() > 8).then_some(()));
    setup.produce(&writer.write(300));
    proxy.clear();
    setup.check(&writer);
    let said = worker.stderr();
    assert!(!said.contains("panicked") && !said.contains("partitions lost"), "{said}");
    assert!(another.terminate(STOP_TIMEOUT).success());
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn clickhouse_may_refuse_inserts_for_a_while() {
    meddled_with(42, Rule { meddling: Meddling::Refuse, every: 1, only: "INSERT" }, &[]);
}

#[test]
fn clickhouse_may_be_slow() {
    let rule = Rule { meddling: Meddling::Delay(Duration::from_millis(700)), every: 1, only: "" };
    meddled_with(43, rule, &[]);
}

#[test]
fn requests_may_break_half_way() {
    meddled_with(44, Rule { meddling: Meddling::CutRequest, every: 2, only: "" }, &[]);
}

/// A truncated load must fail: half of an account's facts would yield wrong counts.
#[test]
fn answers_may_break_half_way() {
    meddled_with(45, Rule { meddling: Meddling::CutAnswer, every: 2, only: "" }, &[]);
}

/// The rows are stored without an acknowledgement: they are written again.
#[test]
fn acknowledgements_may_be_lost() {
    meddled_with(46, Rule { meddling: Meddling::SwallowAnswer, every: 2, only: "INSERT" }, &[]);
}

#[test]
fn answers_may_never_come() {
    let rule = Rule { meddling: Meddling::Hang, every: 2, only: "" };
    meddled_with(47, rule, &[("CLICKHOUSE__REQUEST_TIMEOUT_MS", 1_000)]);
}
