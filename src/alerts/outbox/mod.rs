//! Sends events to their targets, each at its own pace: a target that does not answer holds up
//! nobody else.
//!
//! An event is sent until its target has acknowledged it, and then that is stored. What a process
//! leaves unsent is read from the tables by the next owner of the partition. A queue is bounded:
//! what there is no room for stays in the tables until there is.

mod attempt;
mod kafka;
mod queue;
mod target;
mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use self::attempt::SEND_FOR_MS;
pub use self::attempt::SendError;
use self::queue::Waiting;
pub use self::target::{Target, targets};
use crate::store::{Store, UnsentEvent};

/// How long the attempts under way, and the storing of how they went, may take after the stop
/// request.
const END_TIMEOUT: Duration = Duration::from_secs(12);

/// All targets.
pub(super) struct Outbox {
    targets: Vec<Arc<Target>>,
}

/// The tasks that send. They end at the stop request, or at once when this is dropped.
pub struct AlertSenders(JoinSet<()>);

impl AlertSenders {
    /// Waits after the stop request until what was begun is acknowledged and stored as such: what
    /// is not is sent again by the next owner.
    pub async fn ended(mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        // Whoever takes longer is left: its events are sent again.
        let _ = tokio::time::timeout(END_TIMEOUT, all).await;
    }
}

impl Outbox {
    /// Starts sending.
    pub(super) fn start(
        targets: Vec<Arc<Target>>,
        store: &Store,
        stop: &CancellationToken,
    ) -> (Self, AlertSenders) {
        let mut senders = JoinSet::new();
        for target in &targets {
            senders.spawn(Arc::clone(target).run(store.clone(), stop.clone()));
        }
        (Self { targets }, AlertSenders(senders))
    }

    /// The names of the targets.
    pub(super) fn names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.name().to_owned()).collect()
    }

    /// Since when a target is known, milliseconds since 1970 UTC: it gets nothing older.
    pub(super) fn known_since(&self, name: &str, since_ms: i64) {
        for target in self.targets.iter().filter(|target| target.name() == name) {
            target.known_since(since_ms);
        }
    }

    /// The partitions that this process holds: of others nothing more is sent.
    pub(super) fn hold(&self, sources: &BTreeSet<Arc<str>>) {
        self.targets.iter().for_each(|target| target.queue().hold(sources));
    }

    /// Hands on events of accounts of a partition, to the targets that are not done with them.
    pub(super) fn add(&self, source: &Arc<str>, events: Vec<UnsentEvent>) {
        for event in events {
            let event = Arc::new(event);
            for target in self.targets.iter().filter(|target| target.wants(&event)) {
                target.queue().add(Waiting::new(Arc::clone(source), Arc::clone(&event)));
            }
        }
    }

    /// A target has room again for what it had none for.
    pub(super) fn is_short(&self) -> bool {
        self.targets.iter().any(|target| target.queue().is_short())
    }

    /// What is unsent is handed on anew.
    pub(super) fn refilling(&self) {
        self.targets.iter().for_each(|target| target.queue().refilling());
    }
}
