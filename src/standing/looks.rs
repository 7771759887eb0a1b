//! Between those who ask and the task that reads: what is held, and how the latest attempt to read
//! it went.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::held::{Changes, Fresh, Held, HeldLook, NoStandings, Reading};
use crate::report::id::AccountId;
use crate::store::Accounts;
use crate::telemetry::{events, standing as telemetry};

/// Longest wait for a look that is slower than usual; the figures that are held serve then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest wait of a question for the first reading of the standings.
const LOAD_PATIENCE: Duration = Duration::from_secs(5);

/// How old figures may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgesMax {
    /// Where ClickHouse answers: greatest age of a look for a question.
    pub look: Duration,
    /// Where it does not: older figures are not told any more.
    pub standing: Duration,
}

/// What is held, and how it is read.
pub(super) struct Looking {
    ages_max: AgesMax,
    held: RwLock<Held>,
    /// Wakes the task for somebody who waits.
    wake: Notify,
    /// Somebody waits, and no look has begun since.
    is_waited_for: AtomicBool,
    state: watch::Sender<State>,
    /// The latest question.
    asked: Mutex<Option<Instant>>,
}

/// How reading goes.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Beginning of the latest look whose changes are held.
    looked: Option<Instant>,
    /// Beginning of the attempt that runs.
    running_since: Option<Instant>,
    /// The latest look failed.
    has_failed: bool,
}

impl Looking {
    pub(super) fn new(ages_max: AgesMax) -> Self {
        Self {
            ages_max,
            held: RwLock::default(),
            wake: Notify::new(),
            is_waited_for: AtomicBool::new(false),
            state: watch::Sender::new(State::default()),
            asked: Mutex::default(),
        }
    }

    /// Somebody asks.
    pub(super) fn is_asked(&self, now: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether somebody has asked within this time.
    pub(super) fn is_in_demand(&self, within: Duration) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| asked.elapsed() <= within)
    }

    /// Whether what is held of these accounts is young enough for a question of that moment.
    pub(super) fn is_fresh(&self, asked: Instant, accounts: &[AccountId]) -> bool {
        let look = self.held().look_of(accounts.iter().map(AccountId::as_str));
        look.is_some_and(|look| look.began + self.ages_max.look >= asked)
    }

    /// Waits until what is held of these accounts is young enough for a question of that moment, or
    /// until it makes no sense to wait: the latest attempt failed, or the one that runs takes too
    /// long.
    pub(super) async fn wait(&self, asked: Instant, accounts: &[AccountId]) {
        let mut state = self.state.subscribe();
        self.is_waited_for.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        let State { looked, running_since, .. } = *state.borrow();
        let patience = if looked.is_some() { PATIENCE } else { LOAD_PATIENCE };
        let deadline = match running_since {
            // The first reading takes as long as there are accounts.
            Some(running_since) if looked.is_some() => running_since + patience,
            _ => asked + patience,
        };
        let is_settled = |state: &State| state.has_failed || self.is_fresh(asked, accounts);
        // Whoever waits in vain finds what is held, or learns why there is nothing.
        let _ = tokio::time::timeout_at(deadline.into(), state.wait_for(is_settled)).await;
    }

    /// Waits until somebody waits for the next look.
    pub(super) async fn woken(&self) {
        while !self.is_waited_for() {
            self.wake.notified().await;
        }
    }

    /// Somebody waits for the next look.
    pub(super) fn is_waited_for(&self) -> bool {
        self.is_waited_for.load(Ordering::SeqCst)
    }

    /// Answers a question about these accounts from what is held.
    pub(super) fn read<T>(
        &self,
        accounts: &[AccountId],
        now_ms: i64,
        answer: impl FnOnce(&Reading<'_>) -> T,
    ) -> Result<T, NoStandings> {
        let held = self.held();
        let accounts = accounts.iter().map(AccountId::as_str);
        Ok(answer(&held.reading(accounts, now_ms, self.ages_max.standing)?))
    }

    /// Greatest age of a look for a question.
    pub(super) fn look_age_max(&self) -> Duration {
        self.ages_max.look
    }

    /// A look begins, and when.
    pub(super) fn look_begins(&self) -> Instant {
        // Whoever says so later has asked after this moment, and needs the next look.
        self.is_waited_for.store(false, Ordering::SeqCst);
        self.attempt_begins()
    }

    /// An attempt to read begins, and when.
    pub(super) fn attempt_begins(&self) -> Instant {
        let began = Instant::now();
        self.state.send_modify(|state| state.running_since = Some(began));
        began
    }

    /// A look failed, or the first reading of all.
    pub(super) fn attempt_failed(&self) {
        self.state.send_modify(|state| {
            *state = State { running_since: None, has_failed: true, ..*state };
        });
    }

    /// Nothing is read until the next attempt.
    pub(super) fn attempt_ended(&self) {
        self.state.send_modify(|state| state.running_since = None);
    }

    /// Takes in accounts that were read.
    pub(super) fn take(&self, read: Accounts<'_>, fresh: Fresh) {
        let changes: Changes = self.held().changes(read, fresh);
        if changes.is_empty() {
            return;
        }
        changes.unreadable().for_each(events::account_unreadable);
        // Those who ask wait for the exchange alone: what is replaced is dropped afterwards.
        let replaced = self.change(|held| held.apply(changes));
        drop(replaced);
    }

    /// The timelines of all accounts reach to this instant now, milliseconds since 1970 UTC.
    pub(super) fn reaches_to(&self, known_until_ms: i64) {
        self.change(|held| held.known_until_ms = known_until_ms);
    }

    /// A look has found these accounts changed, and reads them: it holds of all others.
    pub(super) fn look_found(&self, look: HeldLook, changed: BTreeSet<String>) {
        self.change(|held| held.look_found(look, changed));
        // Those who wait look again at what is held.
        self.state.send_modify(|_| {});
    }

    /// All that a look has told of is held.
    pub(super) fn look_succeeded(&self, look: HeldLook) {
        self.change(|held| held.look_succeeded(look));
        let looked = Some(look.began);
        let state = State { looked, running_since: None, has_failed: false };
        self.state.send_replace(state);
    }

    /// Sets the metrics of what is held.
    pub(super) fn tell(&self) {
        let held = self.held();
        let age = held.look.map(|look| look.began.elapsed());
        telemetry::held(held.organizations(), age);
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        // What is held is whole between two changes, also if a thread panicked meanwhile.
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }
}
