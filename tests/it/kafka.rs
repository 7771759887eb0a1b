//! What a consumer group and a log can do to a worker: rebalances, transactions, retention, topics that are recreated or
//! grow, brokers that go away. Each test ends with a naive count.

use std::time::Duration;

use rdkafka::producer::Producer as _;

use crate::counting::{COUNT_TIMEOUT, Record, STOP_TIMEOUT, Setup, Writer, produce};
use crate::support::{Kafka, Program, engine, eventually, unique};

const SOON: Duration = Duration::from_secs(60);

/// One worker joins, one is killed, one is stopped politely, one is stalled past its session and continues.
#[track_caller]
fn members_come_and_go(assignor: &str, seed: u64) {
    let mut setup = Setup::new(4);
    setup.set("KAFKA__ASSIGNOR", assignor);
    let mut writer = Writer::new(seed);
    setup.produce(&writer.write(3_000));
    let first = setup.joined_worker();
    let mut second = setup.joined_worker();
    setup.produce(&writer.write(1_000));
    let mut third = setup.joined_worker();
    setup.wait_until_counted();

    setup.produce(&writer.write(1_000));
    first.signal("STOP");
    setup.produce(&writer.write(1_000));
    // The group misses the first one after its session timeout, and the others count its partitions.
    setup.wait_until_counted();
    second.kill();
    setup.produce(&writer.write(1_000));
    first.signal("CONT");
    assert!(third.terminate(STOP_TIMEOUT).success(), "{}", third.stderr());
    setup.produce(&writer.write(1_000));
    let mut first = first;
    first.wait_for_line("partitions lost", COUNT_TIMEOUT);
    setup.check(&writer);
    assert!(first.terminate(STOP_TIMEOUT).success(), "{}", first.stderr());
}

#[test]
fn members_come_and_go_in_a_cooperative_group() {
    members_come_and_go("cooperative-sticky", 11);
}

#[test]
fn members_come_and_go_in_an_eager_group() {
    members_come_and_go("range", 12);
}

