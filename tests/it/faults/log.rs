//! Contents of a log: aborted transactions, gaps, batches of every codec, dates of many years; and
//! the effects of retention.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;

use super::SOON;
use crate::counting::{Record, STOP_TIMEOUT, Setup, Writer, produce};
use crate::support::{eventually, unique};

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
        if is_committed {
            producer.commit_transaction(timeout)
        } else {
            producer.abort_transaction(timeout)
        }
        .unwrap();
    };
    let garbage = Writer::new(15).write(300);
    let mut worker = setup.worker();
    transact(&writer.write(400), true);
    transact(&garbage, false);
    transact(&writer.write(400), true);
    setup.check(&writer);
    // At the end of the log no later record shows the gap.
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

/// Records that retention deletes before they are counted are absent and logged as an error; later
/// ones are counted.
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

    // While a running worker is behind, because it was stopped for a moment: it has fetched at most
    // a few of these many tombstones.
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

/// Compaction leaves offsets that hold nothing, in the middle of the log. The topic's key is the
/// account, so it should not be compacted; compacted records are absent, and the rest is counted.
#[test]
fn compacted_gaps_are_absent() {
    let setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    let left = compact(&setup);
    let mut writer = Writer::new(31);
    setup.produce(&writer.write(500));
    let mut worker = setup.worker();
    let progress = setup.wait_until_counted();
    let mut counted = setup.counted();
    let rejected_noise = counted.outcomes[1] - writer.counted().outcomes[1];
    assert!(rejected_noise <= left, "the cleaner only takes: {rejected_noise} of {left}");
    assert_eq!(rejected_noise + progress.absent, 1_000, "{progress:?}");
    assert!(progress.absent > 500, "{progress:?}");
    counted.outcomes[1] -= rejected_noise;
    counted.assert_is(&writer.counted());
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Recreates the topic with one partition, fills it with 1,000 records that are no events, and has
/// it compacted; returns how many are left.
pub(super) fn compact(setup: &Setup<'_>) -> u64 {
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    setup.kafka.delete_topic(&setup.topic);
    eventually("the topic is gone", SOON, || (setup.partitions() == 0).then_some(()));
    setup.kafka.create_topic(&setup.topic, 1, &compacted);
    let noise: Vec<Record> = (0..1_000)
        .map(|number| Record {
            key: Some(format!("noise-{}", number % 7 * number % 50)),
            value: Some(b"noise".to_vec()),
        })
        .collect();
    for noise in noise.chunks(250) {
        setup.produce(noise);
        std::thread::sleep(Duration::from_millis(150));
    }
    let left = eventually("the log is compacted", SOON, || {
        let left = records_left(setup);
        (left < 500).then_some(left)
    });
    setup.kafka.configure_topic(&setup.topic, "cleanup.policy", "delete");
    left
}

/// How many records a consumer still gets from partition 0.
fn records_left(setup: &Setup<'_>) -> u64 {
    let mut config = setup.kafka.client_config();
    config
        .set("group.id", unique("reader"))
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition_offset(&setup.topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    let mut records = 0;
    while let Some(Ok(record)) = consumer.poll(SOON) {
        assert!(record.offset() >= 0);
        records += 1;
    }
    records
}

/// ClickHouse refuses a block with more than 100 partitions by default, so tables must not be split
/// by month or day.
#[test]
fn more_than_a_hundred_months_fit_into_one_flush() {
    let mut setup = Setup::new(1);
    setup.set("INGEST__FLUSH_INTERVAL_MS", 5_000);
    setup.set("INGEST__IDLE_FLUSH_INTERVAL_MS", 5_000);
    let mut writer = Writer::new(32);
    setup.produce(&writer.write(300));
    setup.produce(&writer.write_months(240));
    // So that each part comes from one INSERT.
    setup.database.query("SYSTEM STOP MERGES test_executions_state");
    let mut worker = setup.worker();
    setup.check(&writer);
    let parts = setup.database.query(
        "SELECT max(months) FROM (SELECT uniq(toYYYYMM(day)) AS months FROM test_executions_state \
        GROUP BY _part)",
    );
    assert!(parts.trim().parse::<u32>().unwrap() > 100, "{parts}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}
