//! Which figures that are counted twice really differ, while workers go on.
//!
//! A source's figures say which progress they stand for. Where that is the progress that was read
//! before them, everything below it was stored when they were read, and nothing beyond it is in
//! them: a difference is one.
//!
//! Bitmaps and intervals carry no offset. What a flush was writing when they were read, or what one
//! that died has left, is complete once the progress of every source has passed it. So a difference
//! is suspected at first, and counts if it is still the same after that:
//!
//! | state of a source | goes on when |
//! |---|---|
//! | `Flushed(t)`: first seen after the reading, flushed at `t` | it is flushed at another time: by a flush that may have begun before |
//! | `FlushedAgain(t)` | it is flushed at another time: by a flush that has begun since, which knows the end of the log |
//! | `Ends(offset)`: the log ended there then | the progress has come to that offset |

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{ComparedFigures, StoredProgress};

/// Differences that are followed, at most.
const FOLLOWED_MAX: usize = 1_000;

/// Identity, account and source.
type Key = (String, String, String);

/// Figures that differ, or may.
#[derive(Debug, Default)]
pub struct Integrity {
    suspected: BTreeMap<Key, Suspicion>,
    differing: BTreeMap<Key, ComparedFigures>,
}

/// Figures of an account that differed when they were read.
#[derive(Debug)]
struct Suspicion {
    figures: ComparedFigures,
    /// Sources that have not passed what was stored then; `None`: not asked since.
    waits: Option<BTreeMap<String, Wait>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Flushed(Option<i64>),
    FlushedAgain(Option<i64>),
    Ends(u64),
}

impl Wait {
    /// What is waited for next; `None`: nothing.
    fn after(self, progress: &StoredProgress) -> Option<Self> {
        let at = progress.flushed_at_ms;
        Some(match self {
            Self::Flushed(before) if at != before => Self::FlushedAgain(at),
            Self::FlushedAgain(before) if at != before => Self::Ends(progress.high_watermark),
            Self::Ends(end) if progress.progress.next_offset >= end => return None,
            waits => waits,
        })
    }
}

/// Figures that differ since, or agree again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Those that are found to differ.
    pub differing: Vec<ComparedFigures>,
    /// Those that differed before and agree.
    pub agreeing: Vec<ComparedFigures>,
}

impl Integrity {
    /// The progress of all sources was read.
    pub fn go_on(&mut self, progress: &[StoredProgress]) {
        let live = live(progress);
        for suspicion in self.suspected.values_mut() {
            let Some(waits) = &mut suspicion.waits else {
                let first = |row: &&StoredProgress| {
                    (row.source.as_str().to_owned(), Wait::Flushed(row.flushed_at_ms))
                };
                suspicion.waits = Some(live.iter().map(first).collect());
                continue;
            };
            let is_waited_for = |source: &String, wait: &mut Wait| {
                let row = live.iter().find(|row| row.source.as_str() == source);
                match row.map(|row| wait.after(row)) {
                    Some(Some(next)) => *wait = next,
                    // It is passed, or the source is no longer counted.
                    Some(None) | None => return false,
                }
                true
            };
            waits.retain(is_waited_for);
        }
    }

    /// Takes in figures that were read after this progress.
    pub fn take(
        &mut self,
        progress: &[StoredProgress],
        figures: impl IntoIterator<Item = ComparedFigures>,
    ) -> Findings {
        let mut findings = Findings::default();
        for figures in figures {
            let next_offset = progress
                .iter()
                .find(|row| row.source.as_str() == figures.source)
                .map(|row| row.progress.next_offset);
            let key =
                (figures.identity.clone(), figures.account_id.clone(), figures.source.clone());
            let is_of_source = !figures.source.is_empty();
            if is_of_source && next_offset != Some(figures.upto) {
                continue;
            }
            if figures.difference == 0 {
                self.suspected.remove(&key);
                findings.agreeing.extend(self.differing.remove(&key));
            } else if let Some(known) = self.differing.get_mut(&key) {
                *known = figures;
            } else if is_of_source || self.is_confirmed(&key, &figures) {
                if self.differing.len() < FOLLOWED_MAX {
                    self.suspected.remove(&key);
                    self.differing.insert(key, figures.clone());
                    findings.differing.push(figures);
                }
            } else if self.suspected.contains_key(&key) || self.suspected.len() < FOLLOWED_MAX {
                self.suspect(key, figures);
            }
        }
        findings
    }

    /// Whether the same difference was found before all sources have passed what was stored then.
    fn is_confirmed(&self, key: &Key, figures: &ComparedFigures) -> bool {
        self.suspected.get(key).is_some_and(|suspicion| {
            suspicion.figures == *figures
                && suspicion.waits.as_ref().is_some_and(BTreeMap::is_empty)
        })
    }

    fn suspect(&mut self, key: Key, figures: ComparedFigures) {
        let known = self.suspected.get(&key);
        if known.is_none_or(|suspicion| suspicion.figures != figures) {
            self.suspected.insert(key, Suspicion { figures, waits: None });
        }
    }

