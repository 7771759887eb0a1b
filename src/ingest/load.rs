//! Loads of what a lane does not hold, retried until they succeed.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::messages::{ToWorker, WorkerHandle};
use super::rebalance::Tenure;
use super::retry::Dependency;
use crate::core::load::Missing;
use crate::core::rollup::Source;
use crate::store::Store;
use crate::telemetry::metrics;

/// Loads for one worker.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) store: Store,
    pub(super) runtime: Handle,
    pub(super) dependency: Arc<Dependency>,
    pub(super) worker: WorkerHandle,
}

impl Loader {
    /// Begins a load; the answer arrives as a message.
    pub(super) fn load(&self, tenure: Tenure, source: Source, missing: Missing) -> AbortHandle {
        let loader = self.clone();
        let task = self.runtime.spawn(async move {
            let began = Instant::now();
            let loaded = loader.dependency.until_ok(|| loader.store.load(&source, &missing)).await;
            metrics::loaded(began.elapsed());
            loader.worker.send(ToWorker::Loaded(tenure, Box::new((missing, loaded))));
        });
        task.abort_handle()
    }
}