#[test]
fn committed_offsets_decide_nothing() {
    let setup = Setup::new(2);
    let mut writer = Writer::new(13);
    setup.produce(&writer.write(2_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
    // The worker has left it, so it is empty.
    setup.kafka.delete_group(&setup.group);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn aborted_transactions_count_nothing_and_leave_no_lag() {
    let setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(14);
    let timeout = Duration::from_secs(30);
    let producer = setup.producer(&[("transactional.id", &unique("tx"))]);
    producer.init_transactions(timeout).unwrap();
    let transact = |records: &[_], is_committed: bool| {
        producer.begin_transaction().unwrap();
        produce(&producer, &setup.topic, records);
        if is_committed { producer.commit_transaction(timeout) } else { producer.abort_transaction(timeout) }.unwrap();
    };
    let garbage = Writer::new(15).write(300);
    let mut worker = setup.worker();
    transact(&writer.write(400), true);
    transact(&garbage, false);
    transact(&writer.write(400), true);
    setup.check(&writer);
    // At the end of the log no later record shows that nothing is there.
    transact(&garbage, false);
    let progress = setup.check(&writer);
    assert!(progress.absent >= 600, "{progress:?}");
    assert!(worker.terminate(STOP_TIMEOUT).success());

    transact(&garbage, false);
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

#[test]
fn batches_of_every_codec_are_read() {
    let setup = Setup::new(1);
    let mut writer = Writer::new(16);
    let mut worker = setup.worker();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        produce(&setup.producer(&[("compression.type", codec)]), &setup.topic, &writer.write(300));
    }
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Records that retention takes before they are counted are absent, and told loudly; what comes after them is counted.
#[test]
fn a_log_that_starts_beyond_the_progress_is_counted_from_there() {
    let setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(17);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());

    // While no worker runs.
    let lost = Writer::new(18).write(300);
    setup.produce(&lost);
    setup.kafka.delete_records(&setup.topic, 0, 800);
    writer.forget_sent_tests();
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    assert_eq!(setup.check(&writer).absent, 300);
    let line = worker.wait_for_line("retention deleted 300 offsets before they were counted", SOON);
    assert!(line.contains("ERROR"), "{line}");

    // While a worker runs that is behind, because it was stopped for a moment: of these many tombstones it has fetched a
    // first few at most.
    let tombstones = vec![Record { key: Some("acct-0".to_owned()), value: None }; 30_000];
    worker.signal("STOP");
    setup.produce(&tombstones);
    setup.kafka.delete_records(&setup.topic, 0, 31_300);
    writer.forget_sent_tests();
    setup.produce(&writer.write(500));
    worker.signal("CONT");
    let progress = setup.wait_until_counted();
    let mut counted = setup.counted();
    let fetched = counted.outcomes[3] - writer.counted().outcomes[3];
    assert!(progress.absent > 300, "nothing was deleted under the worker: {progress:?}");
    assert_eq!(fetched + progress.absent, 30_300, "each deleted offset is skipped or absent");
    counted.outcomes[3] -= fetched;
    counted.assert_is(&writer.counted());
    worker.wait_for_line("starting partitions anew", SOON);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

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

    // While the worker runs, and at once refilled beyond where it stands: its client reads on as if nothing had happened.
    recreate(&setup);
    setup.produce(&Writer::new(20).write(3_000));
    worker.wait_for_line(&format!("topic {} was recreated", setup.topic), SOON);
    std::thread::sleep(Duration::from_secs(2));
    setup.counted().assert_is(&writer.counted());
    assert_eq!(setup.progress().next_offsets, counted.next_offsets);
    assert!(worker.is_running(), "other partitions could go on");
    assert!(worker.terminate(STOP_TIMEOUT).success());

    // And so it is at the next start.
    let mut worker = setup.worker();
    worker.wait_for_line("partition refused", SOON);
    std::thread::sleep(Duration::from_secs(1));
    setup.counted().assert_is(&writer.counted());
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

fn recreate(setup: &Setup<'_>) {
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
        "INSERT INTO source_progress (source, topic, topic_id, partition, next_offset, high_watermark) \
         SELECT source, topic, topic_id, partition, next_offset + 10, next_offset + 10 FROM ingest_progress \
         WHERE partition = 0",
    );
    let mut worker = setup.worker();
    let line = worker.wait_for_line("partition refused", SOON);
    assert!(line.contains("partition 0") && line.contains("lost records that were counted"), "{line}");
    setup.produce(&writer.write(500));
    let figure = |what: &str, partition: u32| -> u64 {
        let sql = format!("SELECT {what} FROM ingest_progress WHERE partition = {partition}");
        setup.database.query(&sql).trim().parse().unwrap()
    };
    let passed = "accepted + rejected + duplicates + skipped";
    let end = setup.log_end(1);
    eventually("partition 1 is counted", COUNT_TIMEOUT, || (figure(passed, 1) == end).then_some(()));
    assert_eq!(figure(passed, 0) + end, before.next_offsets + (end - end_before), "partition 0 is not");
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
fn a_broker_may_go_away_and_come_back() {
    let mut kafka = Kafka::start();
    if kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(23);
    let setup = Setup::between(&kafka, engine(), 2);
    setup.produce(&writer.write(1_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    let parts = setup.apart();
    kafka.kill();
    worker.wait_for_line("cannot read from Kafka, trying again", SOON);
    kafka.restart();
    let setup = parts.with(&kafka);
    setup.produce(&writer.write(1_000));
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
    assert!(last.contains("topic \"no-such-topic\" does not exist") && last.contains("--create"), "{said}");
}

#[test]
fn brokers_that_cannot_be_reached_are_waited_for() {
    let mut setup = Setup::new(1);
    setup.set("KAFKA__BROKERS", "127.0.0.1:1");
    let mut worker: Program = setup.worker();
    let line = worker.wait_for_line("cannot read from Kafka, trying again", SOON);
    assert!(line.contains("127.0.0.1:1"), "{line}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