    /// Accounts that are to be read again, at most `limit`.
    pub fn accounts(&self, limit: usize) -> BTreeSet<String> {
        let keys = self.suspected.keys().chain(self.differing.keys());
        let accounts: BTreeSet<&String> =
            keys.map(|(_, account, _)| account).filter(|account| !account.is_empty()).collect();
        accounts.into_iter().take(limit).cloned().collect()
    }

    /// Sum of the differences, by identity.
    pub fn differences(&self) -> BTreeMap<&str, u64> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for ((identity, ..), figures) in &self.differing {
            let sum = sums.entry(identity).or_default();
            *sum = sum.saturating_add(figures.difference);
        }
        sums
    }
}

/// The sources of the incarnation of the topic that is counted: the one that was flushed last.
fn live(progress: &[StoredProgress]) -> Vec<&StoredProgress> {
    let last = progress.iter().max_by_key(|row| row.flushed_at_ms);
    let Some(topic_id) = last.map(|row| row.source.topic_id()) else { return Vec::new() };
    progress.iter().filter(|row| row.source.topic_id() == topic_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rollup::{Progress, Source};

    fn progress(next_offset: u64, end: u64, flushed_at_ms: i64) -> Vec<StoredProgress> {
        let row = |topic_id, flushed_at_ms| StoredProgress {
            source: Source::new("t", topic_id, 0),
            progress: Progress { next_offset, ..Progress::default() },
            high_watermark: end,
            is_end_known: true,
            flushed_at_ms: Some(flushed_at_ms),
        };
        vec![row("old", 1), row("id", flushed_at_ms)]
    }

    fn figures(source: &str, account: &str, difference: u64, upto: u64) -> ComparedFigures {
        ComparedFigures {
            identity: "i".to_owned(),
            account_id: account.to_owned(),
            source: source.to_owned(),
            expected: 5,
            found: 5 - difference,
            difference,
            upto,
        }
    }

    #[test]
    fn figures_of_a_source_count_where_the_progress_is_the_one_read_before() {
        let mut integrity = Integrity::default();
        let before = progress(7, 7, 10);
        let take = |integrity: &mut Integrity, difference, upto| {
            let findings = integrity.take(&before, [figures("t/id/0", "", difference, upto)]);
            (findings.differing.len(), findings.agreeing.len())
        };
        assert_eq!(take(&mut integrity, 2, 8), (0, 0), "a flush has ended between");
        assert_eq!(take(&mut integrity, 2, 7), (1, 0));
        assert_eq!(take(&mut integrity, 1, 7), (0, 0), "it is known");
        assert_eq!(integrity.differences(), BTreeMap::from([("i", 1)]));
        assert_eq!(take(&mut integrity, 0, 8), (0, 0));
        assert_eq!(take(&mut integrity, 0, 7), (0, 1));
        assert_eq!(integrity.differences(), BTreeMap::new());
    }

    /// Reads the difference after each progress; returns after which one it counted.
    fn counted_after(rounds: &[(Vec<StoredProgress>, u64)]) -> Option<usize> {
        let mut integrity = Integrity::default();
        rounds.iter().position(|(progress, difference)| {
            integrity.go_on(progress);
            integrity.take(progress, [figures("", "a", *difference, 0)]);
            integrity.differences().contains_key("i")
        })
    }

    #[test]
    fn figures_of_an_account_count_once_all_that_was_stored_is_passed() {
        let rounds = |differences: [u64; 6]| {
            let progress = [
                progress(7, 7, 10),
                progress(7, 7, 10),
                progress(8, 8, 11),
                progress(9, 20, 12),
                progress(15, 30, 13),
                progress(20, 30, 14),
            ];
            counted_after(&progress.into_iter().zip(differences).collect::<Vec<_>>())
        };
        assert_eq!(rounds([2, 2, 2, 2, 2, 2]), Some(5), "20 was the end of the log");
        assert_eq!(rounds([2, 2, 2, 1, 1, 1]), None, "another difference is another suspicion");
        assert_eq!(rounds([2, 0, 2, 2, 2, 2]), None, "it was that of a flush");
        assert_eq!(rounds([0; 6]), None);
    }

    #[test]
    fn without_flushes_nothing_counts() {
        let rounds: Vec<_> = (0..50).map(|_| (progress(7, 9, 10), 1)).collect();
        assert_eq!(counted_after(&rounds), None);
    }

    #[test]
    fn what_is_followed_is_read_again_and_bounded() {
        let mut integrity = Integrity::default();
        let many = (0..2_000).map(|number| figures("", &format!("{number:04}"), 1, 0));
        integrity.take(&progress(7, 7, 10), many);
        assert_eq!(integrity.suspected.len(), FOLLOWED_MAX);
        assert_eq!(integrity.accounts(2).into_iter().collect::<Vec<_>>(), ["0000", "0001"]);
    }
}
