//! Faults in the bytes of a log: damaged records, and batches that unpack to far more than they
//! seem.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use seatmeter::config;
use seatmeter::ingest::read_batches;
use serde_json::json;

use super::SOON;
use crate::api::support::event;
use crate::counting::{Record, STOP_TIMEOUT, Setup};
use crate::support::{Kafka, PrivateEngine, eventually, peak_mib};

/// A test run of this many tests.
fn tests(tests: u64) -> Record {
    let data =
        json!({"account_id": "acme", "organization_id": "o", "origin": "run", "tests": tests});
    let value = event("test.executed", "2026-03-01T00:00:00Z", &data);
    Record { key: Some("acme".to_owned()), value: Some(value.into_bytes()) }
}

/// One digit of a segment is changed: the record is still JSON, and its checksum does not match.
#[test]
fn a_damaged_batch_is_not_counted() {
    let mut setup = Setup::new(1);
    if setup.kafka.is_mock() {
        return;
    }
    // A repeated error is logged at that level only.
    setup.set("LOG__FILTER", "info,seatmeter=debug");
    for number in [1, 20, 300] {
        setup.produce(&[tests(number)]);
    }
    let path = setup.kafka.segment(&setup.topic, 0);
    let intact = fs::read(&path).unwrap();
    let at = intact.windows(10).position(|bytes| bytes == b"\"tests\":20").unwrap() + 8;
    let write = |byte: u8| {
        use std::os::unix::fs::FileExt as _;
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[byte], u64::try_from(at).unwrap())
            .unwrap();
    };
    write(b'9');
    let mut worker = setup.worker();
    worker.wait_for_line("failed CRC32C check", SOON);
    eventually("it has tried again", SOON, || {
        (worker.stderr().matches("failed CRC32C check").count() > 2).then_some(())
    });
    let progress = setup.progress();
    assert_eq!((progress.next_offsets, progress.absent), (1, 0), "{progress:?}");
    assert!(worker.is_running(), "other partitions could go on");
    // The original bytes, as another replica may have them.
    write(b'2');
    setup.wait_until_counted();
    let counted = setup.database.query("SELECT sum(run) FROM test_executions_daily");
    assert_eq!(counted.trim(), "321");
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Records of each kind below.
const RECORDS: usize = 3_000;
/// Unpacked size of one of these records.
const RECORD_BYTES: usize = 900 * 1024;

/// A log of a megabyte that unpacks to 5 GB, of records that are no events: the memory that they
/// take is bounded in bytes.
#[test]
fn records_that_unpack_to_gigabytes_take_little_memory() {
    let engine = PrivateEngine::start();
    let mut setup = Setup::between(Kafka::shared(), engine.database(), 1);
    if setup.kafka.is_mock() {
        return;
    }
    setup.set("INGEST__WORKER_THREADS", 2);
    let producer = setup.producer(&[
        ("compression.type", "zstd"),
        ("queue.buffering.max.kbytes", "65536"),
        ("linger.ms", "0"),
    ]);
    let key = "k".repeat(RECORD_BYTES);
    (0..RECORDS).for_each(|_| send(&producer, &setup.topic, key.as_bytes(), b"{}"));
    let data = json!({"account_id": "acme", "user_id": "u", "name": "n".repeat(RECORD_BYTES)});
    let named = event("user.updated", "2026-03-01T00:00:00Z", &data);
    (0..RECORDS).for_each(|_| send(&producer, &setup.topic, b"acme", named.as_bytes()));
    producer.flush(SOON).unwrap();
    let size_bytes = fs::metadata(setup.kafka.segment(&setup.topic, 0)).unwrap().len();
    assert!(size_bytes < 4 << 20, "{size_bytes} bytes of log");
    let _ = writeln!(std::io::stderr(), "{size_bytes} bytes of log");

    let began = Instant::now();
    let mut worker = setup.worker();
    let mut engine_peak = 0;
    eventually("all are rejected", SOON * 5, || {
        std::thread::sleep(Duration::from_millis(200));
        engine_peak = engine_peak.max(peak_mib(engine.process.pid().unwrap()));
        (setup.progress().outcomes == [0, 2 * RECORDS as u64, 0, 0]).then_some(())
    });
    let peaks = (peak_mib(worker.pid()), engine_peak);
    let summary = setup.database.query(
        "SELECT count(), max(length(key)), max(length(payload)), max(payload_bytes), \
        groupUniqArray((reason, path)) \
         FROM rejected_events",
    );
    assert!(summary.starts_with(&format!("{}\t65536\t65536\t", 2 * RECORDS)), "{summary}");
    // Not println!, which is captured by the harness.
    let _ = writeln!(
        std::io::stderr(),
        "peaks of worker and engine: {peaks:?} MiB, in {:?}",
        began.elapsed()
    );
    assert!(peaks.0 < 700, "the worker took {} MiB", peaks.0);
    assert!(peaks.1 < 2_000, "the engine took {} MiB", peaks.1);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Appends a record, waiting for room in the queue.
fn send(producer: &BaseProducer, topic: &str, key: &[u8], value: &[u8]) {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    while let Err((error, again)) = producer.send(record) {
        assert!(
            matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
            "{error}"
        );
        producer.poll(Duration::from_millis(10));
        record = again;
    }
}

/// The share of checksums and smaller fetches in the baseline cost of reading: batches taken,
/// payloads touched.
///
/// ```text
/// cargo test --test it faults::bytes::reading -- --ignored --nocapture
/// ```
#[test]
#[ignore = "a measurement"]
fn reading_with_checksums_and_small_fetches() {
    const EVENTS: u64 = 1_000_000;
    let setup = Setup::new(4);
    let producer = setup.producer(&[("compression.type", "lz4"), ("linger.ms", "50")]);
    for number in 0..EVENTS {
        let account = format!("account-{}", number % 997);
        let user = number * 7_919 % 100_003;
        let data = json!({"account_id": account, "organization_id": number % 31, "user_id": user});
        send(
            &producer,
            &setup.topic,
            account.as_bytes(),
            event("user.login", "2026-03-01T09:12:33.123Z", &data).as_bytes(),
        );
    }
    producer.flush(SOON).unwrap();
    let mut config = config::load(None, std::iter::empty()).unwrap();
    config.kafka.brokers = setup.kafka.bootstrap_servers().to_owned();
    config.kafka.topic.clone_from(&setup.topic);
    config.ingest.worker_threads = 2;
    for _ in 0..3 {
        for (checked, fetch_bytes) in
            [(false, 262_144), (true, 262_144), (true, 65_536), (true, 32_768)]
        {
            let properties = [
                ("check.crcs", checked.to_string()),
                ("fetch.message.max.bytes", fetch_bytes.to_string()),
            ];
            config.kafka.properties =
                properties.map(|(name, value)| (name.to_owned(), value.into())).into();
            let (began, before) = (Instant::now(), cpu_ticks());
            let touched = std::sync::atomic::AtomicU64::new(0);
            read_batches(&config, 4, EVENTS, |payload| {
                let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
                touched.fetch_add(sum, std::sync::atomic::Ordering::Relaxed);
            })
            .unwrap();
            let seconds = began.elapsed().as_secs_f64();
            let line = format!(
                "checksums {checked}, {fetch_bytes} bytes a fetch: {} ticks, {seconds:.2} s",
                cpu_ticks() - before
            );
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// Processor time of this process, in the clock ticks of the system (100 a second).
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
