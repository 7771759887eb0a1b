//! What flushes leave for the task, joined until it looks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::judge::Touch;

/// Whether judging may begin: a process that feeds itself has to be counted first.
pub type MayBegin = Arc<dyn Fn() -> bool + Send + Sync>;

/// A partition at a flush.
#[derive(Clone, Debug)]
pub struct SourceFlush {
    /// Its source.
    pub source: Arc<str>,
    /// Which of its assignments to this process this is.
    pub tenure: u64,
    /// Records had been passed before this process opened it.
    pub was_begun: bool,
    /// Everything below this offset is stored.
    pub next_offset: u64,
    /// There was nothing more to read.
    pub is_caught_up: bool,
    /// Kafka's timestamps of the oldest and the newest record that was passed, milliseconds since
    /// 1970 UTC.
    pub times_ms: Option<(i64, i64)>,
    /// The accounts that were touched.
    pub touched: Vec<(String, Touch)>,
}

/// What is known of a partition that this process holds.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) tenure: u64,
    pub(super) was_begun: bool,
    pub(super) next_offset: u64,
    pub(super) is_caught_up: bool,
    /// Of all records since the partition was opened.
    pub(super) times_ms: Option<(i64, i64)>,
    /// Since the last look.
    pub(super) touched: HashMap<String, Touch>,
}

/// What flushes have left.
#[derive(Default)]
pub(super) struct Inbox {
    words: Mutex<BTreeMap<Arc<str>, Word>>,
    is_put: Notify,
}

impl Inbox {
    pub(super) fn put(&self, held: Vec<SourceFlush>) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *words);
        for flush in held {
            let SourceFlush { source, tenure, was_begun, next_offset, .. } = flush;
            let SourceFlush { is_caught_up, times_ms, touched, .. } = flush;
            let known = before.remove(&source).filter(|word| word.tenure == tenure);
            let mut word = known.unwrap_or(Word {
                tenure,
                was_begun,
                next_offset,
                is_caught_up,
                times_ms: None,
                touched: HashMap::new(),
            });
            word.next_offset = word.next_offset.max(next_offset);
            word.is_caught_up = is_caught_up;
            word.times_ms = joined(word.times_ms, times_ms);
            for (account, touch) in touched {
                word.touched.entry(account).or_default().add(touch);
            }
            words.insert(source, word);
        }
        drop(words);
        self.is_put.notify_one();
    }

    /// Waits for the next flush.
    pub(super) async fn is_put(&self) {
        self.is_put.notified().await;
    }

    /// The partitions that this process holds, each with the accounts that were touched since.
    pub(super) fn take(&self) -> BTreeMap<Arc<str>, Word> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let take = |(source, word): (&Arc<str>, &mut Word)| {
            let touched = std::mem::take(&mut word.touched);
            (Arc::clone(source), Word { touched, ..word.clone() })
        };
        words.iter_mut().map(take).collect()
    }
}

/// The oldest and the newest of both.
fn joined(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flush(source: &str, next_offset: u64, touched: &[&str]) -> SourceFlush {
        let touch = |account: &&str| ((*account).to_owned(), Touch::QUOTA);
        SourceFlush {
            source: source.into(),
            tenure: 1,
            was_begun: false,
            next_offset,
            is_caught_up: true,
            times_ms: Some((i64::try_from(next_offset).unwrap(), 9)),
            touched: touched.iter().map(touch).collect(),
        }
    }

    #[test]
    fn flushes_are_joined_until_they_are_looked_at_and_partitions_go() {
        let inbox = Inbox::default();
        inbox.put(vec![flush("a", 3, &["x"]), flush("b", 1, &["z"])]);
        inbox.put(vec![flush("a", 5, &["y", "x"])]);
        let words = inbox.take();
        assert_eq!(words.keys().map(|source| &**source).collect::<Vec<_>>(), ["a"]);
        let word = &words["a"];
        assert_eq!((word.next_offset, word.times_ms, word.touched.len()), (5, Some((3, 9)), 2));
        let words = inbox.take();
        assert_eq!((words["a"].next_offset, words["a"].touched.len()), (5, 0));
        inbox.put(vec![SourceFlush { tenure: 2, ..flush("a", 4, &[]) }]);
        assert_eq!(inbox.take()["a"].next_offset, 4, "another process may have counted meanwhile");
    }
}
