//! The partitions that this process holds: whether their accounts may be judged, and which are to
//! be.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::inbox::Word;
use super::judge::Touch;
use super::lines::ConfiguredLine;
use crate::report::alert::AlertState;
use crate::store::{AlertMark, AlertRow};

/// Time between two marks of a partition that goes on.
const MARK_INTERVAL: Duration = Duration::from_secs(10);

/// Accounts that are judged at once.
const JUDGED_MAX: usize = 500;

/// Accounts whose events are read at once.
const READ_MAX: usize = 1_000;

/// Whether a partition may be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was judged before, up to an offset that it has not been counted to again.
    Behind,
    /// What was so before alerts were switched on is not counted yet.
    Before,
    /// All of its accounts are to be judged for the first time in this process.
    Opening {
        /// Of what they have reached nothing is sent.
        is_silent: bool,
    },
    /// The accounts that are touched are judged.
    Open,
}

/// A partition.
#[derive(Debug)]
pub(super) struct HeldSource {
    /// What is stored about it.
    mark: Option<AlertMark>,
    /// When alerts were switched on first, milliseconds since 1970 UTC.
    alerts_since_ms: i64,
    /// It was judged by some process before.
    pub(super) was_judged: bool,
    is_open: bool,
    word: Word,
    /// The accounts that are to be judged.
    pending: BTreeMap<String, Touch>,
    /// What is pending is judged for the first time: nothing is sent of it.
    pub(super) is_silent: bool,
    /// The lines that what is pending is judged by for the first time.
    pub(super) new_lines: BTreeSet<ConfiguredLine>,
    /// When each account is to be judged again, milliseconds since 1970 UTC.
    due_ms: HashMap<String, i64>,
    /// The accounts of which events may be stored that were not handed on.
    unsent: BTreeSet<String>,
    /// The accounts of unknown time zones that were told.
    unreadable: HashSet<String>,
    marked_at: Option<Instant>,
}

impl HeldSource {
    /// A partition of which this is stored.
    pub(super) fn new(word: Word, mark: Option<AlertMark>, alerts_since_ms: i64) -> Self {
        Self {
            mark,
            alerts_since_ms,
            was_judged: mark.is_some(),
            is_open: false,
            word,
            pending: BTreeMap::new(),
            is_silent: false,
            new_lines: BTreeSet::new(),
            due_ms: HashMap::new(),
            unsent: BTreeSet::new(),
            unreadable: HashSet::new(),
            marked_at: None,
        }
    }

    /// Whether this is of the same assignment.
    pub(super) fn is_of(&self, word: &Word) -> bool {
        self.word.tenure == word.tenure
    }

    /// Takes in what flushes have left.
    pub(super) fn hear(&mut self, word: Word) {
        // Before it is open all of its accounts will be judged anyway.
        if self.is_open {
            for (account, touch) in &word.touched {
                self.pending.entry(account.clone()).or_default().add(*touch);
            }
        }
        self.word = Word { touched: HashMap::new(), ..word };
    }

    pub(super) fn stage(&self) -> Stage {
        let Word { was_begun, next_offset, is_caught_up, times_ms, .. } = self.word;
        if self.is_open {
            return Stage::Open;
        }
        if let Some(mark) = self.mark {
            let is_there = next_offset >= mark.judged_upto;
            return if is_there { Stage::Opening { is_silent: false } } else { Stage::Behind };
        }
        let has_older =
            was_begun || times_ms.is_some_and(|(oldest, _)| oldest < self.alerts_since_ms);
        let has_newer = times_ms.is_some_and(|(_, newest)| newest >= self.alerts_since_ms);
        match (has_older, has_newer || is_caught_up) {
            (_, false) => Stage::Before,
            (is_silent, true) => Stage::Opening { is_silent },
        }
    }

    /// Whether nothing is sent of an alert: it was so before alerts were switched on, or before its
    /// line was configured. A partition that was never judged has no such lines.
    pub(super) fn silences(&self, row: &AlertRow) -> bool {
        let is_raised = row.state == AlertState::Raised;
        let is_of_new_line = || self.new_lines.iter().any(|line| line.is_of(row));
        self.is_silent || is_raised && self.was_judged && is_of_new_line()
    }

    /// All of its accounts are to be judged, and what a former owner has left unsent is to be sent.
    pub(super) fn open(&mut self, accounts: Vec<String>, is_silent: bool) {
        self.is_open = true;
        self.is_silent = is_silent;
        self.unsent.extend(accounts.iter().cloned());
        self.pending.extend(accounts.into_iter().map(|account| (account, Touch::ALL)));
    }

    /// Events of these accounts are about to be stored, or had no room.
    pub(super) fn will_send(&mut self, accounts: impl IntoIterator<Item = String>) {
        self.unsent.extend(accounts);
    }

    /// Accounts whose events are to be read and handed on, a number of them.
    pub(super) fn next_unsent(&self) -> Vec<String> {
        self.unsent.iter().take(READ_MAX).cloned().collect()
    }

    /// The events of these were handed on.
    pub(super) fn handed_on(&mut self, accounts: &[String]) {
        for account in accounts {
            self.unsent.remove(account);
        }
    }

