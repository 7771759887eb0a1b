//! Kafka to rollups: the threads and tasks around the lanes.
//!
//! ```text
//!          rebalances           batches              rows                INSERTs
//! librdkafka -------> consumer ----------> workers ---------> coordinator -------> ClickHouse
//!                      thread   open,      (own the <-flushed   (task)   progress
//!                        |      freeze,     lanes)                 |
//!                        |      forget        |                    |
//!                        '- starts (tasks) <--+- loads (tasks) <---+-> Kafka's offsets
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
mod error;
mod flush;
mod halt;
mod headway;
mod held_budget;
mod librdkafka;
mod load;
mod log_reader;
mod messages;
mod opening;
mod polled_client;
mod positions;
mod rebalance;
mod retry;
mod seek;
mod slot;
mod split_accounts;
mod start;
mod supervisor;
mod tail;
mod topic;
mod touched;
mod watchdog;
mod worker;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::access::{Attempt, try_access};
pub use self::baseline::read_batches;
pub(crate) use self::client::probe_properties;
pub(crate) use self::client_errors::NewestCause;
pub use self::error::IngestError;
pub use self::log_reader::{LogBounds, LogReader, ReadsPartition};
use self::messages::FatalSender;
pub use self::positions::Positions;
pub(crate) use self::retry::Dependency;
use self::supervisor::Supervisor;
use crate::alerts::{AlertWatch, MayBegin};
use crate::config::Config;
use crate::core::id::UserKeySeed;
use crate::store::Store;
use crate::telemetry::health::Health;

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
    let may_begin: MayBegin = Arc::new(|| true);
    run_watched(config, store, seed, health, (Arc::default(), may_begin), shutdown).await
}

/// As [`run`]; `positions` tells how far the partitions are read, and alerts are judged once they
/// may be.
///
/// # Errors
///
/// As [`run`].
pub async fn run_watched(
    config: &Config,
    store: Store,
    seed: UserKeySeed,
    health: Arc<Health>,
    (positions, may_begin): (Arc<Positions>, MayBegin),
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    let (fatal, mut fatalities) = mpsc::unbounded_channel();
    let fatal = FatalSender(fatal);
    let alerts = AlertWatch::start(config, &store, may_begin, &shutdown);
    let alerts = alerts.map_err(|error| IngestError::Alerts(format!("{error:#}")))?;
    let (alerts, senders) = alerts.unzip();
    let mut supervisor =
        Supervisor::start(config, (store, seed), (health, positions), alerts, fatal)?;
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
    let senders_end = async {
        if let Some(senders) = senders {
            senders.ended().await;
        }
    };
    let (stopped, ()) = tokio::join!(supervisor.stop(config.ingest.revoke_deadline), senders_end);
    joined.and(stopped)
}

/// All senders of fatal causes are gone, although each thread holds one.
fn thread_gone() -> IngestError {
    IngestError::ThreadPanicked { thread: "unknown".to_owned() }
}
