//! Waiting for something outside: backoff with jitter, one log line per change of state, and the
//! reason on `/readyz`.
//!
//! It never gives up; a caller with a deadline drops the future.

use std::fmt::Display;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::health::Health;
use crate::telemetry::{events, metrics};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// A reason that changes is logged no more often than this; `/readyz` always has the latest.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A service that this process depends on, shared by all waiters.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// Name on `/readyz` and in metrics.
    component: &'static str,
    /// The failure without it, as in "cannot write to ClickHouse".
    trouble: &'static str,
    health: Arc<Health>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    reason: String,
    /// When the reason was logged last.
    told_at: Option<Instant>,
}

impl Dependency {
    pub(crate) fn new(
        component: &'static str,
        trouble: &'static str,
        health: Arc<Health>,
    ) -> Arc<Self> {
        Arc::new(Self { component, trouble, health, state: Mutex::default() })
    }

    /// Retries until the attempt succeeds.
    pub(crate) async fn until_ok<T, E, F>(self: &Arc<Self>, mut attempt: impl FnMut() -> F) -> T
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let mut wait = Wait::new(Arc::clone(self));
        loop {
            match attempt().await {
                Ok(value) => {
                    wait.succeeded();
                    return value;
                }
                Err(error) => wait.after(&error).await,
            }
        }
    }

    /// The current failure; `None` if there is none.
    pub(super) fn reason(&self) -> Option<String> {
        let state = self.state();
        (state.waiting > 0).then(|| format!("{}: {}", self.trouble, state.reason))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between calls, so a panic elsewhere has not broken it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, reason: String, is_first: bool) {
        let mut state = self.state();
        state.waiting += usize::from(is_first);
        if state.reason == reason {
            return;
        }
        self.health.not_ready(self.component, format!("{}: {reason}", self.trouble));
        // Some reasons count attempts or milliseconds and are never the same twice.
        if state.told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_INTERVAL) {
            state.told_at = Some(Instant::now());
            events::waiting(self.component, self.trouble, &reason);
        }
        state.reason = reason;
    }

    fn ended(&self, is_success: bool) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(1);
        if state.waiting > 0 {
            return;
        }
        *state = State::default();
        self.health.ready(self.component);
        if is_success {
            events::waiting_ended(self.component);
        }
    }
}

/// The wait of one caller. It ends when it is dropped, because the attempt has succeeded or is no
/// longer needed.
#[derive(Debug)]
pub(super) struct Wait {
    dependency: Arc<Dependency>,
    failures: u32,
    is_success: bool,
}

impl Wait {
    pub(super) fn new(dependency: Arc<Dependency>) -> Self {
        Self { dependency, failures: 0, is_success: false }
    }

    /// An attempt failed: reports it, and waits before the next one.
    pub(super) async fn after(&mut self, error: &impl Display) {
        metrics::retried(self.dependency.component);
        self.dependency.failed(error.to_string(), self.failures == 0);
        let delay = delay_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(delay).await;
    }

    /// The attempt has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.is_success = true;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.failures > 0 {
            self.dependency.ended(self.is_success);
        }
    }
}

/// The delay doubles with each failure up to a bound, times a random factor between one half and
/// one, so that workers do not all retry at the same instant.
fn delay_after(failures: u32) -> Duration {
    let full = FIRST_DELAY.saturating_mul(1 << failures.min(16)).min(DELAY_MAX);
    // The standard library seeds each `RandomState` differently, which is random enough for jitter.
    let random = u32::from(u16::try_from(RandomState::new().hash_one(failures) >> 48).unwrap_or(0));
    full / 2 + full / 2 * random / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound() {
        for failures in 0..40 {
            let full = FIRST_DELAY.saturating_mul(1 << failures.min(16)).min(DELAY_MAX);
            let delay = delay_after(failures);
            assert!(delay >= full / 2 && delay <= full, "{failures} failures wait {delay:?}");
        }
    }

    #[tokio::test]
    async fn readiness_says_what_is_waited_for_and_returns_when_all_are_served() {
        let health = Arc::new(Health::new());
        let store = Dependency::new("store", "cannot write", Arc::clone(&health));
        let mut abandoned = Wait::new(Arc::clone(&store));
        abandoned.after(&"refused").await;
        assert_eq!(health.waiting_for()["store"], "cannot write: refused");

        let mut failures = 0;
        let answer = store
            .until_ok(|| {
                failures += 1;
                let result = if failures < 4 { Err("still refused") } else { Ok(failures) };
                async move { result }
            })
            .await;
        assert_eq!(answer, 4);
        assert_eq!(
            health.waiting_for()["store"],
            "cannot write: still refused",
            "the other one still waits"
        );
        drop(abandoned);
        assert!(health.waiting_for().is_empty());
    }
}
