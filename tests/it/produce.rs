//! Sending events to the topic: keys, partitions, timestamps and bytes, and refusals by the
//! brokers.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::Message as _;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::OwnedMessage;

use crate::support::program::command;
use crate::support::{Kafka, eventually};

const LONG: Duration = Duration::from_secs(60);

/// Runs a command against a topic, with this standard input.
fn run(arguments: &[&str], topic: &str, input: &[u8]) -> Output {
    let mut child = command(arguments)
        .env("SEATMETER__KAFKA__BROKERS", Kafka::shared().bootstrap_servers())
        .env("SEATMETER__KAFKA__TOPIC", topic)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The command's standard error.
fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The topic's records, by partition; waits for the expected number.
fn records(topic: &str, partitions: i32, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = Kafka::shared()
        .client_config()
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, rdkafka::Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    eventually("all records are read", LONG, || {
        while let Some(record) = consumer.poll(Duration::from_millis(100)) {
            records.push(record.unwrap().detach());
        }
        (records.len() >= count).then_some(())
    });
    assert_eq!(records.len(), count);
    records.sort_by_key(|record| (record.partition(), record.offset()));
    records
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn lines_are_sent_unchanged_with_the_account_as_key_and_the_time_of_sending() {
    let topic = Kafka::shared().topic("produce", 1);
    let lines = [
        (
            r#"{"time":"2001-01-01T00:00:00Z","data":{"account_id":"acme","name":"\u00e9"}}"#,
            Some("acme"),
        ),
        (r#" {"data": {"account_id" : 42}} "#, Some("42")),
        (r#"{"data":{"account_id":"42"}}"#, Some("42")),
        (r#"{"data":{"account_id":"042"}}"#, Some("042")),
        (r#"{"data":{"account_id":"caf\u00e9"}}"#, Some("café")),
        (r#"{"data":{"account_id":"first","account_id":"last"}}"#, Some("last")),
        (r#"{"data":{"account_id":9223372036854775807}}"#, Some("9223372036854775807")),
        (r#"{"data":{"account_id":9223372036854775808}}"#, None),
        (r#"{"data":{"account_id":1.0}}"#, None),
        (r#"{"data":{"account_id":null}}"#, None),
        (r#"{"data":{"account_id":""}}"#, None),
        (r#"{"account_id":"acme"}"#, None),
        (r#"{"data":{"account_id":"acme""#, None),
        ("not JSON", None),
        ("\u{1F600}", None),
    ];
    let mut input = String::from("\n  \n\t\r\n");
    for (line, _) in lines {
        input.push_str(line);
        input.push_str("\n\r\n");
    }
    let last = r#"{"data":{"account_id":"no line end"}}"#;
    input.push_str(last);

    let before_ms = now_ms();
    let output = run(&["produce", "-"], &topic, input.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).starts_with("16 records sent in "), "{}", said(&output));
    assert!(
        said(&output).contains("\n16 records will be rejected (see rejected_events):\n"),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("invalid_json, first in line 28, "), "{}", said(&output));
    assert!(output.stdout.is_empty());

    let records = records(&topic, 1, lines.len() + 1);
    let expected = lines.into_iter().chain([(last, Some("no line end"))]);
    for (record, (line, key)) in records.iter().zip(expected) {
        assert_eq!(record.payload(), Some(line.as_bytes()));
        assert_eq!(record.key(), key.map(str::as_bytes), "{line}");
        let timestamp_ms = record.timestamp().to_millis().unwrap();
        assert!((before_ms..=now_ms()).contains(&timestamp_ms), "{timestamp_ms}");
    }
}

/// Java's `Utils.murmur2`, from the test of the same name in Apache Kafka.
const MURMUR2: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
];

#[test]
fn accounts_go_to_the_partitions_that_java_clients_choose() {
    let partitions = 7;
    let topic = Kafka::shared().topic("partitions", partitions);
    let lines: String = MURMUR2
        .iter()
        .map(|(key, _)| format!("{{\"data\":{{\"account_id\":\"{key}\"}}}}\n"))
        .collect();
    let output = run(&["produce", "-"], &topic, lines.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    for record in records(&topic, partitions, MURMUR2.len()) {
        let key = std::str::from_utf8(record.key().unwrap()).unwrap();
        let hash = MURMUR2.iter().find(|(known, _)| *known == key).unwrap().1;
        assert_eq!(record.partition(), (hash & i32::MAX) % partitions, "{key}");
    }
}

#[test]
fn records_that_the_brokers_refuse_are_counted_and_the_first_is_named() {
    if Kafka::shared().is_mock() {
        // The mock cluster refuses nothing.
        return;
    }
    let topic = Kafka::shared().topic("refused", 1);
    // Hex digits of hashes: compression halves them at best, and the broker's limit is that of the
    // compressed batch.
    let hashes = (0..131_072_u64)
        .map(|number| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes())));
    let large = hashes.collect::<String>().repeat(2);
    let output = run(&["produce", "-"], &topic, format!("a\n\n{large}\nb\n{large}\n").as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let last = said(&output).lines().last().unwrap();
    assert!(
        last.starts_with("seatmeter: not delivered: 2 records; the first is line 3: "),
        "{last}"
    );
    assert!(last.contains("Message size too large"), "{last}");
    let payloads: Vec<_> =
        records(&topic, 1, 2).iter().map(|record| record.payload().unwrap().to_vec()).collect();
    assert_eq!(payloads, [b"a", b"b"]);
}

#[test]
fn a_line_that_no_broker_takes_is_named_and_the_rest_is_sent() {
    let topic = Kafka::shared().topic("long", 1);
    let long = "x".repeat(17 << 20);
    let output = run(&["produce", "-"], &topic, format!("a\n{long}\n\nb\n").as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let expected = "\nseatmeter: not delivered: 1 record; the first is line 2: ";
    assert!(said(&output).contains(expected), "{}", said(&output));
    let payloads: Vec<_> =
        records(&topic, 1, 2).iter().map(|record| record.payload().unwrap().to_vec()).collect();
    assert_eq!(payloads, [b"a", b"b"]);
}

#[test]
fn packed_files_and_arrays_are_sent_record_by_record() {
    let topic = Kafka::shared().topic("packed", 1);
    let array = b"\xef\xbb\xbf[{\"data\": {\"account_id\": \"a\"}},\n {\"b\": [1, 2]}]\n";
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(array).unwrap();
    let output = run(&["produce", "-"], &topic, &packer.finish().unwrap());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("first in element 1, "), "{}", said(&output));
    let records = records(&topic, 1, 2);
    assert_eq!(records[0].key(), Some(&b"a"[..]));
    assert_eq!(records[1].payload(), Some(&b"{\"b\": [1, 2]}"[..]));
}

#[test]
fn a_topic_that_does_not_exist_is_named_and_not_created() {
    let topic = crate::support::unique("absent");
    let output = run(&["produce", "-"], &topic, b"{}\n");
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("seatmeter: topic {topic:?} does not exist on Kafka at ");
    assert!(said(&output).starts_with(&expected), "{}", said(&output));
    assert!(said(&output).contains("create it, or set kafka.topic"), "{}", said(&output));
}

#[test]
fn generated_events_go_straight_to_the_topic() {
    let topic = Kafka::shared().topic("generated", 2);
    let output =
        run(&["generate", "--to-kafka", "--count", "500", "--malformed", "0"], &topic, b"");
    assert!(output.status.success(), "{}", said(&output));
    let records = records(&topic, 2, 500);
    assert!(records.iter().all(|record| record.key().is_some()));
}

#[test]
fn check_config_says_whether_the_topic_of_alerts_is_there() {
    if Kafka::shared().is_mock() {
        // The mock cluster makes every topic that it is asked about.
        return;
    }
    let topic = Kafka::shared().topic("checked", 1);
    let check = |alerts: &str, enabled: &str| {
        let output = command(&["check-config"])
            .env("SEATMETER__KAFKA__BROKERS", Kafka::shared().bootstrap_servers())
            .env("SEATMETER__KAFKA__TOPIC", &topic)
            .env("SEATMETER__ALERTS__ENABLED", enabled)
            .env("SEATMETER__ALERTS__TOPIC", alerts)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output).lines().find(|line| line.contains("alerts.topic")).map(str::to_owned)
    };
    let alerts = Kafka::shared().topic("alerts", 1);
    let there = format!("ok: topic {alerts:?} of alerts.topic is there");
    assert_eq!(check(&alerts, "true"), Some(there));
    let missing = crate::support::unique("nowhere");
    for _ in 0..2 {
        let told = check(&missing, "true").unwrap();
        let expected = format!("warning: alerts.topic = {missing:?} does not exist: create it");
        assert!(told.starts_with(&expected), "asking does not make it: {told}");
    }
    assert_eq!(check(&missing, "false"), None);
}

#[test]
fn check_config_judges_how_long_the_topic_keeps_its_records() {
    if Kafka::shared().is_mock() {
        // The mock cluster has no settings.
        return;
    }
    let check = |properties: &[(&str, &str)]| {
        let topic = crate::support::unique("settings");
        Kafka::shared().create_topic(&topic, 1, properties);
        let output = run(&["check-config"], &topic, b"");
        let is_judgement =
            |line: &&str| !line.contains("can be read") && !line.contains("can be joined");
        let said = said(&output).lines().find(is_judgement).unwrap().replace(&topic, "TOPIC");
        (output.status.success(), said)
    };
    let good = "ok: topic \"TOPIC\" keeps its records for longer than 24 hours";
    assert_eq!(check(&[]), (true, good.to_owned()));
    let (is_success, said) = check(&[("retention.ms", "3600000")]);
    assert!(
        !is_success && said.starts_with("error: topic \"TOPIC\" has retention.ms = 3600000: "),
        "{said}"
    );
    let (is_success, said) = check(&[("retention.bytes", "1000000")]);
    assert!(
        is_success && said.starts_with("warning: topic \"TOPIC\" has retention.bytes = 1000000: "),
        "{said}"
    );
}
