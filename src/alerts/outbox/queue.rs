//! What waits to be sent to one target.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::UnsentEvent;

/// Events that wait for a target, at most.
const WAITING_MAX: usize = 10_000;

/// The pauses between two attempts at an event grow from one to the other.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// An event that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The partition of its account.
    pub(super) source: Arc<str>,
    pub(super) event: Arc<UnsentEvent>,
    attempts: u32,
}

impl Waiting {
    pub(super) fn new(source: Arc<str>, event: Arc<UnsentEvent>) -> Self {
        Self { source, event, attempts: 0 }
    }

    /// The pause after a failed attempt; `jitter` is at least 0 and below 1.
    fn pause(&self, jitter: f64) -> Duration {
        let grown = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.attempts.min(20)));
        // Half of it is left to chance, so that what failed together does not come back together.
        grown.min(PAUSE_MAX).mul_f64(0.5 + jitter / 2.0)
    }
}

/// The queue of a target.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By when they are to be tried, and a number.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    /// The ids of all that wait, are being sent, or are sent and not stored as such, each with when
    /// it was found, milliseconds since 1970 UTC.
    known: HashMap<String, i64>,
    /// The events of each alert that are not sent yet, by when they were found: the first goes
    /// ahead, so that nobody hears of an end before the beginning.
    unsent: HashMap<u64, BTreeSet<(i64, String)>>,
    numbered: u64,
    /// There was no room for some.
    is_short: bool,
    held: BTreeSet<Arc<str>>,
}

impl State {
    fn put(&mut self, at: Instant, waiting: Waiting) {
        self.numbered += 1;
        self.waiting.insert((at, self.numbered), waiting);
    }

    /// Whether no earlier event of its alert is still to be sent.
    fn is_first(&self, event: &UnsentEvent) -> bool {
        let first = self.unsent.get(&event.alert).and_then(BTreeSet::first);
        first.is_none_or(|(_, id)| *id == event.id)
    }

    /// The event is sent, or is not to be any more.
    fn settle(&mut self, event: &UnsentEvent) {
        if let Entry::Occupied(mut unsent) = self.unsent.entry(event.alert) {
            unsent.get_mut().remove(&(event.found_ms, event.id.clone()));
            if unsent.get().is_empty() {
                unsent.remove();
            }
        }
    }

    /// Another process sends the event.
    fn forget(&mut self, event: &UnsentEvent) {
        self.known.remove(&event.id);
        self.settle(event);
    }
}

impl Queue {
    /// Adds an event, unless it is known.
    pub(super) fn add(&self, waiting: Waiting) {
        let mut state = self.state();
        if state.known.contains_key(&waiting.event.id) {
            return;
        }
        if state.known.len() >= WAITING_MAX {
            state.is_short = true;
            return;
        }
        let UnsentEvent { alert, id, found_ms, .. } = &*waiting.event;
        state.known.insert(id.clone(), *found_ms);
        state.unsent.entry(*alert).or_default().insert((*found_ms, id.clone()));
        state.put(Instant::now(), waiting);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes an event that is to be tried now; or when the next one is, if there is one. An event
    /// of an alert that an earlier one has to go ahead of is due when that one is sent.
    pub(super) fn take(&self) -> Result<Waiting, Option<Instant>> {
        let mut state = self.state();
        let mut in_turn =
            state.waiting.iter().filter(|(_, waiting)| state.is_first(&waiting.event));
        match in_turn.next().map(|(key, _)| *key) {
            None => Err(None),
            Some((at, _)) if at > Instant::now() => Err(Some(at)),
            Some(key) => state.waiting.remove(&key).ok_or(None),
        }
    }

    /// The event was sent, or given up.
    pub(super) fn settled(&self, waiting: &Waiting) {
        self.state().settle(&waiting.event);
    }

    /// An attempt has failed.
    pub(super) fn put_back(&self, waiting: Waiting, jitter: f64) {
        let mut state = self.state();
        if !state.held.contains(&waiting.source) {
            state.forget(&waiting.event);
            return;
        }
        let at = Instant::now() + waiting.pause(jitter);
        let attempts = waiting.attempts.saturating_add(1);
        state.put(at, Waiting { attempts, ..waiting });
    }

    /// It is stored what became of these.
    pub(super) fn done<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        for id in ids {
            state.known.remove(id);
        }
    }

    /// Whether this process still holds the partition.
    pub(super) fn holds(&self, source: &Arc<str>) -> bool {
        self.state().held.contains(source)
    }

    /// The partitions that this process holds.
    pub(super) fn hold(&self, sources: &BTreeSet<Arc<str>>) {
        let mut state = self.state();
        if state.held == *sources {
            return;
        }
        state.held.clone_from(sources);
        let all = std::mem::take(&mut state.waiting);
        let (held, gone) = all.into_iter().partition(|(_, of)| sources.contains(&of.source));
        state.waiting = held;
        let gone: BTreeMap<(Instant, u64), Waiting> = gone;
        gone.values().for_each(|waiting| state.forget(&waiting.event));
    }

