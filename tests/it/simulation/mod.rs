//! Same prefix, same rows: seeded histories with all kinds of faults, compared with a naive fold of
//! the log.
//!
//! `SEATMETER_SIM_SEEDS` sets how many seeds to try, `SEATMETER_SIM_SEED` replays one. The [long
//! run](long) tries as many as it can in `SEATMETER_SIM_SECONDS`.

mod accounts;
mod answers;
pub(crate) mod dice;
mod driver;
mod encode;
mod faults;
mod flushing;
mod fold;
mod generator;
mod loading;
mod log;
mod long;
mod memory_store;
mod naive_calendar;
mod ownership;
mod reading;
mod releases;
mod seat_interval;
mod shrink;
mod stats;
mod view;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use seatmeter::core::decode::decode;
use seatmeter::core::event::Record;

use dice::Dice;
use driver::{Delivered, Driver};
use faults::{Faults, Mutant};
use generator::generate;
use log::{Log, LogRecord};
use shrink::shrink;
use stats::{Happened, Stats};

/// Seeds that the main test tries.
const SEEDS: u64 = 4_000;

/// Seeds within which each mutant has to be caught.
const MUTANT_SEEDS: u64 = 4_000;

/// Input of a run.
#[derive(Clone)]
struct Run {
    /// Seed of the log.
    seed: u64,
    /// Seed of the schedule.
    schedule: u64,
    faults: Faults,
    mutant: Option<Mutant>,
    /// Accounts move to other partitions without waiting until all is counted. Records are stamped
    /// by one clock then: the timestamp is the only evidence of which event was sent first.
    hurries: bool,
    /// The records that stay in the log; `None`: all.
    kept: Option<BTreeSet<(usize, u64)>>,
}

impl Run {
    fn log(&self) -> Log {
        let mut log = generate(self.seed, self.hurries);
        if let Some(kept) = &self.kept {
            log.retain(kept);
        }
        log
    }
}

fn delivered(record: &LogRecord) -> Delivered<'_> {
    let record = Record {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.as_deref(),
        payload: record.payload.as_deref(),
    };
    (record, decode(&record))
}

/// One run: its statistics, or the failure.
fn run(run: &Run) -> Result<Stats, String> {
    let written = run.log();
    let log = if run.hurries { run.log().in_one_phase() } else { run.log() };
    let attempt = || {
        let records: Vec<Vec<Delivered<'_>>> = log
            .partitions
            .iter()
            .map(|partition| partition.records.iter().map(delivered).collect())
            .collect();
        let written = run.hurries.then_some(&written);
        Driver::new(
            &log,
            written,
            &records,
            Dice::new(run.schedule, 1),
            run.faults.clone(),
            run.mutant,
        )
        .run()
    };
    match catch_unwind(AssertUnwindSafe(attempt)) {
        Ok(Ok(stats)) => Ok(stats.of_history(written.places().len() as u64, written.took_ms)),
        Ok(Err(failure)) => Err(format!("{failure:#}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Tries seeds on every core; returns the statistics of all, or the first seed that fails, with its
/// failure.
fn run_seeds(
    seeds: Range<u64>,
    faults_of: fn(u64) -> Faults,
    mutant: Option<Mutant>,
    hurries: bool,
) -> Result<Stats, (u64, String)> {
    let seed_run = |seed| {
        run(&Run { seed, schedule: seed, faults: faults_of(seed), mutant, hurries, kept: None })
    };
    run_all(seeds, || false, seed_run)
}

/// Does the same with a run of each seed, until it is to stop. The seeds that were tried are the
/// first of them, without a gap.
fn run_all(
    seeds: Range<u64>,
    is_over: impl Fn() -> bool + Sync,
    seed_run: impl Fn(u64) -> Result<Stats, String> + Sync,
) -> Result<Stats, (u64, String)> {
    // Only seeds before a failed one are still tried.
    let (next, end) = (AtomicU64::new(seeds.start), AtomicU64::new(seeds.end));
    let work = || {
        let mut stats = Stats::default();
        while !is_over() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                break;
            }
            match seed_run(seed) {
                Ok(of_run) => stats.merge(&of_run),
                Err(failure) => {
                    end.fetch_min(seed, Ordering::Relaxed);
                    return Err((seed, failure));
                }
            }
        }
        Ok(stats)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Stats, (u64, String)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("runs catch their panics")).collect()
    });
    let mut all = Stats::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(stats) => all.merge(&stats),
            Err(failure) => failures.push(failure),
        }
    }
    failures.into_iter().min().map_or(Ok(all), Err)
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn same_prefix_same_rows() {
    let only = from_environment("SEATMETER_SIM_SEED");
    let count = from_environment("SEATMETER_SIM_SEEDS").unwrap_or(SEEDS);
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    let (begin, tried) = (Instant::now(), seeds.end - seeds.start);
    match run_seeds(seeds, Faults::of_seed, None, false) {
        Err((seed, failure)) => {
            let small = shrink(seed, Faults::of_seed(seed), None, false);
            panic!("SEATMETER_SIM_SEED={seed} fails: {failure}\nIt still fails {small}");
        }
        Ok(stats) => {
            println!("{tried} seeds in {:?}", begin.elapsed());
            for happened in Happened::ALL {
                println!("{:>9} {happened:?}", stats.of(happened));
                assert!(
                    tried < 1_000 || stats.of(happened) > 0,
                    "{happened:?} in none of {tried} runs"
                );
            }
        }
    }
}

/// Partitions are added, or the partitioner is changed, while not all is counted: each account is
/// counted exactly, or reported as split.
#[test]
fn accounts_that_move_without_a_stop_are_exact_or_told() {
    match run_seeds(0..SEEDS, Faults::of_seed, None, true) {
        Err((seed, failure)) => {
            let small = shrink(seed, Faults::of_seed(seed), None, true);
            panic!("seed {seed} fails: {failure}\nIt still fails {small}");
        }
        Ok(stats) => {
            for happened in [Happened::AccountMoved, Happened::AccountTold] {
                println!("{:>9} {happened:?}", stats.of(happened));
                assert!(stats.of(happened) > 0, "{happened:?} in none of {SEEDS} runs");
            }
        }
    }
}

#[test]
fn a_seed_reproduces_its_run() {
    for seed in 0..50 {
        for mutant in [None, Some(Mutant::DropsUpto)] {
            let again = Run {
                seed,
                schedule: seed,
                faults: Faults::of_seed(seed),
                mutant,
                hurries: false,
                kept: None,
            };
            let (first, second) = (run(&again), run(&again));
            assert_eq!(first, second, "seed {seed}");
        }
    }
}

#[test]
fn nothing_goes_wrong_without_faults() {
    if let Err((seed, failure)) = run_seeds(0..200, |_| Faults::none(), None, false) {
        let small = shrink(seed, Faults::none(), None, false);
        panic!("seed {seed} fails without any fault: {failure}\nIt still fails {small}");
    }
}

#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    let of_moves = (Mutant::OF_MOVES, true);
    for (mutant, hurries) in Mutant::ALL.map(|mutant| (mutant, false)).into_iter().chain([of_moves])
    {
        match run_seeds(0..MUTANT_SEEDS, Faults::of_seed, Some(mutant), hurries) {
            Ok(_) => survivors.push(mutant),
            Err((seed, failure)) => println!("{mutant:?} is caught by seed {seed}: {failure}"),
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} survived {MUTANT_SEEDS} seeds each");
}
