//! The long run: new seeds for a given time, and a table of what was simulated.
//!
//! ```text
//! SEATMETER_SIM_SECONDS=600 cargo test --test it simulation::long -- --ignored --nocapture
//! ```
//!
//! `SEATMETER_SIM_SEED` names the first seed. Each seed is a history of its own: a log, and a
//! schedule of workers and faults. Its simulated time is that of its log, from the beginning to the
//! last record, by the clock that stamps the records: between two of them lie 0 ms to 7 hours. It
//! says how much of a log's time was covered, not how much work that was; records and faults say
//! that.

use std::time::{Duration, Instant};

use super::faults::Faults;
use super::shrink::shrink;
use super::stats::{Happened, Stats};
use super::{Run, SEEDS, from_environment, run, run_all};

/// How long it runs if nothing is said.
const SECONDS: u64 = 60;

const HOUR_MS: u64 = 3_600_000;

/// What goes wrong in a history, in words.
const FAULTS: [(Happened, &str); 20] = [
    (Happened::Crashed, "worker crashed"),
    (Happened::CrashedInFlush, "worker crashed in the middle of a flush"),
    (Happened::MovedAfterFlush, "partition moved to another worker after a flush"),
    (Happened::MovedWithoutFlush, "partition moved without a flush"),
    (Happened::MovedUnnoticed, "partition moved, which its former owner did not notice"),
    (Happened::FormerOwnerFlushed, "former owner flushed"),
    (Happened::TookOver, "other zone data took over"),
    (Happened::TakeoverRefused, "other zone data came while not all was stored"),
    (Happened::Evicted, "lane evicted what the tables hold"),
    (Happened::WriteRefused, "INSERT failed, nothing was stored"),
    (Happened::WrittenInPart, "INSERT failed, a part of it was stored"),
    (Happened::WrittenButFailed, "INSERT failed, all of it was stored"),
    (Happened::SentLate, "INSERT given up while it was under way"),
    (Happened::LandedLate, "INSERT that was given up arrived, in part, whole or again"),
    (Happened::LoadFailed, "load failed, possibly after half of its answer"),
    (Happened::Redelivered, "records delivered again"),
    (Happened::SkippedRecords, "records skipped by the client after an error"),
    (Happened::Retained, "oldest records deleted, all of them counted"),
    (Happened::RetainedUnread, "oldest records deleted, some of them unread"),
    (Happened::RewoundPastStart, "ids to replay were deleted already"),
];

#[test]
#[ignore = "runs for as long as SEATMETER_SIM_SECONDS says"]
fn new_seeds_for_a_given_time() {
    let first = from_environment("SEATMETER_SIM_SEED").unwrap_or(SEEDS);
    let seconds = from_environment("SEATMETER_SIM_SECONDS").unwrap_or(SECONDS);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let seed_run = |seed| {
        let faults = Faults::of_seed(seed);
        run(&Run { seed, schedule: seed, faults, mutant: None, hurries: false, kept: None })
    };
    match run_all(first..u64::MAX, || Instant::now() >= deadline, seed_run) {
        Err((seed, failure)) => {
            let small = shrink(seed, Faults::of_seed(seed), None, false);
            panic!("SEATMETER_SIM_SEED={seed} fails: {failure}\nIt still fails {small}");
        }
        Ok(stats) => {
            print!("{}", table(first, &stats));
            assert!(stats.histories > 0, "there was no time for a history");
        }
    }
}

fn table(first: u64, stats: &Stats) -> String {
    let Stats { histories, records, took_ms, .. } = stats;
    let counts = [
        (
            format!("histories, seeds {first} to {}", (first + histories).saturating_sub(1)),
            *histories,
        ),
        ("simulated hours".to_owned(), took_ms / HOUR_MS),
        ("records".to_owned(), *records),
    ];
    let faults = FAULTS.map(|(happened, told)| (told.to_owned(), stats.of(happened)));
    let rows = counts.into_iter().chain(faults);
    let rows: String = rows.map(|(told, count)| format!("| {told} | {count} |\n")).collect();
    format!("| | |\n|---|---|\n{rows}")
}
