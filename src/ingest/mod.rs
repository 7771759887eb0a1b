//! Kafka to rollups: the threads and tasks around the lanes.
//!
//! ```text
//!             rebalances                 batches                     rows                       INSERTs
//! librdkafka ------------> consumer ---------------> workers (own -----------> coordinator ----------------> ClickHouse
//!                           thread   open, freeze,   the lanes)   <- flushed      (task)     then progress
//!                              |     forget             |                            |
//!                              '-- starts (tasks) <-----+-- loads (tasks) <----------+---- then Kafka's offsets
//! ```
//!
//! - The **consumer thread** ([`consumer`]) only polls, and turns the group's decisions into
//!   messages ([`rebalance`]).
//! - A **worker thread** ([`worker`]) owns its lanes by value and takes batches from a queue of its
//!   own ([`librdkafka`]).
//! - The **coordinator** ([`flush`]) drains all lanes at each tick, and makes their rows durable.
//! - Tasks determine where a partition starts ([`start`]), load what a lane lacks ([`load`]), watch
//!   the topic ([`topic`]), probe a log that seems to hold nothing more ([`tail`]), find accounts
//!   that several partitions count ([`split_accounts`]) and request the ends of the logs
//!   ([`ends`]). A **watchdog** ([`watchdog`]) watches the threads. Partitions that stand still are
//!   reported ([`headway`]).
//!
//! What it never does: count (the lanes do), decide by the group's committed offsets, wait for
//! ClickHouse in a callback, or drop a row. Failures of Kafka and ClickHouse are retried for ever,
//! and `/readyz` reports them.

mod access;
mod baseline;
mod batch;
mod client;
mod client_errors;
mod commit;
mod consumer;
mod ends;
mod flush;
mod headway;
mod librdkafka;
mod load;
mod messages;
mod rebalance;
mod retry;
mod seek;
mod slot;
mod split_accounts;
mod start;
mod supervisor;
mod tail;
mod topic;
mod watchdog;
mod worker;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::access::{Attempt, try_access};
pub use self::baseline::read_batches;
pub(crate) use self::client::probe_properties;
pub(crate) use self::client_errors::NewestCause;
use self::messages::{Fatal, FatalSender};
pub(crate) use self::retry::Dependency;
use self::supervisor::Supervisor;
use crate::config::Config;
use crate::core::id::UserKeySeed;
use crate::store::Store;
use crate::telemetry::health::Health;

/// Why the worker ended. Nothing is lost in any case: what was not written is counted again by the
/// next start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The topic does not exist.
    #[error(
        "topic {topic:?} does not exist on Kafka at {brokers}; create it (`kafka-topics.sh \
        --create --topic {topic} \
         --partitions 4 --bootstrap-server {brokers}`), or set kafka.topic to the one that holds \
         the events"
    )]
    TopicMissing { topic: String, brokers: String },
    /// librdkafka refuses the configuration.
    #[error("the Kafka client refuses its configuration: {0}; see [kafka] and [kafka.properties]")]
    ClientConfig(String),
    /// The topic's name is invalid.
    #[error("kafka.topic = {0:?} is no topic name: it contains a zero byte")]
    TopicName(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The Kafka client failed for good.
    #[error("the Kafka client failed for good: {reason}; restart to go on")]
    Client { reason: String },
    /// A thread shows no sign of life.
    #[error("thread {thread} has shown no sign of life for {seconds} s; restart to go on")]
    ThreadStuck { thread: String, seconds: u64 },
    /// A thread ended by a panic, which is a defect of this program.
    #[error("thread {thread} panicked, see above; this is a defect of seatmeter, please report it")]
    ThreadPanicked { thread: String },
    /// A lane requests the same loads again and again, which is a defect of this program.
    #[error(
        "offset {offset} of {source_name} cannot be judged however much is loaded; this is a \
        defect of seatmeter, please report it"
    )]
    LaneStuck { source_name: String, offset: u64 },
    /// ClickHouse did not take the last flush in time.
    #[error(
        "stopped before the last events of {partitions} partitions were written, because {reason}; \
        they are counted again by \
         the next start, nothing is lost"
    )]
    NotWritten { partitions: usize, reason: String },
}

impl From<Fatal> for IngestError {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Client { reason } => Self::Client { reason },
            Fatal::ThreadStuck { thread, seconds } => Self::ThreadStuck { thread, seconds },
            Fatal::ThreadPanicked { thread } => Self::ThreadPanicked { thread },
            Fatal::LaneStuck { source, offset } => Self::LaneStuck { source_name: source, offset },
        }
    }
}

/// A process that is to count is not ready before it does: call this before readiness is served.
pub(crate) fn not_started(config: &Config, health: &Health) {
    consumer::not_joined(health, &config.kafka.group_id);
}

/// Counts the topic's events until `shutdown` is cancelled, then writes what was read, commits and
/// leaves the group. Users' keys are made with the database's `seed`.
///
/// After an error other than [`IngestError::TopicMissing`] and the configuration's, threads may
/// still run, some of them stuck: the caller must end the process.
pub async fn run(
    config: &Config,
    store: Store,
    seed: UserKeySeed,
    health: Arc<Health>,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    let (fatal, mut fatalities) = mpsc::unbounded_channel();
    let mut supervisor = Supervisor::start(config, (store, seed), health, FatalSender(fatal))?;
    let joined = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        fatal = fatalities.recv() => return Err(fatal.map_or(thread_gone(), IngestError::from)),
        joined = supervisor.join_group() => joined,
    };
    if joined.is_ok() {
        tokio::select! {
            () = shutdown.cancelled() => {}
            fatal = fatalities.recv() => return Err(fatal.map_or(thread_gone(), IngestError::from)),
        }
    }
    let stopped = supervisor.stop(config.ingest.revoke_deadline).await;
    joined.and(stopped)
}

/// All senders of fatal causes are gone, although each thread holds one.
fn thread_gone() -> IngestError {
    IngestError::ThreadPanicked { thread: "unknown".to_owned() }
}
