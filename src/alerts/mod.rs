//! Alerts: the worker that counts an account judges its rules after each flush that touched it, and
//! at the local midnights and edges of months that pass.
//!
//! ```text
//!   flushes -> inbox -> task: read figures -> judge -> store -> outbox -> webhooks, Kafka
//!                        ^                                        |
//!                        '--- midnights, partitions that come     '-> who has got what, stored
//! ```
//!
//! What was found is stored before it is sent, and what is stored is all that is known of the past:
//! a process that takes a partition over reads it, judges all of its accounts, and sends what
//! nobody has got yet. A former owner that was held up may store more after that: what is stored of
//! an account is handed on whenever the account is judged. Nothing is judged before a partition is
//! counted as far as it was judged before: a database that is counted anew passes through figures
//! of the past. And nothing is sent of what was so when alerts were switched on first.
//!
//! What it never does: compute a figure (the reports do), or hold up counting: flushes only leave
//! word, in memory that the number of accounts bounds.

mod inbox;
mod judge;
mod lines;
mod outbox;
mod sources;
mod task;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::inbox::Inbox;
pub use self::inbox::{MayBegin, SourceFlush};
pub use self::judge::{Judge, Judgement, Touch};
use self::outbox::Outbox;
pub use self::outbox::{AlertSenders, SendError, Target, targets};
use self::task::Task;
use crate::config::Config;
use crate::store::Store;

/// The alerts of the partitions that this process counts. Dropped, nothing more is judged.
pub struct AlertWatch {
    inbox: Arc<Inbox>,
    _running: AbortOnDropHandle<()>,
}

impl AlertWatch {
    /// Starts judging and sending; `None` where alerts are off. Call it within a runtime.
    ///
    /// # Errors
    /// Where a target cannot be used.
    pub fn start(
        config: &Config,
        store: &Store,
        may_begin: MayBegin,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<(Self, AlertSenders)>> {
        if !config.alerts.enabled {
            return Ok(None);
        }
        let targets = targets(config)?.into_iter().map(Arc::new).collect();
        let inbox = Arc::new(Inbox::default());
        let (outbox, senders) = Outbox::start(targets, store, stop);
        let task = Task::new(config, store.clone(), Arc::clone(&inbox), outbox, may_begin);
        let stop = stop.clone();
        let running = tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run() => {}
            }
        });
        Ok(Some((Self { inbox, _running: AbortOnDropHandle::new(running) }, senders)))
    }

    /// A flush is complete. `held` are all partitions of this process, with what of each was
    /// written.
    pub fn flushed(&self, held: Vec<SourceFlush>) {
        self.inbox.put(held);
    }
}
