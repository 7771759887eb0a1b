//! Setup of the long run: a private broker and engine, each behind a proxy, and members of two
//! groups that count the same topic: ours, and those of the plain consumer.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use super::{SOON, hurry, plain_consumer};
use crate::counting::{Record, STOP_TIMEOUT, Setup, Writer};
use crate::simulation::dice::Dice;
use crate::support::http_proxy::HttpProxy;
use crate::support::tcp_proxy::TcpProxy;
use crate::support::{Kafka, PrivateEngine, Program, eventually, patience};

/// Members of each group.
pub(super) const MEMBERS: usize = 3;

const SIGTERM: i32 = 15;

/// Offsets at the end of a partition that may hold no record, and so are never committed by a plain
/// consumer.
const MARKERS_MAX: i64 = 20;

/// Everything that faults are applied to.
pub(super) struct Arena<'k> {
    pub(super) setup: Setup<'k>,
    pub(super) brokers: TcpProxy,
    pub(super) clickhouse: HttpProxy,
    pub(super) engine: PrivateEngine,
    pub(super) ours: Vec<Program>,
    pub(super) plain: Vec<Program>,
    pub(super) writer: Writer,
    pub(super) dice: Dice,
}

impl<'k> Arena<'k> {
    pub(super) fn new(kafka: &'k Kafka, brokers: TcpProxy, seed: u64) -> Arena<'k> {
        let engine = PrivateEngine::start();
        let clickhouse = HttpProxy::to(&engine.process.url());
        let mut setup = Setup::between(kafka, engine.database(), 4);
        hurry(&mut setup);
        setup.set("CLICKHOUSE__URL", &clickhouse.url);
        setup.set("CLICKHOUSE__REQUEST_TIMEOUT_MS", 2_000);
        plain_consumer::migrate(&setup);
        // A slow clock, so that millions of records stay within a quota month.
        let writer = Writer::with_step(seed, 1_000);
        let (ours, plain) = (Vec::new(), Vec::new());
        let mut arena = Arena {
            setup,
            brokers,
            clickhouse,
            engine,
            ours,
            plain,
            writer,
            dice: Dice::new(seed, 1),
        };
        arena.start_members();
        arena
    }

    /// Starts members until each group is complete.
    pub(super) fn start_members(&mut self) {
        for member in &mut self.ours {
            assert!(member.is_running(), "a worker has ended by itself: {}", member.stderr());
        }
        self.plain.retain_mut(Program::is_running);
        while self.ours.len() < MEMBERS {
            self.ours.push(self.setup.worker());
        }
        while self.plain.len() < MEMBERS {
            self.plain.push(plain_consumer::spawn(&self.setup, &self.clickhouse.url));
        }
    }

    /// Stops the members of both groups by SIGTERM.
    pub(super) fn stop_members(&mut self) {
        for member in self.ours.iter().chain(&self.plain) {
            member.signal("TERM");
        }
        for mut member in self.ours.drain(..).chain(self.plain.drain(..)) {
            wait_for_end(&mut member);
        }
    }

    /// Appends records while something else happens.
    pub(super) fn while_producing<T>(&mut self, happens: impl FnOnce(&mut Arena<'k>) -> T) -> T {
        let chunks: Vec<Vec<Record>> = (0..self.dice.between(6, 20))
            .map(|_| self.writer.write(self.dice.below(120) + 1))
            .collect();
        let pause = Duration::from_millis(u64::try_from(self.dice.between(20, 400)).unwrap());
        let producer = Producer::new(&self.setup);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for chunk in &chunks {
                    producer.send(chunk);
                    std::thread::sleep(pause);
                }
                producer.finish();
            });
            happens(self)
        })
    }

    /// Waits until both groups have counted everything, compares our counts with the naive ones,
    /// and returns how many tests the plain consumers have counted beyond those that were sent.
    pub(super) fn settle(&mut self) -> i64 {
        self.start_members();
        self.setup.check(&self.writer);
        eventually("the plain consumers have committed everything", SOON * 2, || {
            self.plain_is_done().then_some(())
        });
        let sent = i64::try_from(self.writer.tests_sent()).unwrap();
        let mut seen = (plain_consumer::tests_counted(&self.setup), Instant::now());
        while seen.1.elapsed() < Duration::from_millis(1_500) {
            std::thread::sleep(Duration::from_millis(100));
            let now = plain_consumer::tests_counted(&self.setup);
            if now != seen.0 {
                seen = (now, Instant::now());
            }
        }
        i64::try_from(seen.0).unwrap() - sent
    }

    fn plain_is_done(&self) -> bool {
        let asker: BaseConsumer = self
            .setup
            .kafka
            .client_config()
            .set("group.id", plain_consumer::group(&self.setup))
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..self.setup.partitions() {
            partitions.add_partition(&self.setup.topic, partition);
        }
        let Ok(committed) = asker.committed_offsets(partitions, Duration::from_secs(5)) else {
            return false;
        };
        committed.elements().iter().all(|element| {
            let (low, end) = self.setup.kafka.watermarks(&self.setup.topic, element.partition());
            let reached = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            reached.max(low) + MARKERS_MAX >= end
        })
    }
}

/// Waits for a member that was asked to stop. On a busy machine its last flush may take too long,
/// which it reports. A member that has just been started and has printed nothing does not handle
/// signals yet.
pub(super) fn wait_for_end(member: &mut Program) {
    let ended = member.wait(STOP_TIMEOUT);
    let said = member.stderr();
    let is_in_order = ended.success()
        || said.contains("they are counted again by the next start, nothing is lost")
        || (said.is_empty() && ended.signal() == Some(SIGTERM));
    assert!(is_in_order, "{ended}: {said}");
}

/// An idempotent producer that tracks acknowledgements.
struct Producer {
    producer: BaseProducer<Delivered>,
    topic: String,
    sent: AtomicU64,
}

/// Counts the records that the broker has acknowledged.
#[derive(Clone, Default)]
struct Delivered(Arc<AtomicU64>);

impl ClientContext for Delivered {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Producer {
    fn new(setup: &Setup<'_>) -> Producer {
        let mut config = setup.kafka.client_config();
        config
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4");
        let producer = config.create_with_context(Delivered::default()).unwrap();
        Producer { producer, topic: setup.topic.clone(), sent: AtomicU64::new(0) }
    }

    fn send(&self, records: &[Record]) {
        for record in records {
            let mut message: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.topic);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            self.producer.send(message).map_err(|(error, _)| error).unwrap();
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
        self.producer.poll(Timeout::After(Duration::ZERO));
    }

    fn finish(&self) {
        self.producer.flush(patience(SOON * 2)).unwrap();
        assert_eq!(
            self.producer.context().0.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed)
        );
    }
}
