//! What the parts of the shell say to one another: one closed list for each listener.

use std::collections::BTreeSet;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, oneshot};

use super::headway::Halt;
use super::rebalance::Tenure;
use super::start::{Opening, Refusal};
use super::topic::TopicDescription;
use crate::core::load::{Loaded, Missing};
use crate::core::rollup::{LaneRows, Progress};
use crate::core::takeover::Claim;

/// What a worker is told.
pub(super) enum ToWorker {
    /// A partition of its queue starts: open its lane, seek and resume.
    Open(Tenure, Box<Opening>),
    /// These lanes apply nothing more, and wait for their last flush.
    Freeze(BTreeSet<Tenure>),
    /// The group has moved partitions: the next gap of any lane is doubted, also of those that stay.
    Doubt,
    /// These lanes are gone.
    Forget(BTreeSet<Tenure>),
    /// Yield the rows of every lane.
    Drain(oneshot::Sender<Vec<LaneReport>>),
    /// The last drain of these lanes is stored.
    Flushed(BTreeSet<Tenure>),
    /// What a lane lacked has come.
    Loaded(Tenure, Box<(Missing, Loaded)>),
    /// A look at the log has shown that `[from, to)` holds nothing.
    SkipTo { tenure: Tenure, from: u64, to: u64 },
    /// A look at the log has shown a record where the lane waits for one.
    Reread(Tenure),
    /// End the thread; lanes that are left are dropped as they are.
    Exit,
}

/// One lane at a drain, and what it yields.
pub(super) struct LaneReport {
    pub(super) lane: DrainedLane,
    pub(super) rows: LaneRows,
}

/// One lane at a drain.
#[derive(Clone, Debug)]
pub(super) struct DrainedLane {
    pub(super) tenure: Tenure,
    pub(super) worker: usize,
    /// Where the lane stood when it was opened.
    pub(super) opened: Progress,
    /// Of the zone data, with which the lane was opened.
    pub(super) claim: Claim,
    pub(super) high_watermark: u64,
    /// The log goes on, but nothing comes: its rest may hold nothing.
    pub(super) is_stalled: bool,
    /// The high watermark was asked for, and is not outdated.
    pub(super) is_end_known: bool,
    /// There was nothing more to read when the log was asked for its end lately.
    pub(super) is_caught_up: bool,
    /// Why it stands still, where it does and should not.
    pub(super) halt: Option<Halt>,
    /// What is recorded of this drain is a completed flush; decided after it.
    pub(super) completes_flush: bool,
}

impl DrainedLane {
    /// How far this progress is behind the end of the log; `None` where that is not known.
    pub(super) fn lag(&self, next_offset: u64) -> Option<u64> {
        self.is_end_known.then(|| self.high_watermark.saturating_sub(next_offset))
    }
}

/// Sends messages to a worker.
#[derive(Clone)]
pub(super) struct WorkerHandle(pub(super) Sender<ToWorker>);

impl WorkerHandle {
    /// Sends a message. A worker that is gone has told why it went.
    pub(super) fn send(&self, message: ToWorker) {
        let _ = self.0.send(message);
    }
}

/// What the consumer thread is told.
pub(super) enum ToConsumer {
    /// Join the group, to read the topic as it is.
    Subscribe(TopicDescription),
    /// It is known where a partition starts, or why it does not.
    Started { tenure: Tenure, outcome: Result<Opening, Refusal> },
    /// A partition is sought, and its first fetch is answered.
    Reading(Tenure),
    /// The lanes of this release are flushed.
    Released(u64),
    /// What the brokers say about the topic.
    TopicSeen(TopicDescription),
    /// Something is odd: look at the topic soon.
    LookAtTopic,
    /// The client has given this partition up.
    Broken(Tenure),
    /// The log of this partition is not the one that was counted.
    Differs(Tenure, Refusal),
    /// The process ends: freeze all lanes, begin nothing new, and answer which are held.
    Finish(oneshot::Sender<BTreeSet<Tenure>>),
    /// Leave the group and end the thread.
    Close,
}

/// Sends messages to the consumer thread.
#[derive(Clone)]
pub(super) struct ConsumerHandle(pub(super) Sender<ToConsumer>);

impl ConsumerHandle {
    /// Sends a message. A consumer thread that is gone has told why it went.
    pub(super) fn send(&self, message: ToConsumer) {
        let _ = self.0.send(message);
    }
}

/// What the coordinator is asked for besides its ticks.
pub(super) enum FlushRequest {
    /// Flush and commit, then tell the consumer thread that this release is done.
    Release(u64),
    /// Flush and commit for the last time.
    Finish,
}

/// What ends the process from within.
#[derive(Clone, Debug)]
pub(super) enum Fatal {
    Client { reason: String },
    ThreadStuck { thread: String, seconds: u64 },
    ThreadPanicked { thread: String },
    LaneStuck { source: String, offset: u64 },
}

/// Tells [`super::run`] that the process must end.
#[derive(Clone, Debug)]
pub(super) struct FatalSender(pub(super) mpsc::UnboundedSender<Fatal>);

impl FatalSender {
    /// The first cause counts; later ones are mostly its consequences.
    pub(super) fn send(&self, fatal: Fatal) {
        let _ = self.0.send(fatal);
    }
}
