//! The messages between the parts of the worker: one closed enum per receiver.

use std::collections::BTreeSet;

use crossbeam_channel::Sender;
use tokio::sync::{Notify, mpsc, oneshot};

use super::halt::Halt;
use super::librdkafka::TopicDescription;
use super::opening::{Opening, Refusal};
use super::rebalance::Tenure;
use crate::core::load::{Loaded, Missing};
use crate::core::rollup::{LaneRows, Progress};
use crate::core::takeover::Claim;

/// Messages to a worker thread.
pub(super) enum ToWorker {
    /// A partition of its queue starts: open its lane, seek and resume.
    Open(Tenure, Box<Opening>),
    /// These lanes are frozen: they apply nothing more and wait for their last flush.
    Freeze(BTreeSet<Tenure>),
    /// The group has moved partitions: the next gap of every lane is not trusted, including lanes
    /// that stay.
    Doubt,
    /// These lanes are gone.
    Forget(BTreeSet<Tenure>),
    /// Yield the rows of every lane.
    Drain(oneshot::Sender<Vec<LaneReport>>),
    /// The last drain of these lanes is stored.
    Flushed(BTreeSet<Tenure>),
    /// The answer to a lane's load.
    Loaded(Tenure, Box<(Missing, Loaded)>),
    /// A probe of the log has shown that `[from, to)` holds nothing.
    SkipTo { tenure: Tenure, from: u64, to: u64 },
    /// A probe of the log has found a record that the lane waits for.
    Reread(Tenure),
    /// End the thread; remaining lanes are dropped without a flush.
    Exit,
}

/// One lane at a drain, with its rows.
pub(super) struct LaneReport {
    pub(super) lane: DrainedLane,
    pub(super) rows: LaneRows,
}

/// One lane at a drain.
#[derive(Clone, Debug)]
pub(super) struct DrainedLane {
    pub(super) tenure: Tenure,
    pub(super) worker: usize,
    /// The lane's progress when it was opened.
    pub(super) opened: Progress,
    /// The zone data's claim with which the lane was opened.
    pub(super) claim: Claim,
    pub(super) high_watermark: u64,
    /// The log goes on, but no records come: the rest may hold nothing.
    pub(super) is_stalled: bool,
    /// The high watermark was requested, and is not outdated.
    pub(super) is_end_known: bool,
    /// There was nothing more to read when the log's end was last requested.
    pub(super) is_caught_up: bool,
    /// Why the lane stands still, if it is halted.
    pub(super) halt: Option<Halt>,
    /// The record of this drain is a completed flush; decided after the drain.
    pub(super) completes_flush: bool,
}

impl DrainedLane {
    /// Records between this progress and the end of the log; `None` where that is not known.
    pub(super) fn lag(&self, next_offset: u64) -> Option<u64> {
        self.is_end_known.then(|| self.high_watermark.saturating_sub(next_offset))
    }
}

/// Sends messages to a worker.
#[derive(Clone)]
pub(super) struct WorkerHandle(pub(super) Sender<ToWorker>);

impl WorkerHandle {
    /// Sends a message. A worker that is gone has reported why.
    pub(super) fn send(&self, message: ToWorker) {
        let _ = self.0.send(message);
    }
}

/// Messages to the consumer thread.
pub(super) enum ToConsumer {
    /// Join the group, to read the topic as it is.
    Subscribe(TopicDescription),
    /// The start of a partition is known, or why it cannot start.
    Started { tenure: Tenure, outcome: Result<Opening, Refusal> },
    /// A partition was sought, and its first fetch is answered.
    Reading(Tenure),
    /// The lanes of this release are flushed.
    Released(u64),
    /// The topic as its brokers describe it.
    TopicSeen(TopicDescription),
    /// Something is unusual: the topic is to be described soon.
    LookAtTopic,
    /// The client has given up this partition.
    Broken(Tenure),
    /// The log of this partition is not the one that was counted.
    Differs(Tenure, Refusal),
    /// The process ends: freeze all lanes, begin nothing new, and reply with the held ones.
    Finish(oneshot::Sender<BTreeSet<Tenure>>),
    /// Leave the group and end the thread.
    Close,
}

/// Sends messages to the consumer thread.
#[derive(Clone)]
pub(super) struct ConsumerHandle(pub(super) Sender<ToConsumer>);

impl ConsumerHandle {
    /// Sends a message. A consumer thread that is gone has reported why.
    pub(super) fn send(&self, message: ToConsumer) {
        let _ = self.0.send(message);
    }
}

/// Requests to the coordinator, besides its ticks.
pub(super) enum FlushRequest {
    /// Flush and commit, then notify the consumer thread that this release is done.
    Release(u64),
    /// Flush and commit for the last time.
    Finish,
}

/// What workers tell the coordinator about when to flush.
#[derive(Debug, Default)]
pub(super) struct FlushHints {
    /// Rows should not wait for the next tick: there are very many, or a start has delayed them.
    pub(super) rows_abound: Notify,
    /// A worker has counted all that its partitions hold: no more records come that would change
    /// the same rows again, so that they need not wait as long as in a backlog.
    pub(super) log_ended: Notify,
}

/// Fatal causes within the process.
#[derive(Clone, Debug)]
pub(super) enum Fatal {
    Client { reason: String },
    ThreadStuck { thread: String, seconds: u64 },
    ThreadPanicked { thread: String },
    LaneStuck { source: String, offset: u64 },
}

/// Notifies [`super::run`] that the process must end.
#[derive(Clone, Debug)]
pub(super) struct FatalSender(pub(super) mpsc::UnboundedSender<Fatal>);

impl FatalSender {
    /// Only the first cause is used; later ones are mostly its consequences.
    pub(super) fn send(&self, fatal: Fatal) {
        let _ = self.0.send(fatal);
    }
}
