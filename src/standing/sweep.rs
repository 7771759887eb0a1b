//! A sweep reads all accounts, run by run. It fills the standings at the start; later ones make
//! repairs by hand show, draw the timelines further, and forget accounts that are gone.

use std::collections::VecDeque;
use std::time::Instant;

use chrono::Utc;

/// Plan records of a run of the first sweep, about: as many organizations as are read in some 100
/// ms. The more of them, the sooner all are read.
pub(super) const FIRST_RUN_PLANS: u64 = 5_000;

/// The same of later sweeps: a look waits for the end of a run, and those who ask for the look.
pub(super) const RUN_PLANS: u64 = 1_000;

/// A sweep that is under way.
pub(super) struct Sweep {
    pub(super) began: Instant,
    /// The same by the clock, milliseconds since 1970 UTC.
    pub(super) began_ms: i64,
    /// The last account that was read.
    after: String,
    /// The last account of each run that is to come; `None` for all that are left.
    ends: VecDeque<Option<String>>,
}

impl Sweep {
    /// Begins one over accounts in the order of their ids, each with its number of plan records.
    /// A run has so many of these, about.
    pub(super) fn over(accounts: Vec<(String, u64)>, run_plans: u64) -> Self {
        let mut ends = VecDeque::new();
        let mut plans = 0;
        for (account, more) in accounts {
            plans += more;
            if plans >= run_plans {
                ends.push_back(Some(account));
                plans = 0;
            }
        }
        ends.push_back(None);
        let began_ms = Utc::now().timestamp_millis();
        Self { began: Instant::now(), began_ms, after: String::new(), ends }
    }

    /// The next run: the account before its first, and its last; `None` where all are read.
    pub(super) fn next(&self) -> Option<(&str, Option<&str>)> {
        Some((&self.after, self.ends.front()?.as_deref()))
    }

    /// That run was read.
    pub(super) fn passed(&mut self) {
        if let Some(Some(end)) = self.ends.pop_front() {
            self.after = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_every_id_once() {
        let accounts = [("a", 1), ("b", RUN_PLANS), ("c", 1), ("d", RUN_PLANS - 1), ("e", 1)];
        let accounts = accounts.map(|(id, plans)| (id.to_owned(), plans)).into();
        let mut sweep = Sweep::over(accounts, RUN_PLANS);
        let mut runs = Vec::new();
        while let Some((after, upto)) = sweep.next() {
            runs.push((after.to_owned(), upto.map(str::to_owned)));
            sweep.passed();
        }
        let run = |after: &str, upto: Option<&str>| (after.to_owned(), upto.map(str::to_owned));
        assert_eq!(runs, [run("", Some("b")), run("b", Some("d")), run("d", None)]);
    }

    #[test]
    fn without_any_account_there_is_one_run_for_those_to_come() {
        let mut sweep = Sweep::over(Vec::new(), RUN_PLANS);
        assert_eq!(sweep.next(), Some(("", None)));
        sweep.passed();
        assert_eq!(sweep.next(), None);
    }
}
