//! The mock broker, and Apache Kafka as the tests run it.

use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use seatmeter::embedded::kafka::MockBroker;

use super::LONG;
use crate::support::{Kafka, eventually};

/// Sends records and reads them back.
fn check_broker(bootstrap_servers: &str, topic: &str) {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest");
    let producer: BaseProducer = config.create().unwrap();
    for n in 0..10 {
        producer.send(BaseRecord::to(topic).key("k").payload(&format!("{n}"))).unwrap();
    }
    producer.flush(LONG).unwrap();
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let read = (0..10).map(|_| {
        let message =
            eventually("the next record", LONG, || consumer.poll(Duration::from_millis(100)));
        String::from_utf8(message.unwrap().payload().unwrap().to_vec()).unwrap()
    });
    assert_eq!(read.collect::<Vec<_>>(), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_mock_broker_takes_and_gives_records() {
    let broker = MockBroker::start("usage-events", 4).unwrap();
    check_broker(&broker.bootstrap_servers(), "usage-events");
}

#[test]
fn kafka_takes_and_gives_records() {
    let kafka = Kafka::shared();
    check_broker(kafka.bootstrap_servers(), &kafka.topic("usage-events", 1));
}

#[test]
fn kafka_keeps_its_records_over_a_crash() {
    let kafka = Kafka::start();
    if kafka.is_mock() {
        return;
    }
    let topic = kafka.topic("usage-events", 2);
    check_broker(kafka.bootstrap_servers(), &topic);
    kafka.kill();
    kafka.restart();
    let held: i64 = (0..2).map(|partition| kafka.watermarks(&topic, partition).1).sum();
    assert_eq!(held, 10);
    kafka.add_partitions(&topic, 3);
    kafka.delete_topic(&topic);
}
