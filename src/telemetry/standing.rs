//! Metrics of the standings.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::names::{CHECKS, STANDING_ORGANIZATIONS, STANDING_READS, STANDINGS_AGE};

/// Outcomes of reading, and answers to checks, as labels.
const OUTCOMES: [&str; 2] = ["read", "failed"];
const ANSWERS: [&str; 4] = ["yes", "no", "no_plan", "forbidden"];

/// Describes the metrics to the exporter.
pub(super) fn describe() {
    describe_gauge!(STANDING_ORGANIZATIONS, "Organizations whose standings are held in memory");
    describe_gauge!(
        STANDINGS_AGE,
        Unit::Seconds,
        "Time since the standings were read; NaN where none are held"
    );
    describe_counter!(STANDING_READS, "Looks at what has changed the standings, by outcome");
    describe_counter!(CHECKS, "Checks whether tests may run, by answer");
}

/// Creates the series.
pub(super) fn create() {
    for outcome in OUTCOMES {
        counter!(STANDING_READS, "outcome" => outcome).absolute(0);
    }
    for answer in ANSWERS {
        counter!(CHECKS, "answer" => answer).absolute(0);
    }
    held(0, None);
}

/// How many organizations are held, and how long ago they were read.
pub fn held(organizations: usize, age: Option<Duration>) {
    gauge!(STANDING_ORGANIZATIONS).set(organizations as f64);
    gauge!(STANDINGS_AGE).set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
}

/// The standings were read, or could not be.
pub fn read(outcome: Result<(), ()>) {
    let [read, failed] = OUTCOMES;
    let outcome = if outcome.is_ok() { read } else { failed };
    counter!(STANDING_READS, "outcome" => outcome).increment(1);
}

/// Checks were answered: how many by yes, by no, for want of a plan, and for want of a grant.
pub fn checked(answers: [u64; 4]) {
    for (answer, checks) in ANSWERS.into_iter().zip(answers) {
        if checks > 0 {
            counter!(CHECKS, "answer" => answer).increment(checks);
        }
    }
}
