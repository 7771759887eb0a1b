//! The native calls against librdkafka's own mock cluster.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::*;
use crate::config;
use crate::ingest::client::{Context, assign, probe_properties, unassign};
use crate::ingest::seek::{partition_list, pause, seek};

const TOPIC: &str = "events";
const LONG: Duration = Duration::from_secs(10);

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    fn start() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(TOPIC, 2, 1).unwrap();
        Self { mock }
    }

    /// Appends records, (key, value) each, to a partition.
    fn produce(&self, partition: i32, records: &[(Option<&str>, Option<&str>)]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.mock.bootstrap_servers())
            .create()
            .unwrap();
        for (number, (key, value)) in (1_700_000_000_000..).zip(records) {
            let mut record: BaseRecord<'_, str, str> =
                BaseRecord::to(TOPIC).partition(partition).timestamp(number);
            record.key = *key;
            record.payload = *value;
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(LONG).unwrap();
    }

    /// A client outside any group that is notified of a partition's end.
    fn client(&self) -> Arc<Client> {
        let kafka = config::Kafka {
            brokers: self.mock.bootstrap_servers(),
            topic: TOPIC.into(),
            group_id: "test".into(),
            session_timeout: LONG,
            assignor: "cooperative-sticky".into(),
            properties: BTreeMap::new(),
            token_source: None,
        };
        let client =
            Client::from_config_and_context(&probe_properties(&kafka), Context::of(&kafka))
                .unwrap();
        client.context().close();
        Arc::new(client)
    }
}

/// Assigns a partition as the consumer thread does: forwarded, paused, at offset 0.
fn attach(client: &Client, queue: &Queue, partition: u32) {
    let list = partition_list(TOPIC, [(partition, 0)]).unwrap();
    forward_partition(client, TOPIC, partition, &queue.target()).unwrap();
    pause(client, &list).unwrap();
    forward_partition(client, TOPIC, partition, &queue.target()).unwrap();
    assign(client, &list).unwrap();
}

/// Offsets of the records, and codes and offsets of the events, up to the first event.
fn read(queue: &mut Queue) -> (Vec<u64>, Option<(RDKafkaErrorCode, Option<u64>)>) {
    let mut offsets = Vec::new();
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        for message in queue.take(100, Duration::from_millis(50)).messages() {
            match message {
                Message::Record { record, .. } => offsets.push(record.offset),
                Message::Event(event) => return (offsets, Some((event.code, event.offset))),
            }
        }
    }
    (offsets, None)
}

