//! A log is produced to real Apache Kafka, counted by the program into the real engine, and
//! compared with a naive count, whatever happens to the worker meanwhile.

use seatmeter::core::calendar::RELEASE;

use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask, metric, produce_at};

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
    for (outcome, records) in
        ["accepted", "rejected", "duplicate", "skipped"].into_iter().zip(progress.outcomes)
    {
        let line = format!("seatmeter_records_total{{outcome=\"{outcome}\"}} {records}");
        assert!(metrics.lines().any(|metric| metric == line), "{line} is not in\n{metrics}");
    }
    let zones = format!("seatmeter_timezones_info{{release=\"{RELEASE}\"}} 1");
    assert!(metrics.lines().any(|metric| metric == zones), "{zones} is not in\n{metrics}");
    assert!(
        metrics.contains("seatmeter_end_to_end_latency_seconds{quantile=\"0.999\"}"),
        "{metrics}"
    );
    assert!(
        progress.outcomes.iter().all(|&outcome| outcome > 0),
        "the log has some of everything: {progress:?}"
    );
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

/// While old records are read, rows wait long for more of them to be merged with. At the end of the
/// log there are no more.
#[test]
fn the_last_rows_of_a_backlog_do_not_wait() {
    let mut setup = Setup::new(2);
    setup.set("INGEST__FLUSH_INTERVAL_MS", 200);
    setup.set("INGEST__CATCH_UP_FLUSH_INTERVAL_MS", 600_000);
    let (mut writer, producer) = (Writer::new(11), setup.producer(&[]));
    let old_ms = chrono::Utc::now().timestamp_millis() - 3_600_000;
    let mut worker = setup.joined_worker();
    for _ in 0..3 {
        produce_at(&producer, &setup.topic, &writer.write(200), Some(old_ms));
        setup.check(&writer);
    }
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// What is evicted is loaded again: with a budget that is used up, every count stays exact.
#[test]
fn a_worker_that_may_hold_little_counts_as_exactly() {
    let mut setup = Setup::new(3);
    setup.set("INGEST__HELD_MBYTES_MAX", 1);
    setup.set("INGEST__FLUSH_INTERVAL_MS", 100);
    let mut writer = Writer::new(12);
    let mut worker = setup.joined_worker();
    for _ in 0..16 {
        setup.produce(&writer.write(500));
        // Each month that is counted takes memory of its own.
        setup.produce(&writer.write_months(250));
        setup.wait_until_counted();
    }
    setup.check(&writer);
    let evicted = metric(&mut worker, "seatmeter_evicted_entries_total");
    assert!(evicted > Some(1_000.0), "{evicted:?} evicted");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
