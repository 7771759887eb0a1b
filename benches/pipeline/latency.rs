//! Latency from an event to the reports: at half load, and after a start.

use std::time::{Duration, Instant};

use crate::backlog::{self, CODEC, EventProducer, Population};
use crate::process;
use crate::worker::{self, Engine, Worker, count};

/// Events that are drained to find the load that the worker can take.
const SOUNDING_EVENTS: u64 = 2_000_000;

/// How long the half load lasts; the quantiles are over the last minute or two.
const LOAD_SECONDS: u32 = 60;

/// Bursts per second.
const STEPS_PER_SECOND: u32 = 100;

const PARTITIONS: u32 = 4;

/// Half of what a drain takes, for a minute.
pub(crate) fn run() {
    let engine = Engine::start();
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, SOUNDING_EVENTS);
    let full = worker::drain(&engine, &backlog);
    let per_second = count(backlog.events) / full.elapsed.as_secs_f64();
    let step = (per_second / 2.0 / f64::from(STEPS_PER_SECOND)).round();

    let topic = backlog::empty(PARTITIONS).topic;
    let database = engine.database();
    let mut worker = Worker::start(&engine, &database, &topic);
    // Generated beforehand: generating events costs as much as counting them.
    let steps = LOAD_SECONDS * STEPS_PER_SECOND;
    let mut events = Population::CLUSTER.events();
    let mut producer = EventProducer::new(&topic, CODEC);
    let mut sent: u64 = 0;
    let began = Instant::now();
    for number in 1..=steps {
        let mut of_step = 0.0;
        while of_step < step {
            producer.send(&events.next().expect("the population has more events than that").json);
            of_step += 1.0;
            sent += 1;
        }
        producer.poll();
        let due = began + Duration::from_secs(1) * number / STEPS_PER_SECOND;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = began.elapsed();
    producer.finish();
    worker.wait_for(sent);
    let mut quantile = |label: &str| {
        worker.metric(&format!("seatmeter_end_to_end_latency_seconds{{quantile=\"{label}\"}}"))
    };
    let (median, p99, worst) = (quantile("0.5"), quantile("0.99"), quantile("0.999"));
    println!(
        "latency: drains {per_second:.0} events/s; at {:.0} events/s for {:.0} s with the default \
        flush interval of 1 s: \
         median {median:.2} s, p99 {p99:.2} s, p99.9 {worst:.2} s; {:.0} MiB",
        count(sent) / took.as_secs_f64(),
        took.as_secs_f64(),
        process::peak_mib(worker.pid())
    );
    worker.stop();
}

/// From the start of the process to the first flush that counts new events.
pub(crate) fn start() {
    let engine = Engine::start();
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, SOUNDING_EVENTS);
    let database = engine.database();
    let worker = Worker::start(&engine, &database, &backlog.topic);
    worker.wait_for(backlog.events);
    worker.stop();
    let organizations = database.query("SELECT count() FROM organizations");
    let mut producer = EventProducer::new(&backlog.topic, CODEC);
    let more = 20_000;
    for line in Population::CLUSTER.events().take(more) {
        producer.send(&line.json);
    }
    producer.finish();

    let before = worker::passed(&database);
    let worker = Worker::start(&engine, &database, &backlog.topic);
    let cost = worker.wait_for(before + 1);
    println!(
        "start: {} organizations in the store, duplicate window of {} events to be replayed; {:.2} \
        s to the first flush, {:.2} s of CPU",
        organizations.trim(),
        before,
        cost.elapsed.as_secs_f64(),
        cost.cpu.as_secs_f64()
    );
    worker.stop();
}
