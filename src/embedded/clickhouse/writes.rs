//! Counting the statements that may write, so that somebody who has read the data can tell that nothing was written since.
//!
//! A statement is counted as begun before the engine gets it, and as ended when the engine is through with it, whatever
//! became of its client. So where as many have begun as at an earlier moment by which all of them had ended, the data is
//! what it was at that moment. A statement whose effects may come after its end spoils that for as long as this process
//! lives, and then nothing is told. What the engine does by itself is not counted: merges change no row, but a table that
//! somebody has given a TTL, or a view that it fills from time to time, does.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::effect::Effect;

/// The count of one process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Writes {
    /// What no other process has: a count that starts anew must not be taken for this one.
    engine: Arc<str>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    begun: u64,
    ended: u64,
    /// A statement has run whose effects may still come.
    is_spoiled: bool,
}

/// A statement that may be writing, until this is dropped.
#[derive(Debug)]
#[must_use = "the statement ends when this is dropped"]
pub(super) struct Writing {
    counts: Option<Arc<Mutex<Counts>>>,
}

impl Writes {
    /// A count under a random name.
    pub(super) fn new() -> Writes {
        // Its keys come from the operating system's randomness.
        let keys = RandomState::new();
        let engine = format!("{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1));
        Writes { engine: engine.into(), counts: Arc::default() }
    }

    /// Counts a statement, which must not have been handed to the engine yet.
    pub(super) fn begin(&self, effect: Effect) -> Writing {
        if effect == Effect::Reads {
            return Writing { counts: None };
        }
        let mut counts = lock(&self.counts);
        counts.begun += 1;
        counts.is_spoiled |= effect == Effect::Lasts;
        Writing { counts: Some(Arc::clone(&self.counts)) }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(counts) = &self.counts {
            lock(counts).ended += 1;
        }
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { begun, ended, is_spoiled } = *lock(&self.counts);
        if is_spoiled {
            return f.write_str("untold");
        }
        write!(f, "engine {} begun {begun} ended {ended}", self.engine)
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // The counts are whole at any moment, also if a thread panicked that held them.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(writes: &Writes) -> (u64, u64) {
        let Counts { begun, ended, .. } = *lock(&writes.counts);
        (begun, ended)
    }

    #[test]
    fn a_statement_is_counted_when_it_begins_and_when_it_ends() {
        let writes = Writes::new();
        drop(writes.begin(Effect::Reads));
        assert_eq!(counts(&writes), (0, 0));
        let first = writes.begin(Effect::Ends);
        let second = writes.clone().begin(Effect::Ends);
        assert_eq!(counts(&writes), (2, 0));
        drop(second);
        assert_eq!(counts(&writes), (2, 1));
        assert_eq!(writes.to_string(), format!("engine {} begun 2 ended 1", writes.engine));
        drop(first);
        assert_eq!(counts(&writes), (2, 2));
    }

    #[test]
    fn a_statement_that_panics_has_ended() {
        let writes = Writes::new();
        let writing = writes.begin(Effect::Ends);
        let thread = std::thread::spawn(move || {
            let _writing = writing;
            panic!("as the engine's thread might");
        });
        assert!(thread.join().is_err());
        assert_eq!(counts(&writes), (1, 1));
    }

    #[test]
    fn a_lasting_statement_spoils_the_count_before_it_runs_and_for_ever() {
        let writes = Writes::new();
        let lasting = writes.begin(Effect::Lasts);
        assert_eq!(writes.to_string(), "untold");
        drop(lasting);
        drop(writes.begin(Effect::Ends));
        assert_eq!(writes.to_string(), "untold");
    }

    #[test]
    fn each_process_has_a_name_of_its_own() {
        assert_ne!(Writes::new().to_string(), Writes::new().to_string());
        assert_eq!(Writes::new().engine.len(), 32);
    }
}
