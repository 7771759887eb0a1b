//! Data in the log that cannot be read.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use super::{SOON, eventually, partition, run, wait_for_reason, wait_until_ready, warnings};
use crate::counting::{Record, STOP_TIMEOUT, Setup, Writer, metric, produce};
use crate::support::{Kafka, engine, peak_mib};

/// Records that together are larger than librdkafka's own limit of what a batch may unpack to,
/// 100,000,000 bytes. They are no events.
const RECORDS: usize = 250;

/// The most that a log of them may take, bytes: some 11 kB of zstd, which unpack to 250 MB.
const LOG_BYTES_MAX: u64 = 16 << 10;

/// The most memory that a worker may take for them, MiB: what the batch unpacks to once, and what
/// any worker takes.
const PEAK_MIB_MAX: u64 = 400;

/// A few kB of zstd, in one batch.
fn huge_batch(setup: &Setup<'_>) {
    let properties = [
        ("compression.type", "zstd"),
        ("message.max.bytes", "1000000000"),
        ("batch.size", "2147483647"),
        ("linger.ms", "10000"),
        ("queue.buffering.max.kbytes", "2000000"),
    ];
    let record = Record { key: Some("noise".to_owned()), value: Some(vec![b'x'; 1_000_000]) };
    let records: Vec<Record> = (0..RECORDS).map(|_| record.clone()).collect();
    produce(&setup.producer(&properties), &setup.topic, &records);
}

/// A batch that unpacks to more than the limit halts its partition, and is reported; with the
/// default limit it is counted.
#[test]
fn a_batch_that_unpacks_to_more_than_the_limit_is_told_and_counted_once_it_may_be() {
    let mut setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    let mut writer = Writer::new(61);
    setup.produce(&writer.write(300));
    huge_batch(&setup);
    assert_eq!(setup.log_end(0), 300 + RECORDS as u64);
    setup.produce(&writer.write(300));
    setup.set("KAFKA__PROPERTIES__RECEIVE_MESSAGE_MAX_BYTES", 60_000_000);
    let mut worker = run(&setup);
    let told = wait_for_reason(
        &mut worker,
        "headway",
        &["partition 0", "at offset 300", "goes on to 850"],
    );
    assert!(told.contains("Decompression") && told.contains("receive.message.max.bytes"), "{told}");
    let stands = partition(&mut worker, 0);
    assert_eq!((&stands["next_offset"], &stands["lag"]), (&300.into(), &550.into()), "{stands}");
    assert_eq!(
        metric(&mut worker, "seatmeter_halted_partitions{cause=\"decompression\"}"),
        Some(1.0)
    );
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(partition(&mut worker, 0)["data_through"], stands["data_through"]);
    assert_eq!(warnings(&worker, "makes no headway").len(), 1, "{}", worker.stderr());
    assert!(worker.terminate(STOP_TIMEOUT).success());

    setup.set("KAFKA__PROPERTIES__RECEIVE_MESSAGE_MAX_BYTES", 1_100_000_000);
    let mut worker = run(&setup);
    let progress = setup.wait_until_counted();
    wait_until_ready(&mut worker);
    let mut counted = setup.counted();
    assert_eq!(progress.outcomes[1], writer.counted().outcomes[1] + RECORDS as u64);
    counted.outcomes[1] -= RECORDS as u64;
    counted.assert_is(&writer.counted());
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// What brokers with default limits can hold is read with ours, and takes no more memory than what
/// it unpacks to.
#[test]
fn a_huge_batch_is_counted_by_default_in_little_memory() {
    let setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    huge_batch(&setup);
    let size_bytes = setup.kafka.segment(&setup.topic, 0).metadata().unwrap().len();
    assert!(size_bytes < LOG_BYTES_MAX, "{size_bytes} bytes of log");
    let mut worker = run(&setup);
    assert_eq!(setup.wait_until_counted().outcomes, [0, RECORDS as u64, 0, 0]);
    let peak_mib = peak_mib(worker.pid());
    // Not println!, which is captured by the harness.
    let _ = writeln!(
        std::io::stderr(),
        "{size_bytes} bytes of log; peak of the worker: {peak_mib} MiB"
    );
    assert!(peak_mib < PEAK_MIB_MAX, "the worker took {peak_mib} MiB");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// A damaged batch is not counted, halts its partition, and is reported; other partitions go on.
/// Once its records are deleted they are absent, and later ones are counted.
#[test]
fn a_damaged_batch_is_told_and_what_follows_it_is_counted_once_it_is_given_up() {
    let kafka = Kafka::start();
    if kafka.is_mock() {
        return;
    }
    let mut setup = Setup::between(&kafka, engine(), 1);
    setup.set("KAFKA__PROPERTIES__CHECK_CRCS", true);
    let mut writer = Writer::new(62);
    setup.produce(&writer.write(300));
    let intact = kafka.segment_file(&setup.topic, 0).metadata().unwrap().len();
    // One batch.
    produce(&setup.producer(&[("linger.ms", "2000")]), &setup.topic, &Writer::new(63).write(100));
    damage(&kafka, &setup.topic, intact);
    writer.forget_sent_tests();
    setup.produce(&writer.write(300));
    let mut worker = run(&setup);
    let told = wait_for_reason(
        &mut worker,
        "headway",
        &["partition 0", "at offset 300", "goes on to 700"],
    );
    assert!(told.contains("CRC") && told.contains("kafka-delete-records.sh"), "{told}");
    assert_eq!(metric(&mut worker, "seatmeter_halted_partitions{cause=\"corruption\"}"), Some(1.0));
    let stands = partition(&mut worker, 0);
    assert_eq!((&stands["next_offset"], &stands["lag"]), (&300.into(), &400.into()), "{stands}");
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(partition(&mut worker, 0)["data_through"], stands["data_through"]);
    assert_eq!(warnings(&worker, "makes no headway").len(), 1, "{}", worker.stderr());

    kafka.delete_records(&setup.topic, 0, 400);
    let progress = eventually("what follows is counted", SOON, || {
        let progress = setup.progress();
        (progress.next_offsets == 700 && progress.lag == Some(0)).then_some(progress)
    });
    assert_eq!(progress.absent, 100);
    setup.counted().assert_is(&writer.counted());
    wait_until_ready(&mut worker);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Changes one byte in the middle of the batch that begins at this position of the log's only
/// segment.
fn damage(kafka: &Kafka, topic: &str, position: u64) {
    let mut segment = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(kafka.segment_file(topic, 0))
        .unwrap();
    let length = segment.metadata().unwrap().len();
    assert!(length > position + 200, "nothing was written behind {position}");
    let middle = SeekFrom::Start(u64::midpoint(position, length));
    let mut byte = [0];
    segment.seek(middle).unwrap();
    segment.read_exact(&mut byte).unwrap();
    segment.seek(middle).unwrap();
    segment.write_all(&[byte[0] ^ 1]).unwrap();
}
