//! CPU per event: two baseline readers and the worker on the same backlog, in turn.

use crate::backlog::{self, Backlog, Population};
use crate::readers::{self, Reader};
use crate::worker::{self, Cost, Engine, count};

const EVENTS: u64 = 3_000_000;
const PARTITIONS: u32 = 4;
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let backlog = backlog::filled(Population::CLUSTER, PARTITIONS, EVENTS);
    println!(
        "drain: {EVENTS} events of {:.0} bytes, {PARTITIONS} partitions, lz4, 100,000 users in \
        2,000 organizations",
        count(backlog.bytes / 1_000) * 1_000.0 / count(backlog.events)
    );
    let engine = Engine::start();
    // Caches and connections are warmed once, so that the first reader is not at a disadvantage.
    readers::read(Reader::Poll, &backlog);
    let rounds: Vec<[Cost; 3]> = (0..ROUNDS)
        .map(|_| {
            let poll = readers::read(Reader::Poll, &backlog);
            let batches = readers::read(Reader::Batches, &backlog);
            [poll, batches, worker::drain(&engine, &backlog)]
        })
        .collect();
    report(&backlog, &rounds);
}

fn report(backlog: &Backlog, rounds: &[[Cost; 3]]) {
    let events = backlog.events;
    println!(
        "| min / median / max of {ROUNDS} | CPU s per million events | ratio to (a) | events/s | \
        memory, MiB |"
    );
    println!("|---|---|---|---|---|");
    let names = ["(a) `BaseConsumer::poll`", "(b) batch queue", "(c) worker"];
    for (at, name) in names.into_iter().enumerate() {
        let of =
            |figure: &dyn Fn(&[Cost; 3]) -> f64, digits| spread(rounds.iter().map(figure), digits);
        println!(
            "| {name} | {} | {} | {} | {} |",
            of(&|round| round[at].per_million(events), 2),
            of(&|round| round[at].cpu.as_secs_f64() / round[0].cpu.as_secs_f64(), 2),
            of(&|round| count(events) / round[at].elapsed.as_secs_f64(), 0),
            of(&|round| round[at].peak_mib, 0),
        );
    }
    let engine = |round: &[Cost; 3]| round[2].engine_cpu.as_secs_f64() * 1e6 / count(events);
    let both = |round: &[Cost; 3]| {
        (round[2].cpu + round[2].engine_cpu).as_secs_f64() / round[0].cpu.as_secs_f64()
    };
    println!(
        "| the engine's process, under (c) | {} | worker and engine: {} | | |",
        spread(rounds.iter().map(engine), 2),
        spread(rounds.iter().map(both), 2)
    );
}

/// Minimum, median and maximum.
fn spread(figures: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    let [first, .., last] = sorted[..] else { panic!("at least two rounds") };
    format!("{first:.digits$} / {:.digits$} / {last:.digits$}", sorted[sorted.len() / 2])
}
