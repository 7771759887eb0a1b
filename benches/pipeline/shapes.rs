//! Backlogs of three shapes: uneven partitions, one large account, and many small ones. Figures are
//! of the second part of the log, so that joining the group and the first loads do not count.

use std::time::{Duration, Instant};

use seatmeter::generate::{Generator, Load};
use xxhash_rust::xxh3::xxh3_64;

use crate::backlog::{
    Backlog, CODEC, DAY_MS, Population, filled_with, jsons, large_account, now_ms,
};
use crate::process;
use crate::worker::{Engine, Worker, count, passed};

const PARTITIONS: u32 = 4;

/// The measurement begins with the flush that passes this share of the log.
const BEGIN_PERCENT: u64 = 15;

pub(crate) fn run() {
    println!("backlog: {PARTITIONS} partitions, lz4, from {BEGIN_PERCENT} % of the log to its end");
    println!("| | events/s | cores | loads | evicted entries | memory, MiB |");
    println!("|---|---|---|---|---|---|");
    let engine = Engine::start();
    row(&engine, "100,000 users, 70, 20, 5 and 5 % of 10 million events", &uneven(10_000_000));
    row(&engine, "one account of 100,000 seats in one partition", &one_account(3_000_000));
    row(&engine, "20,000 accounts of 12 users", &many_accounts(3_000_000));
}

/// Two partitions end long before the others.
fn uneven(events: u64) -> Backlog {
    let place = |account: &str| {
        Some(match xxh3_64(account.as_bytes()) % 20 {
            0..14 => 0,
            14..18 => 1,
            18 => 2,
            _ => 3,
        })
    };
    filled_with(jsons(Population::CLUSTER.events()), PARTITIONS, events, CODEC, place)
}

/// The first events of an account's three years.
fn one_account(events: u64) -> Backlog {
    filled_with(jsons(large_account()), PARTITIONS, events, CODEC, |_| None)
}

fn many_accounts(events: u64) -> Backlog {
    let now_ms = now_ms();
    let (accounts, organizations, users) = (20_000, 3, 12);
    let ordinary = Load::ordinary(now_ms - 28 * DAY_MS, now_ms);
    let load = Load { accounts, organizations, users, ..ordinary };
    filled_with(jsons(Generator::new(&load)), PARTITIONS, events, CODEC, |_| None)
}

fn row(engine: &Engine, what: &str, backlog: &Backlog) {
    let database = engine.database();
    let mut worker = Worker::start(engine, &database, &backlog.topic);
    let first = worker.wait_for(backlog.events * BEGIN_PERCENT / 100);
    let (began, began_at) = (Instant::now(), passed(&database));
    let all = worker.wait_for(backlog.events);
    let elapsed = began.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    println!(
        "| {what} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} |",
        count(backlog.events - began_at) / elapsed,
        (all.cpu - first.cpu).as_secs_f64() / elapsed,
        worker.metric("seatmeter_loads_total"),
        worker.metric("seatmeter_evicted_entries_total"),
        process::peak_mib(worker.pid()),
    );
    worker.stop();
}
