//! Baseline consumers that only read, each as a separate process: the cost of transport alone.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::backlog::{Backlog, fresh_group, kafka};
use crate::process;
use crate::worker::Cost;

/// A kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// `BaseConsumer::poll`, one message a call, with librdkafka's defaults.
    Poll,
    /// Batches from librdkafka's queues, one thread a core, with the worker's properties.
    Batches,
}

const READERS: [(&str, Reader); 2] =
    [("read-by-poll", Reader::Poll), ("read-by-batches", Reader::Batches)];

/// Reads the whole backlog in a child process and returns the cost.
pub(crate) fn read(reader: Reader, backlog: &Backlog) -> Cost {
    let (mode, _) =
        READERS.into_iter().find(|(_, known)| *known == reader).expect("every reader is listed");
    let began = Instant::now();
    let output = Command::new(std::env::current_exe().expect("this program has a file"))
        .args([mode, kafka().bootstrap_servers(), &backlog.topic])
        .args([backlog.partitions.to_string(), backlog.events.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program starts again");
    assert!(output.status.success(), "{mode} failed");
    let said = String::from_utf8(output.stdout).expect("numbers");
    let numbers: Vec<f64> =
        said.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    Cost {
        cpu: Duration::from_secs_f64(numbers[0]),
        engine_cpu: Duration::ZERO,
        elapsed: began.elapsed(),
        peak_mib: numbers[1],
    }
}

/// The child's side. False if `mode` names no reader.
pub(crate) fn run_as_child(mode: &str, arguments: &[String]) -> bool {
    let Some((_, reader)) = READERS.into_iter().find(|(name, _)| *name == mode) else {
        return false;
    };
    let [brokers, topic, partitions, records] = arguments else {
        panic!("{mode} BROKERS TOPIC PARTITIONS RECORDS")
    };
    let partitions = partitions.parse().expect("a number of partitions");
    let records = records.parse().expect("a number of records");
    match reader {
        Reader::Poll => read_by_poll(brokers, topic, partitions, records),
        Reader::Batches => read_by_batches(brokers, topic, partitions, records),
    }
    println!(
        "{} {}",
        process::cpu(std::process::id()).as_secs_f64(),
        process::peak_mib(std::process::id())
    );
    true
}

fn read_by_poll(brokers: &str, topic: &str, partitions: u32, records: u64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", fresh_group())
        .set("enable.auto.commit", "false")
        .create()
        .expect("the properties are librdkafka's");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let number = i32::try_from(partition).expect("few partitions");
        assignment
            .add_partition_offset(topic, number, Offset::Beginning)
            .expect("a partition and its beginning");
    }
    consumer.assign(&assignment).expect("the partitions are there");
    let mut read = 0;
    while read < records {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            touch(message.expect("a record").payload().unwrap_or_default());
            read += 1;
        }
    }
}

fn read_by_batches(brokers: &str, topic: &str, partitions: u32, records: u64) {
    let mut config =
        seatmeter::config::load(None, std::iter::empty()).expect("the defaults are valid");
    config.kafka.brokers = brokers.to_owned();
    config.kafka.topic = topic.to_owned();
    config.kafka.group_id = fresh_group();
    seatmeter::ingest::read_batches(&config, partitions, records, touch)
        .expect("the topic can be read");
}

/// Reads every cache line of a payload.
fn touch(payload: &[u8]) {
    black_box(payload.iter().step_by(64).fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}