fn seek_when_ready(client: &Client, partition: u32, offset: u64) {
    let deadline = Instant::now() + LONG;
    while let Err(error) = seek(client, TOPIC, partition, offset) {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_batch_holds_what_was_produced() {
    let cluster = Cluster::start();
    cluster.produce(1, &[(Some("acme"), Some("{}")), (None, None), (Some(""), Some(""))]);
    let client = cluster.client();
    let mut queue = Queue::new(Arc::clone(&client));
    attach(&client, &queue, 1);
    seek_when_ready(&client, 1, 0);
    let mut seen = Vec::new();
    let deadline = Instant::now() + LONG;
    while seen.len() < 4 && Instant::now() < deadline {
        let batch = queue.take(100, Duration::from_millis(50));
        for message in batch.messages() {
            match message {
                Message::Record { partition, leader_epoch, record } => {
                    assert_eq!((partition, leader_epoch), (1, 0));
                    seen.push(format!("{record:?}"));
                }
                Message::Event(event) => {
                    seen.push(format!("{:?} at {:?}", event.code, event.offset))
                }
            }
        }
    }
    let record = |offset: u64, key: Option<&str>, payload: Option<&str>| {
        let timestamp_ms = Some(1_700_000_000_000 + i64::try_from(offset).unwrap());
        let (key, payload) = (key.map(str::as_bytes), payload.map(str::as_bytes));
        format!("{:?}", Record { offset, timestamp_ms, key, payload })
    };
    assert_eq!(
        seen,
        [
            record(0, Some("acme"), Some("{}")),
            record(1, None, None),
            record(2, Some(""), Some("")),
            "PartitionEOF at Some(3)".to_owned()
        ]
    );
}

#[test]
fn a_seek_shows_records_again_and_drops_what_was_fetched_before() {
    let cluster = Cluster::start();
    cluster.produce(0, &[(None, Some("x")); 50]);
    let client = cluster.client();
    let mut queue = Queue::new(Arc::clone(&client));
    attach(&client, &queue, 0);
    seek_when_ready(&client, 0, 20);
    assert_eq!(
        read(&mut queue),
        ((20..50).collect(), Some((RDKafkaErrorCode::PartitionEOF, Some(50))))
    );
    seek(&client, TOPIC, 0, 10).unwrap();
    // Lets the records arrive in the queue, where the next seek outdates them.
    std::thread::sleep(Duration::from_millis(300));
    seek(&client, TOPIC, 0, 45).unwrap();
    assert_eq!(read(&mut queue).0, [45, 46, 47, 48, 49]);
}

#[test]
fn a_seek_of_a_partition_that_is_not_assigned_fails() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let queue = Queue::new(Arc::clone(&client));
    forward_partition(&client, TOPIC, 0, &queue.target()).unwrap();
    let error = seek(&client, TOPIC, 0, 10).unwrap_err().to_string();
    assert!(error.contains("partition 0"), "{error}");
}

/// `auto.offset.reset=error` makes librdkafka give up the partition, and a seek does not bring it
/// back; so the consumer thread assigns it again.
#[test]
fn a_partition_that_is_out_of_range_has_to_be_assigned_anew() {
    let cluster = Cluster::start();
    cluster.produce(0, &[(None, Some("x")); 5]);
    let client = cluster.client();
    let mut queue = Queue::new(Arc::clone(&client));
    attach(&client, &queue, 0);
    seek_when_ready(&client, 0, 1_000);
    let (offsets, event) = read(&mut queue);
    assert_eq!(
        (offsets, event.map(|(code, _)| code)),
        (Vec::new(), Some(RDKafkaErrorCode::AutoOffsetReset))
    );
    assert!(seek(&client, TOPIC, 0, 2).is_err());

    unassign(&client, &partition_list(TOPIC, [(0, 0)]).unwrap()).unwrap();
    attach(&client, &queue, 0);
    seek_when_ready(&client, 0, 2);
    assert_eq!(read(&mut queue).0, [2, 3, 4]);
}

#[test]
fn a_topic_is_described() {
    let cluster = Cluster::start();
    cluster.mock.create_topic("other", 3, 1).unwrap();
    let client = cluster.client();
    let description = describe_topic(&client, 1, TOPIC, LONG).unwrap();
    assert_eq!((description.partitions, description.id.len()), (2, 22), "{description:?}");
    assert_eq!(describe_topic(&client, 1, TOPIC, LONG).unwrap(), description);
    let other = describe_topic(&client, 1, "other", LONG).unwrap();
    assert_eq!(other.partitions, 3);
    assert_ne!(other.id, description.id);
    let missing = describe_topic(&client, 1, "missing", LONG).unwrap_err();
    assert!(matches!(missing, DescribeError::Missing(_)), "{missing:?}");
}

#[test]
fn brokers_that_do_not_answer_are_an_error_and_not_an_empty_id() {
    let cluster = Cluster::start();
    let client = cluster.client();
    cluster.mock.broker_down(1).unwrap();
    let error = describe_topic(&client, 1, TOPIC, Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, DescribeError::Failed { .. }), "{error:?}");
}

#[test]
fn the_high_watermark_is_known_once_something_was_fetched() {
    let cluster = Cluster::start();
    cluster.produce(0, &[(None, Some("x")); 7]);
    let client = cluster.client();
    let mut queue = Queue::new(Arc::clone(&client));
    let topic = CString::new(TOPIC).unwrap();
    assert_eq!(cached_high_watermark(&client, &topic, 0), None);
    attach(&client, &queue, 0);
    seek_when_ready(&client, 0, 3);
    assert_eq!(read(&mut queue).0, [3, 4, 5, 6]);
    assert_eq!(cached_high_watermark(&client, &topic, 0), Some(7));
}
