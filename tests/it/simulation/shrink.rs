//! Shrinks a failure: first faults are removed, then records. A smaller log may need another
//! schedule to fail, so several are tried.

use std::collections::BTreeSet;

use super::faults::{Fault, Faults, Mutant};
use super::{Run, run};

/// Runs that shrinking may take.
const RUNS_MAX: usize = 20_000;

/// Schedules that are tried on each smaller log.
const SCHEDULES: u64 = 40;

struct Shrinker {
    smallest: Run,
    failure: String,
    runs: usize,
}

impl Shrinker {
    /// True if the smaller run fails under any schedule; it then becomes the smallest.
    fn attempt(&mut self, smaller: &Run) -> bool {
        for schedule in std::iter::once(self.smallest.schedule).chain(0..SCHEDULES) {
            self.runs += 1;
            let smaller = Run { schedule, ..smaller.clone() };
            if self.runs > RUNS_MAX {
                return false;
            }
            if let Err(failure) = run(&smaller) {
                self.failure = failure;
                self.smallest = smaller;
                return true;
            }
        }
        false
    }

    fn drop_faults(&mut self) {
        for fault in Fault::ALL {
            let faults = self.smallest.faults.without(fault);
            self.attempt(&Run { faults, ..self.smallest.clone() });
        }
    }

    fn drop_records(&mut self) {
        let mut kept = self.smallest.log().places();
        let mut chunk = kept.len();
        while chunk > 0 {
            let (mut from, before) = (0, kept.len());
            while from < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(from..(from + chunk).min(kept.len()));
                let places: BTreeSet<(usize, u64)> = fewer.iter().copied().collect();
                if self.attempt(&Run { kept: Some(places), ..self.smallest.clone() }) {
                    kept = fewer;
                } else {
                    from += chunk;
                }
            }
            if kept.len() == before {
                chunk /= 2;
            }
        }
    }
}

/// The smallest failing run that was found, with its failure and its log.
pub(super) fn shrink(seed: u64, faults: Faults, mutant: Option<Mutant>, hurries: bool) -> String {
    let smallest = Run { seed, schedule: seed, faults, mutant, hurries, kept: None };
    let Err(failure) = run(&smallest) else {
        return "only now and then".to_owned();
    };
    let mut shrinker = Shrinker { smallest, failure, runs: 0 };
    shrinker.drop_faults();
    shrinker.drop_records();
    shrinker.drop_faults();
    let Shrinker { smallest, failure, .. } = shrinker;
    let (faults, schedule) = (&smallest.faults, smallest.schedule);
    format!(
        "under schedule {schedule} with the faults {faults} and this log:\n{}\n{failure}",
        smallest.log()
    )
}
