//! A fair share of what is scarce: places that accounts take in turn.
//!
//! An account whose questions outnumber the places waits in a queue of its own, and places that
//! come free go to the waiting accounts one after another. No account holds more than half of the
//! places, so that another one never has to wait for all questions of the first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::http::reply::problem::Problem;

/// Longest wait of a question for a place before it is answered 503.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions of one account that may wait at once.
const WAITING_OF_ACCOUNT_MAX: usize = 32;

/// Questions that may wait at once, of all accounts.
const WAITING_MAX: usize = 1_024;

/// Places that accounts share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    queues: Arc<Mutex<Queues>>,
    /// Longest wait of a question.
    patience: Duration,
}

/// A place that is held until this is dropped.
pub(super) struct Place {
    places: Places,
    account: String,
}

struct Queues {
    free: usize,
    /// Places that one account may hold.
    share_max: usize,
    /// Places held, of accounts that hold any.
    held: HashMap<String, usize>,
    /// Accounts that wait, the next to be served first.
    turns: VecDeque<String>,
    waiting: HashMap<String, VecDeque<oneshot::Sender<()>>>,
    waiting_count: usize,
}

/// A question in its account's queue. A place that is given to it as it leaves is passed on.
struct Waiting {
    places: Places,
    account: String,
    granted: oneshot::Receiver<()>,
}

impl Places {
    /// `count` places, at least 1.
    pub(super) fn new(count: usize) -> Self {
        let queues = Queues {
            free: count,
            share_max: count.div_ceil(2),
            held: HashMap::new(),
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            waiting_count: 0,
        };
        Self { queues: Arc::new(Mutex::new(queues)), patience: PATIENCE }
    }

    /// Whether questions wait for a place.
    pub(super) fn are_waited_for(&self) -> bool {
        self.lock().waiting_count > 0
    }

    /// Takes a place for a question about the account, waiting for it if need be.
    ///
    /// # Errors
    /// Where too many questions wait, or none came free in time.
    pub(super) async fn take(&self, account: &str) -> Result<Place, Problem> {
        let mut waiting = {
            let mut queues = self.lock();
            if queues.may_take(account) {
                queues.grant(account);
                return Ok(Place { places: self.clone(), account: account.to_owned() });
            }
            let granted = queues.enqueue(account).ok_or_else(Problem::busy)?;
            Waiting { places: self.clone(), account: account.to_owned(), granted }
        };
        match tokio::time::timeout(self.patience, &mut waiting.granted).await {
            Ok(Ok(())) => Ok(Place { places: self.clone(), account: account.to_owned() }),
            Ok(Err(_)) | Err(_) => Err(Problem::busy()),
        }
    }

    /// Numbers of questions that have a place, and that wait for one.
    pub(super) fn taken_and_waiting(&self) -> (usize, usize) {
        let queues = self.lock();
        (queues.held.values().sum(), queues.waiting_count)
    }