    /// How many are not stored as sent, and when the oldest was found, milliseconds since 1970 UTC.
    pub(super) fn waiting(&self) -> (usize, Option<i64>) {
        let state = self.state();
        (state.known.len(), state.known.values().copied().min())
    }

    /// There was no room for some, and there is now.
    pub(super) fn is_short(&self) -> bool {
        let state = self.state();
        state.is_short && state.known.len() <= WAITING_MAX / 2
    }

    /// All that is unsent is handed on anew.
    pub(super) fn refilling(&self) {
        self.state().is_short = false;
    }

    /// Waits for an event to be added.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    // The state is whole between any two calls, so a panic elsewhere has not broken it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::alert::AlertRule;

    fn waiting(source: &str, id: &str) -> Waiting {
        let event = UnsentEvent {
            account: "a".to_owned(),
            rule: AlertRule::Quota,
            alert: xxhash_rust::xxh3::xxh3_64(id.as_bytes()),
            id: id.to_owned(),
            found_ms: 7,
            event: String::new(),
            done: Vec::new(),
        };
        Waiting::new(source.into(), Arc::new(event))
    }

    fn queue() -> Queue {
        let queue = Queue::default();
        queue.hold(&["p".into(), "q".into()].into());
        queue
    }

    #[test]
    fn an_event_waits_once_until_its_fate_is_stored() {
        let queue = queue();
        queue.add(waiting("p", "x"));
        queue.add(waiting("p", "x"));
        assert_eq!(queue.waiting(), (1, Some(7)));
        let taken = queue.take().unwrap();
        queue.add(waiting("p", "x"));
        assert_eq!(queue.take().unwrap_err(), None, "it is being sent");
        queue.put_back(taken, 0.0);
        assert!(queue.take().unwrap_err().is_some(), "it is tried again later");
        queue.done(["x"].into_iter());
        queue.add(waiting("p", "x"));
        assert!(queue.take().is_ok());
    }

    #[test]
    fn the_events_of_an_alert_are_sent_in_their_order() {
        let queue = queue();
        let event = |id: &str, found_ms| {
            let of = UnsentEvent { alert: 1, found_ms, ..(*waiting("p", id).event).clone() };
            Waiting::new("p".into(), Arc::new(of))
        };
        queue.add(event("raised", 7));
        let raised = queue.take().unwrap();
        queue.add(event("resolved", 9));
        queue.add(waiting("p", "other"));
        assert_eq!(queue.take().unwrap().event.id, "other");
        assert_eq!(queue.take().unwrap_err(), None, "the first is being sent");
        queue.put_back(raised, 0.0);
        assert!(queue.take().unwrap_err().is_some_and(|at| at > Instant::now()));
        let ((at, _), raised) = queue.state().waiting.pop_last().unwrap();
        assert!(at > Instant::now());
        queue.settled(&raised);
        assert_eq!(queue.take().unwrap().event.id, "resolved");
        queue.hold(&[].into());
        assert_eq!(queue.state().unsent.len(), 2, "both are being sent");
    }

    #[test]
    fn events_of_partitions_that_are_gone_go_too() {
        let queue = queue();
        for (source, id) in [("p", "x"), ("q", "y"), ("q", "z")] {
            queue.add(waiting(source, id));
        }
        let sent = queue.take().unwrap();
        queue.hold(&["q".into()].into());
        queue.put_back(sent, 0.5);
        assert_eq!(queue.waiting().0, 2, "one was being sent");
        queue.hold(&[].into());
        assert_eq!(queue.waiting(), (0, None));
        assert!(queue.state().known.is_empty());
    }

    #[test]
    fn a_full_queue_says_so_once_there_is_room() {
        let queue = queue();
        for id in 0..=WAITING_MAX {
            queue.add(waiting("p", &id.to_string()));
        }
        assert_eq!((queue.waiting().0, queue.is_short()), (WAITING_MAX, false));
        let ids: Vec<String> = (0..WAITING_MAX / 2).map(|id| id.to_string()).collect();
        queue.done(ids.iter().map(String::as_str));
        assert!(queue.is_short());
        queue.refilling();
        assert!(!queue.is_short());
    }

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let mut event = waiting("p", "x");
        assert_eq!(event.pause(0.0), PAUSE_MIN / 2);
        event.attempts = 3;
        assert_eq!(event.pause(0.0), 4 * PAUSE_MIN);
        event.attempts = u32::MAX;
        assert!(event.pause(0.999) <= PAUSE_MAX && event.pause(0.0) == PAUSE_MAX / 2);
    }
}
