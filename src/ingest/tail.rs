//! Probes the end of a log that seems to hold nothing more.
//!
//! Aborted transactions, their markers and compacted records leave offsets that are never delivered
//! to a consumer. In the middle of the log the next record shows the gap; at the end nothing does,
//! and the lag would stay above 0 for ever. So a partition that gets no records although its log
//! goes on is read again by a separate short-lived consumer, outside the group, that is notified of
//! the log's end: `enable.partition.eof` must not be set on the group's own consumer, because in
//! librdkafka 2.12 an error message corrupts the position from which a pause resumes (its issue
//! 4844).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Context, probe_properties};
use super::librdkafka::{Message, Queue, forward_partition};
use super::messages::{ToWorker, WorkerHandle};
use super::rebalance::Tenure;
use super::seek::partition_list;
use crate::config;
use crate::telemetry::events;

/// Time limit of one probe.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the next messages of a probe.
const TAKE_WAIT: Duration = Duration::from_millis(100);

/// Messages taken at once.
const TAKE_MAX: usize = 64;

/// A lane that gets no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stalled {
    pub(super) tenure: Tenure,
    pub(super) worker: usize,
    /// Its next offset.
    pub(super) next_offset: u64,
}

/// Content of the log from a lane's next offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// Nothing up to this offset, its current end.
    EndsAt(u64),
    /// A record, which the group's consumer should have delivered.
    Record,
    /// Unreadable data, so the rest of the log is not empty.
    Unreadable,
}

/// Serves probe requests, one after the other.
pub(super) async fn watch_tails(
    kafka: config::Kafka,
    workers: Vec<WorkerHandle>,
    mut requests: mpsc::Receiver<Vec<Stalled>>,
    stop: CancellationToken,
) {
    loop {
        let stalled = tokio::select! {
            () = stop.cancelled() => return,
            request = requests.recv() => match request {
                Some(stalled) => stalled,
                None => return,
            },
        };
        let (asked, kafka) = (stalled.clone(), kafka.clone());
        let findings = match tokio::task::spawn_blocking(move || look(&kafka, &asked)).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(error)) => {
                // The lane is still stalled at the next flush, and is probed again.
                events::tail_look_failed(&error.to_string());
                continue;
            }
            Err(error) => {
                events::tail_look_failed(&error.to_string());
                continue;
            }
        };
        for Stalled { tenure, worker, next_offset: from } in stalled {
            match findings.get(&tenure.partition) {
                Some(Finding::EndsAt(to)) if *to > from => {
                    workers[worker].send(ToWorker::SkipTo { tenure, from, to: *to });
                }
                Some(Finding::Record) => workers[worker].send(ToWorker::Reread(tenure)),
                Some(Finding::EndsAt(_) | Finding::Unreadable) | None => {}
            }
        }
    }
}

/// Reads from each lane's next offset to the first record or the end. Lanes without a result in
/// time are left out.
fn look(kafka: &config::Kafka, stalled: &[Stalled]) -> Result<BTreeMap<u32, Finding>, KafkaError> {
    let client =
        Arc::new(Client::from_config_and_context(&probe_properties(kafka), Context::of(kafka))?);
    // Closing must never wait for an answer to a rebalance.
    client.context().close();
    let mut queue = Queue::new(Arc::clone(&client));
    for lane in stalled {
        forward_partition(&client, &kafka.topic, lane.tenure.partition, &queue.target())
            .map_err(|error| KafkaError::Seek(error.to_string()))?;
    }
    client.assign(&partition_list(
        &kafka.topic,
        stalled.iter().map(|lane| (lane.tenure.partition, lane.next_offset)),
    )?)?;
    let mut findings = BTreeMap::new();
    let deadline = Instant::now() + LOOK_TIMEOUT;
    while findings.len() < stalled.len() && Instant::now() < deadline {
        for message in queue.take(TAKE_MAX, TAKE_WAIT).messages() {
            match message {
                Message::Record { partition, .. } => {
                    findings.entry(partition).or_insert(Finding::Record);
                }
                Message::Event(event) if event.code == RDKafkaErrorCode::PartitionEOF => {
                    if let Some(offset) = event.offset {
                        findings.entry(event.partition).or_insert(Finding::EndsAt(offset));
                    }
                }
                // librdkafka skips a damaged batch, up to the end of the log if only markers
                // follow.
                Message::Event(event) => {
                    findings.entry(event.partition).or_insert(Finding::Unreadable);
                }
            }
        }
    }
    client.unassign()?;
    Ok(findings)
}
