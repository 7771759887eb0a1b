//! Resources of a worker as the topic, its partitions and its users grow.

use crate::backlog::{self, Population};
use crate::process;
use crate::worker::{Cost, Engine, Worker, count, passed};

const EVENTS: u64 = 2_000_000;
const PARTITIONS: u32 = 4;

/// Millions of events after which memory is measured.
const GROWTH_MILLIONS: [u64; 4] = [1, 3, 6, 10];

/// Memory of one worker over time.
pub(crate) fn growth() {
    let last = GROWTH_MILLIONS[GROWTH_MILLIONS.len() - 1] * 1_000_000;
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, last);
    let engine = Engine::start();
    let database = engine.database();
    let worker = Worker::start(&engine, &database, &backlog.topic);
    println!("growth: 100,000 users in 2,000 organizations, {PARTITIONS} partitions");
    println!("| million events | memory, MiB | highest so far, MiB | CPU s per million events |");
    println!("|---|---|---|---|");
    for millions in GROWTH_MILLIONS {
        let cost = worker.wait_for(millions * 1_000_000);
        // A flush may exceed the mark by far.
        let events = passed(&database);
        let (now, peak) = (process::resident_mib(worker.pid()), cost.peak_mib);
        println!(
            "| {:.1} | {now:.0} | {peak:.0} | {:.2} |",
            count(events) / 1e6,
            cost.per_million(events)
        );
    }
    worker.stop();
}

/// 1, 2, 4 and 16 partitions.
pub(crate) fn partitions() {
    println!("partitions: {EVENTS} events, 100,000 users in 2,000 organizations");
    print_header("partitions");
    let engine = Engine::start();
    for partitions in [1, 2, 4, 16] {
        print_row(&engine, &partitions.to_string(), Population::CLUSTER, partitions);
    }
}

/// 1,000 to 1,000,000 active users.
pub(crate) fn users() {
    println!(
        "users: {EVENTS} events, {PARTITIONS} partitions, 20 organizations for each 1,000 users"
    );
    print_header("users");
    let engine = Engine::start();
    for users in [1_000, 10_000, 100_000, 1_000_000] {
        print_row(&engine, &users.to_string(), Population { users }, PARTITIONS);
    }
}

fn print_header(what: &str) {
    println!(
        "| {what} | memory, MiB | CPU s per million events | events/s | rows per flush | engine's \
        CPU s per million |"
    );
    println!("|---|---|---|---|---|---|");
}

fn print_row(engine: &Engine, what: &str, population: Population, partitions: u32) {
    let backlog = backlog::filled(population, partitions, EVENTS);
    let database = engine.database();
    let mut worker = Worker::start(engine, &database, &backlog.topic);
    let cost = worker.wait_for(EVENTS);
    let Cost { engine_cpu, elapsed, peak_mib, .. } = cost;
    println!(
        "| {what} | {peak_mib:.0} | {:.2} | {:.0} | {:.0} | {:.2} |",
        cost.per_million(EVENTS),
        count(EVENTS) / elapsed.as_secs_f64(),
        worker.metric("seatmeter_flush_rows_total")
            / worker.metric("seatmeter_flush_duration_seconds_count"),
        engine_cpu.as_secs_f64() * 1e6 / count(EVENTS)
    );
    worker.stop();
}
