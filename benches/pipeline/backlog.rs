//! Topics full of realistic events.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use seatmeter::core::decode::account_key;
use seatmeter::generate::{Generator, Load};

use crate::support::{Kafka, unique};

pub(crate) const DAY_MS: i64 = 86_400_000;

/// How events are compressed where nothing else is said.
pub(crate) const CODEC: &str = "lz4";

/// Organizations of each account.
const ORGANIZATIONS: u32 = 20;

/// The events of a cluster's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Population {
    /// Users, most of them active on a working day.
    pub(crate) users: u32,
}

impl Population {
    /// The population of the targets: 100,000 active users in 2,000 organizations of 100 accounts.
    pub(crate) const CLUSTER: Self = Self { users: 100_000 };

    /// Accounts: one per 1,000 users, and a few at least.
    fn accounts(self) -> u32 {
        (self.users / 1_000).max(4)
    }

    /// Its events, in log order, of the days up to now; some 6 events per user and day.
    pub(crate) fn events(self) -> Generator {
        let now_ms = now_ms();
        let days = i64::from((12_000_000 / self.users).clamp(30, 4_000));
        let users = self.users / self.accounts();
        Generator::new(&Load {
            accounts: self.accounts(),
            organizations: ORGANIZATIONS,
            users,
            actions_per_day: 3,
            // Two of five events are tests.
            test_runs_per_day: users * 2 / ORGANIZATIONS,
            ..Load::ordinary(now_ms - days * DAY_MS, now_ms)
        })
    }
}

/// A topic that holds events.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) events: u64,
    /// Bytes of the values, uncompressed.
    pub(crate) bytes: u64,
}

/// The broker of this run.
pub(crate) fn kafka() -> &'static Kafka {
    static WARNED: LazyLock<()> = LazyLock::new(|| {
        if Kafka::shared().is_mock() {
            println!(
                "WARNING: librdkafka's mock cluster keeps 5 MiB a partition; install Java and \
                Maven."
            );
        }
    });
    LazyLock::force(&WARNED);
    Kafka::shared()
}

/// A fresh topic without events.
pub(crate) fn empty(partitions: u32) -> Backlog {
    let topic = kafka().topic("pipeline", i32::try_from(partitions).expect("few partitions"));
    Backlog { topic, partitions, events: 0, bytes: 0 }
}

/// A fresh topic with the first events of a population.
pub(crate) fn filled(population: Population, partitions: u32, events: u64) -> Backlog {
    filled_with(jsons(population.events()), partitions, events, CODEC, |_| None)
}

/// Three years of one account of 100,000 seats.
pub(crate) fn large_account() -> Generator {
    let now_ms = now_ms();
    Generator::new(&Load::large_account(now_ms - 3 * 365 * DAY_MS, now_ms))
}

/// The events as they are sent.
pub(crate) fn jsons(lines: Generator) -> impl Iterator<Item = Vec<u8>> {
    lines.map(|line| line.json)
}

/// A fresh topic with the first of these events, compressed by this codec; `place` may choose the
/// partition of an account, which is chosen by its hash else.
pub(crate) fn filled_with(
    lines: impl Iterator<Item = Vec<u8>>,
    partitions: u32,
    events: u64,
    codec: &str,
    place: impl Fn(&str) -> Option<i32>,
) -> Backlog {
    let mut backlog = empty(partitions);
    let mut producer = EventProducer::new(&backlog.topic, codec);
    for json in lines.take(usize::try_from(events).expect("a machine word")) {
        producer.send_to(&json, &place);
        backlog.events += 1;
        backlog.bytes += json.len() as u64;
    }
    assert_eq!(backlog.events, events, "the population has more events than that");
    producer.finish();
    backlog
}

/// Sends events.
pub(crate) struct EventProducer {
    producer: BaseProducer,
    topic: String,
}

impl EventProducer {
    /// `codec` is one of Kafka's: none, gzip, snappy, lz4, zstd.
    pub(crate) fn new(topic: &str, codec: &str) -> Self {
        let mut config = kafka().client_config();
        config
            .set("compression.codec", codec)
            .set("linger.ms", "20")
            .set("batch.size", "262144")
            .set("queue.buffering.max.kbytes", "131072")
            .set("partitioner", "murmur2_random");
        Self {
            producer: config.create().expect("the properties are librdkafka's"),
            topic: topic.to_owned(),
        }
    }

    /// Queues one event, keyed by its account.
    pub(crate) fn send(&mut self, json: &[u8]) {
        self.send_to(json, |_| None);
    }

    /// The same, with a partition that `place` may choose by the account.
    fn send_to(&mut self, json: &[u8], place: impl Fn(&str) -> Option<i32>) {
        let key = account_key(json).map(|id| id.to_string());
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(json);
        record.partition = key.as_deref().and_then(place);
        record.key = key.as_ref().map(|key| key.as_bytes());
        while let Err((error, refused)) = self.producer.send(record) {
            let is_full =
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(is_full, "cannot send: {error}");
            record = refused;
            self.producer.poll(Duration::from_millis(20));
        }
    }

    /// Sends queued events to the brokers, and handles their answers.
    pub(crate) fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until all of it is in the log.
    pub(crate) fn finish(self) {
        self.producer.flush(Duration::from_secs(120)).expect("the broker takes what it is sent");
    }
}

/// Milliseconds since 1970 UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    i64::try_from(since.as_millis()).expect("before the year 292,000,000")
}

/// A group that no other run uses.
pub(crate) fn fresh_group() -> String {
    unique("pipeline")
}