    /// Whether it was not told yet that the account's time zone is unknown.
    pub(super) fn is_newly_unreadable(&mut self, account: &str) -> bool {
        self.unreadable.insert(account.to_owned())
    }

    /// Adds the accounts whose time has come.
    pub(super) fn add_due(&mut self, now_ms: i64) {
        let due = self.due_ms.iter().filter(|(_, due_ms)| **due_ms <= now_ms);
        let due: Vec<String> = due.map(|(account, _)| account.clone()).collect();
        for account in due {
            self.due_ms.remove(&account);
            self.pending.insert(account, Touch::ALL);
        }
    }

    /// Accounts to be judged now, a number of them.
    pub(super) fn next(&self) -> BTreeMap<String, Touch> {
        let pending = self.pending.iter().take(JUDGED_MAX);
        pending.map(|(account, touch)| (account.clone(), *touch)).collect()
    }

    /// These were judged; `due_ms` says when they are to be judged again.
    pub(super) fn judged(
        &mut self,
        accounts: &BTreeMap<String, Touch>,
        due_ms: Vec<(String, i64)>,
    ) {
        for (account, touch) in accounts {
            self.pending.remove(account);
            if *touch == Touch::ALL {
                self.due_ms.remove(account);
            }
        }
        for (account, due_ms) in due_ms {
            let known_ms = self.due_ms.entry(account).or_insert(due_ms);
            *known_ms = due_ms.min(*known_ms);
        }
    }

    /// The mark to be stored, if it is time; always where alerts are about to be stored.
    pub(super) fn mark_due(&self, now_ms: i64, has_alerts: bool) -> Option<AlertMark> {
        let judged_upto = self.word.next_offset;
        let is_new = self.mark.is_none_or(|mark| mark.judged_upto < judged_upto);
        let is_time = self.marked_at.is_none_or(|at| at.elapsed() >= MARK_INTERVAL);
        let since_ms = self.mark.map_or(now_ms, |mark| mark.since_ms);
        (is_new && (is_time || has_alerts)).then_some(AlertMark { since_ms, judged_upto })
    }

    /// That mark is stored.
    pub(super) fn marked(&mut self, mark: AlertMark) {
        self.mark = Some(mark);
        self.marked_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(
        was_begun: bool,
        next_offset: u64,
        is_caught_up: bool,
        times_ms: Option<(i64, i64)>,
    ) -> Word {
        let touched = HashMap::new();
        Word { tenure: 1, was_begun, next_offset, is_caught_up, times_ms, touched }
    }

    #[track_caller]
    fn check(word: Word, judged_upto: Option<u64>, expected: Stage) {
        let mark = judged_upto.map(|judged_upto| AlertMark { since_ms: 1, judged_upto });
        assert_eq!(HeldSource::new(word, mark, 100).stage(), expected);
    }

    #[test]
    fn what_was_so_before_alerts_were_on_is_judged_once_it_is_counted() {
        let silent = Stage::Opening { is_silent: true };
        check(word(false, 5, false, Some((40, 60))), None, Stage::Before);
        check(word(false, 5, true, Some((40, 60))), None, silent);
        check(word(false, 9, false, Some((40, 100))), None, silent);
        check(word(true, 5, false, None), None, Stage::Before);
        check(word(true, 5, true, None), None, silent);
    }

    #[test]
    fn a_partition_that_began_since_is_judged_at_once() {
        check(word(false, 5, false, Some((100, 160))), None, Stage::Opening { is_silent: false });
        check(word(false, 0, true, None), None, Stage::Opening { is_silent: false });
    }

    #[test]
    fn one_that_is_counted_anew_has_to_come_as_far_as_it_was() {
        check(word(false, 5, true, Some((40, 60))), Some(6), Stage::Behind);
        check(word(true, 6, false, None), Some(6), Stage::Opening { is_silent: false });
    }

    #[test]
    fn events_are_handed_on_until_that_has_succeeded() {
        let mut source = HeldSource::new(word(false, 0, true, None), None, 100);
        source.open(vec!["a".to_owned()], false);
        source.will_send(["b".to_owned(), "a".to_owned()]);
        let accounts = source.next_unsent();
        assert_eq!(accounts, ["a", "b"]);
        assert_eq!(source.next_unsent(), accounts, "reading may fail");
        source.handed_on(&accounts);
        assert!(source.next_unsent().is_empty());
    }

    #[test]
    fn an_account_is_due_at_the_earliest_of_its_times() {
        let mut source = HeldSource::new(word(false, 0, true, None), None, 100);
        source.open(vec!["a".to_owned()], false);
        let all = source.next();
        source.judged(&all, vec![("a".to_owned(), 50)]);
        let seats = [("a".to_owned(), Touch { quota: false, seats: true })].into();
        source.judged(&seats, vec![("a".to_owned(), 70)]);
        assert_eq!(source.due_ms, HashMap::from([("a".to_owned(), 50)]));
        source.add_due(49);
        assert!(source.next().is_empty());
        source.add_due(50);
        assert_eq!(source.next(), [("a".to_owned(), Touch::ALL)].into());
        source.judged(&source.next(), vec![("a".to_owned(), 90)]);
        assert_eq!(source.due_ms, HashMap::from([("a".to_owned(), 90)]));
        assert!(source.next().is_empty());
    }
}
