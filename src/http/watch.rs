//! While somebody polls, changes are looked for between the polls too. A flush is then mostly seen before ClickHouse merges
//! its rows with older ones, after which accounts that are not followed row by row would have to read more than what is new.
//!
//! A watch looks at the parts themselves, also where the embedded engine [tells](super::quiet) that no statement has written.
//! So whatever else changes tables is seen within half a second too: a TTL that an operator has given to one, a view that
//! refreshes itself, a `Buffer` or `Kafka` table that passes its rows on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::state::ApiState;

/// How often changes are looked for.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long after the last poll.
const PATIENCE: Duration = Duration::from_secs(60);

/// When somebody polled last; `None` while nobody watches.
#[derive(Default)]
pub(super) struct Watch {
    polled: Mutex<Option<Instant>>,
}

impl Watch {
    /// Somebody polls. True if a watch has to begin.
    fn begins(&self) -> bool {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now()).is_none()
    }

    /// True if the watch goes on; else it is over.
    fn goes_on(&self, patience: Duration) -> bool {
        let mut polled = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        if polled.is_some_and(|polled| polled.elapsed() > patience) {
            *polled = None;
        }
        polled.is_some()
    }
}

impl ApiState {
    /// Sees to it that changes are looked for, for some time.
    pub(super) fn watch(&self) {
        if !self.store().tells_changes() || !self.polls().watch.begins() {
            return;
        }
        let state = self.downgrade();
        tokio::spawn(async move {
            while let Some(state) = state.get().filter(|state| state.polls().watch.goes_on(PATIENCE)) {
                state.polls().look(state.store()).await;
                drop(state);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watch_goes_on_until_nobody_polls() {
        let watch = Watch::default();
        assert!(!watch.goes_on(PATIENCE), "nobody has polled");
        assert!(watch.begins());
        assert!(!watch.begins(), "there is one already");
        assert!(watch.goes_on(PATIENCE));
        assert!(!watch.goes_on(Duration::ZERO));
        assert!(watch.begins(), "the one before is over");
    }
}
