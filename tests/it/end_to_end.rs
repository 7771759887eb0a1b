//! A log is produced to real Apache Kafka, counted by the program into the real engine, and compared with a naive count,
//! whatever happens to the worker meanwhile.

use std::time::Duration;

use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::{PrivateEngine, Program, eventually};

/// What the worker answers under this path: status and body.
#[track_caller]
fn ask(worker: &mut Program, path: &str) -> (u16, String) {
    let line = worker.wait_for_line("listening", STOP_TIMEOUT);
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn a_log_is_counted_exactly() {
    let setup = Setup::new(4);
    let mut writer = Writer::new(1);
    setup.produce(&writer.write(5_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    setup.produce(&writer.write(1_000));
    let progress = setup.check(&writer);
    assert_eq!(progress.absent, 0);
    let (_, metrics) = ask(&mut worker, "/metrics");
    for (outcome, records) in ["accepted", "rejected", "duplicate", "skipped"].into_iter().zip(progress.outcomes) {
        let line = format!("seatmeter_records_total{{outcome=\"{outcome}\"}} {records}");
        assert!(metrics.lines().any(|metric| metric == line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("seatmeter_end_to_end_latency_seconds{quantile=\"0.999\"}"), "{metrics}");
    assert!(progress.outcomes.iter().all(|&outcome| outcome > 0), "the log has some of everything: {progress:?}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_worker_that_is_stopped_and_started_counts_on_where_it_ended() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(2);
    setup.produce(&writer.write(3_000));
    for _ in 0..3 {
        let mut worker = setup.worker();
        setup.produce(&writer.write(1_500));
        setup.wait_until_passed(setup.progress().next_offsets + 500);
        assert!(worker.terminate(STOP_TIMEOUT).success(), "{}", worker.stderr());
        let left = setup.progress();
        setup.produce(&writer.write(200));
        assert!(setup.progress() == left, "nobody counts while no worker runs");
    }
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn kills_in_the_middle_of_flushes_change_nothing() {
    let mut setup = Setup::new(4);
    // So short that a kill hits a flush more likely than not.
    setup.set("INGEST__FLUSH_INTERVAL_MS", 50);
    let mut writer = Writer::new(3);
    setup.produce(&writer.write(2_000));
    for kill in 0..5_u32 {
        let mut worker = setup.worker();
        worker.wait_for_line("counting partition", STOP_TIMEOUT);
        setup.produce(&writer.write(1_500));
        std::thread::sleep(Duration::from_millis(u64::from(150 + 170 * kill)));
        worker.kill();
    }
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// ClickHouse is killed in the middle of a run and stays away for longer than the group would wait for a silent member:
/// the worker keeps its partitions and its rows, stops reading when it is full, and goes on when ClickHouse is back.
#[test]
fn clickhouse_may_go_away_and_come_back() {
    let mut engine = PrivateEngine::start();
    let mut setup = Setup::between(crate::support::Kafka::shared(), engine.database(), 2);
    setup.set("INGEST__PENDING_ROWS_MAX", 1_000);
    setup.set("INGEST__WORKER_THREADS", 1);
    let mut writer = Writer::new(4);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.wait_until_counted();

    engine.process.kill().unwrap();
    // A lane that waits for a load does not fill up, so what comes first needs none.
    setup.produce(&writer.write_rejects(3_000));
    setup.produce(&writer.write(5_000));
    worker.wait_for_line("cannot write to ClickHouse, trying again", Duration::from_secs(30));
    worker.wait_for_line("not reading: so many rows wait for a flush", Duration::from_secs(60));
    let (status, readiness) = ask(&mut worker, "/readyz");
    assert_eq!(status, 503, "{readiness}");
    assert!(readiness.contains("cannot write to ClickHouse") && readiness.contains("cannot be reached"), "{readiness}");
    std::thread::sleep(Duration::from_secs(8));
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
    let setup = Setup::between(crate::support::Kafka::shared(), engine.database(), 1);
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
    let last = said.lines().last().unwrap();
    assert!(last.contains("stopped before the last events of 1 partitions were written"), "{said}");
    assert!(last.contains("cannot be reached") && last.contains("nothing is lost"), "{said}");

    engine.process.restart().unwrap();
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
