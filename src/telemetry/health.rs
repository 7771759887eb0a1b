//! What `/healthz` and `/readyz` say.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The state of every component that readiness depends on. Shared by the worker, which sets it, and the API, which shows
/// it.
#[derive(Debug, Default)]
pub struct Health {
    waiting: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// A process that is ready as long as nothing is reported.
    pub fn new() -> Self {
        Self::default()
    }

    /// The component is not ready, and why: one sentence for an operator.
    pub fn not_ready(&self, component: &'static str, reason: impl Into<String>) {
        self.lock().insert(component, reason.into());
    }

    /// The component is ready.
    pub fn ready(&self, component: &'static str) {
        self.lock().remove(component);
    }

    /// Components that are not ready, with the reason; empty where the process is ready.
    pub fn waiting_for(&self) -> BTreeMap<&'static str, String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        // A map is whole between any two calls, so a panic elsewhere has not broken it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
