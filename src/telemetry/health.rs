//! The state behind `/healthz` and `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of every component that readiness depends on. Shared by the worker, which sets it, and
/// the API, which shows it.
#[derive(Debug, Default)]
pub struct Health {
    waiting: Mutex<BTreeMap<&'static str, String>>,
    degraded: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// A process that is ready as long as nothing is reported.
    pub fn new() -> Self {
        Self::default()
    }

    /// The component is not ready, and why: one sentence for an operator.
    pub fn not_ready(&self, component: &'static str, reason: impl Into<String>) {
        lock(&self.waiting).insert(component, reason.into());
    }

    /// The component is ready.
    pub fn ready(&self, component: &'static str) {
        lock(&self.waiting).remove(component);
    }

    /// Components that are not ready, with the reason; empty where the process is ready.
    pub fn waiting_for(&self) -> BTreeMap<&'static str, String> {
        lock(&self.waiting).clone()
    }

    /// The process is ready, but the component found something that makes figures wrong until an
    /// operator corrects it: one sentence.
    pub fn degraded(&self, component: &'static str, reason: impl Into<String>) {
        lock(&self.degraded).insert(component, reason.into());
    }

    /// The component no longer finds anything wrong.
    pub fn restored(&self, component: &'static str) {
        lock(&self.degraded).remove(component);
    }

    /// Components that have found something wrong, with the reason. They do not affect readiness.
    pub fn degradations(&self) -> BTreeMap<&'static str, String> {
        lock(&self.degraded).clone()
    }
}

fn lock<'a>(
    map: &'a Mutex<BTreeMap<&'static str, String>>,
) -> MutexGuard<'a, BTreeMap<&'static str, String>> {
    // A map is consistent between calls, so a panic elsewhere has not broken it.
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
