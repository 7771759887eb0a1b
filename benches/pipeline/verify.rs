//! `seatmeter verify` against the batch reader alone, on the same backlog: rate and memory, from
//! the start of the process to its end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::backlog::{self, Backlog, Population, kafka};
use crate::process;
use crate::readers::{self, Reader};
use crate::support::engine::PASSWORD;
use crate::support::{Database, program};
use crate::worker::{Engine, Worker, count};

/// Lengths of the log, events: what starting and comparing take weighs less in a longer one.
const EVENTS: [u64; 2] = [3_000_000, 10_000_000];
const PARTITIONS: u32 = 4;
const ROUNDS: usize = 3;
/// How often the memory of the process is looked at. The kernel keeps the peak, so only what comes
/// after the last look is missed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run() {
    println!("verify: {PARTITIONS} partitions, lz4");
    println!(
        "| events | batch reader, events/s | verify, events/s | ratio | memory of verify, MiB |"
    );
    println!("|---|---|---|---|---|");
    EVENTS.into_iter().for_each(measure);
}

fn measure(events: u64) {
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, events);
    let engine = Engine::start();
    let database = engine.database();
    let worker = Worker::start(&engine, &database, &backlog.topic);
    worker.wait_for(backlog.events);
    worker.stop();
    for _ in 0..ROUNDS {
        let bare = rate(&backlog, readers::read(Reader::Batches, &backlog).elapsed);
        let (elapsed, peak_mib) = verify(&database, &backlog);
        let verified = rate(&backlog, elapsed);
        println!(
            "| {events} | {bare:.0} | {verified:.0} | {:.2} | {peak_mib:.0} |",
            verified / bare
        );
    }
}

fn rate(backlog: &Backlog, elapsed: Duration) -> f64 {
    count(backlog.events) / elapsed.as_secs_f64()
}

/// Verifies the database within the memory that it takes by default; returns the time, and the peak
/// of its memory in MiB.
fn verify(database: &Database, backlog: &Backlog) -> (Duration, f64) {
    let began = Instant::now();
    let mut child = program::command(&["verify"])
        .env("SEATMETER__KAFKA__BROKERS", kafka().bootstrap_servers())
        .env("SEATMETER__KAFKA__TOPIC", &backlog.topic)
        .env("SEATMETER__CLICKHOUSE__URL", &database.url)
        .env("SEATMETER__CLICKHOUSE__DATABASE", &database.name)
        .env("SEATMETER__CLICKHOUSE__PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak_mib = 0.0;
    let status = loop {
        // A process that has ended, and was not waited for, has no memory to look at.
        peak_mib = process::peak_mib_of_running(child.id()).unwrap_or(peak_mib);
        if let Some(status) = child.try_wait().expect("it is a child of this process") {
            break status;
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    assert!(status.success(), "verify: {status}");
    (began.elapsed(), peak_mib)
}