    fn release(&self, account: &str) {
        let mut queues = self.lock();
        queues.release(account);
        queues.serve();
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing between two changes can panic, so the queues are whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn may_take(&self, account: &str) -> bool {
        self.free > 0 && !self.waiting.contains_key(account) && self.is_below_share(account)
    }

    fn is_below_share(&self, account: &str) -> bool {
        self.held.get(account).is_none_or(|&held| held < self.share_max)
    }

    fn grant(&mut self, account: &str) {
        self.free -= 1;
        *self.held.entry(account.to_owned()).or_default() += 1;
    }

    fn release(&mut self, account: &str) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(account) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(account);
            }
        }
    }

    /// Puts a question into its account's queue; `None` where it is full.
    fn enqueue(&mut self, account: &str) -> Option<oneshot::Receiver<()>> {
        let of_account = self.waiting.get(account).map_or(0, VecDeque::len);
        if of_account >= WAITING_OF_ACCOUNT_MAX || self.waiting_count >= WAITING_MAX {
            return None;
        }
        if of_account == 0 {
            self.turns.push_back(account.to_owned());
        }
        let (grant, granted) = oneshot::channel();
        self.waiting.entry(account.to_owned()).or_default().push_back(grant);
        self.waiting_count += 1;
        Some(granted)
    }

    /// Gives free places to waiting questions, one to each account in turn.
    fn serve(&mut self) {
        let mut passed_over = 0;
        while self.free > 0 && passed_over < self.turns.len() {
            let Some(account) = self.turns.pop_front() else { return };
            let served = self.is_below_share(&account) && self.serve_one(&account);
            passed_over = if served { 0 } else { passed_over + 1 };
            if self.waiting.contains_key(&account) {
                self.turns.push_back(account);
            } else {
                passed_over = 0;
            }
        }
    }

    /// Gives a place to the first question of the account that still waits; false where none does.
    fn serve_one(&mut self, account: &str) -> bool {
        let Some(queue) = self.waiting.get_mut(account) else { return false };
        let mut is_served = false;
        while let Some(grant) = queue.pop_front() {
            self.waiting_count -= 1;
            if grant.send(()).is_ok() {
                is_served = true;
                break;
            }
        }
        if queue.is_empty() {
            self.waiting.remove(account);
        }
        if is_served {
            self.grant(account);
        }
        is_served
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queues = self.places.lock();
        self.granted.close();
        // Granted and not taken, which `take` turns into a `Place` by reading the grant first.
        if self.granted.try_recv().is_ok() {
            queues.release(&self.account);
            queues.serve();
        }
        queues.forget_abandoned(&self.account);
    }
}

impl Queues {
    /// Removes abandoned questions, so that they do not count against the account.
    fn forget_abandoned(&mut self, account: &str) {
        let Some(queue) = self.waiting.get_mut(account) else { return };
        let before = queue.len();
        queue.retain(|grant| !grant.is_closed());
        self.waiting_count -= before - queue.len();
        if queue.is_empty() {
            self.waiting.remove(account);
            self.turns.retain(|turn| turn != account);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.release(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the only place is free, and that nothing is remembered.
    fn assert_unused(places: &Places) {
        let queues = places.lock();
        assert_eq!((queues.free, queues.waiting_count), (1, 0));
        assert!(queues.held.is_empty() && queues.turns.is_empty() && queues.waiting.is_empty());
    }

    #[tokio::test]
    async fn an_account_holds_half_of_the_places_at_most() {
        let places = Places::new(4);
        let _held = [places.take("a").await, places.take("a").await]
            .map(|place| place.unwrap_or_else(|_| panic!()));
        let queued = tokio::spawn({
            let places = places.clone();
            async move { places.take("a").await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!queued.is_finished());
        assert!(places.take("b").await.is_ok(), "another account finds a place at once");
        drop(_held);
        assert!(queued.await.unwrap());
    }

    #[tokio::test]
    async fn accounts_that_wait_are_served_in_turn() {
        let places = Places::new(1);
        let first = places.take("a").await.unwrap_or_else(|_| panic!());
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for account in ["a", "a", "a", "b", "c", "b"] {
            let (places, told) = (places.clone(), told.clone());
            tokio::spawn(async move {
                let place = places.take(account).await;
                told.send(account).unwrap();
                drop(place);
            });
            tokio::task::yield_now().await;
        }
        drop((first, told));
        let mut served = Vec::new();
        while let Some(account) = order.recv().await {
            served.push(account);
        }
        assert_eq!(served, ["a", "b", "c", "a", "b", "a"]);
        assert_unused(&places);
    }

    #[tokio::test]
    async fn a_question_that_waits_too_long_or_behind_too_many_is_busy() {
        let places = Places { patience: Duration::from_millis(200), ..Places::new(1) };
        let held = places.take("a").await.unwrap_or_else(|_| panic!());
        let waiting: Vec<_> = (0..WAITING_OF_ACCOUNT_MAX)
            .map(|_| {
                let places = places.clone();
                tokio::spawn(async move { places.take("a").await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        let started = tokio::time::Instant::now();
        assert!(places.take("a").await.is_err());
        assert!(started.elapsed() < Duration::from_millis(100), "a full queue is told at once");
        for question in waiting {
            assert!(!question.await.unwrap());
        }
        assert!(started.elapsed() >= places.patience);
        drop(held);
        assert!(places.take("a").await.is_ok(), "those that left hold nothing");
        assert_unused(&places);
    }
}
