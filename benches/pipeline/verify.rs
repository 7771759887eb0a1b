//! `seatmeter verify` against the batch reader alone, on the same backlog.

use std::time::{Duration, Instant};

use crate::backlog::{self, Backlog, Population, kafka};
use crate::readers::{self, Reader};
use crate::support::engine::PASSWORD;
use crate::support::{Database, program};
use crate::worker::{Engine, Worker, count};

const EVENTS: u64 = 3_000_000;
const PARTITIONS: u32 = 4;
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, EVENTS);
    let engine = Engine::start();
    let database = engine.database();
    let worker = Worker::start(&engine, &database, &backlog.topic);
    worker.wait_for(backlog.events);
    worker.stop();
    println!("verify: {EVENTS} events, {PARTITIONS} partitions, lz4");
    println!("| batch reader, events/s | verify, events/s | ratio |");
    println!("|---|---|---|");
    for _ in 0..ROUNDS {
        let bare = rate(&backlog, readers::read(Reader::Batches, &backlog).elapsed);
        let verified = rate(&backlog, verify(&database, &backlog));
        println!("| {bare:.0} | {verified:.0} | {:.2} |", verified / bare);
    }
}

fn rate(backlog: &Backlog, elapsed: Duration) -> f64 {
    count(backlog.events) / elapsed.as_secs_f64()
}

/// Verifies the database from the start of the process to its end.
fn verify(database: &Database, backlog: &Backlog) -> Duration {
    let began = Instant::now();
    let output = program::command(&["verify", "--memory-mib", "8192"])
        .env("SEATMETER__KAFKA__BROKERS", kafka().bootstrap_servers())
        .env("SEATMETER__KAFKA__TOPIC", &backlog.topic)
        .env("SEATMETER__CLICKHOUSE__URL", &database.url)
        .env("SEATMETER__CLICKHOUSE__DATABASE", &database.name)
        .env("SEATMETER__CLICKHOUSE__PASSWORD", PASSWORD)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    began.elapsed()
}
