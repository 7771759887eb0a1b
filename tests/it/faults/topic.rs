//! Faults of a topic: recreated, truncated, extended with partitions, missing.

use std::time::Duration;

use super::SOON;
use crate::counting::{COUNT_TIMEOUT, STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::eventually;

#[test]
fn a_topic_that_was_recreated_is_refused() {
    let setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(19);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    let counted = setup.check(&writer);

    // While the worker runs, and at once refilled beyond its position: its client reads on as if
    // nothing had happened.
    recreate(&setup);
    let mut refilled = Writer::new(20);
    setup.produce(&refilled.write(3_000));
    worker.wait_for_line(&format!("topic {} was recreated", setup.topic), SOON);
    std::thread::sleep(Duration::from_secs(2));
    setup.counted().assert_is(&writer.counted());
    assert_eq!(setup.progress().next_offsets, counted.next_offsets);
    assert!(worker.is_running(), "other partitions could go on");
    assert!(worker.terminate(STOP_TIMEOUT).success());

    // The same at the next start.
    let mut worker = setup.worker();
    let line = worker.wait_for_line("partition refused", SOON);
    let way_out = "To count the new topic beside the old one, delete the old topic's rows from \
        source_progress and restart";
    assert!(line.contains("ERROR") && line.contains(way_out), "{line}");
    let (status, readiness) = ask(&mut worker, "/readyz");
    assert!(status == 503 && readiness.contains("was recreated"), "{status} {readiness}");
    std::thread::sleep(Duration::from_secs(1));
    setup.counted().assert_is(&writer.counted());
    assert!(worker.terminate(STOP_TIMEOUT).success());

    // The way out in the message works: the new topic is counted from its beginning, beside the old
    // one.
    setup.database.query("TRUNCATE TABLE source_progress");
    let mut worker = setup.worker();
    let progress = setup.wait_until_counted();
    assert_eq!(progress.outcomes.iter().sum::<u64>(), 3_000, "{progress:?}");
    let tests = |lines: &[String]| -> u64 {
        lines
            .iter()
            .flat_map(|line| line.split('\t').skip(4).take(2))
            .map(|tests| tests.parse::<u64>().unwrap())
            .sum()
    };
    let both = tests(&writer.counted().executions) + tests(&refilled.counted().executions);
    assert_eq!(tests(&setup.counted().executions), both);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Deletes the topic and creates it again, empty.
pub(super) fn recreate(setup: &Setup<'_>) {
    setup.kafka.delete_topic(&setup.topic);
    eventually("the topic is gone", SOON, || (setup.partitions() == 0).then_some(()));
    setup.kafka.create_topic(&setup.topic, 2, &[]);
}

#[test]
fn a_log_that_ends_before_the_progress_is_refused_and_other_partitions_go_on() {
    let setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(21);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    let before = setup.check(&writer);
    let end_before = setup.log_end(1);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    // As if the partition had lost its last records.
    setup.database.query(
        "INSERT INTO source_progress (source, topic, topic_id, partition, next_offset, \
        high_watermark) \
         SELECT source, topic, topic_id, partition, next_offset + 10, next_offset + 10 FROM \
         ingest_progress \
         WHERE partition = 0",
    );
    let mut worker = setup.worker();
    let line = worker.wait_for_line("partition refused", SOON);
    assert!(
        line.contains("partition 0") && line.contains("lost records that were counted"),
        "{line}"
    );
    setup.produce(&writer.write(500));
    let figure = |what: &str, partition: u32| -> u64 {
        let sql = format!("SELECT {what} FROM ingest_progress WHERE partition = {partition}");
        setup.database.query(&sql).trim().parse().unwrap()
    };
    let passed = "accepted + rejected + duplicates + skipped";
    let end = setup.log_end(1);
    eventually("partition 1 is counted", COUNT_TIMEOUT, || {
        (figure(passed, 1) == end).then_some(())
    });
    assert_eq!(
        figure(passed, 0) + end,
        before.next_offsets + (end - end_before),
        "partition 0 is not"
    );
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn partitions_that_are_added_are_counted() {
    let setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(22);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    setup.kafka.add_partitions(&setup.topic, 5);
    worker.wait_for_line("the topic's number of partitions changed", SOON);
    writer.forget_sent_tests();
    setup.produce(&writer.write(2_000));
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_topic_that_does_not_exist_is_one_line_that_says_what_to_do() {
    let mut setup = Setup::new(1);
    setup.set("KAFKA__TOPIC", "no-such-topic");
    let mut worker = setup.worker();
    assert_eq!(worker.wait(SOON).code(), Some(1));
    let said = worker.stderr();
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("topic \"no-such-topic\" does not exist") && last.contains("--create"),
        "{said}"
    );
}
