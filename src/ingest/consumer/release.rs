//! Releasing partitions once they are flushed or must be given up, and leaving the group at the
//! end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::{ConsumerThread, POLL_WAIT};
use crate::ingest::client::{Client, is_cooperative, unassign};
use crate::ingest::messages::{FlushRequest, ToWorker};
use crate::ingest::rebalance::{Release, ReleaseReason, Tenure};
use crate::ingest::seek::partition_list;
use crate::telemetry::events;

/// Time limit for others to give up a client that is being closed: longer than a broker request may
/// take.
const LAST_USE_TIMEOUT: Duration = Duration::from_secs(7);

impl ConsumerThread {
    /// Flushes partitions and opens them again.
    pub(super) fn reopen(&mut self, partitions: &[u32]) {
        if self.state.is_finishing {
            return;
        }
        let is_all = !is_cooperative(&self.client);
        let waiting: BTreeSet<Tenure> =
            self.state.releases.values().flat_map(Release::tenures).collect();
        let tenures: Vec<(Tenure, usize)> = self
            .state
            .holdings
            .iter()
            .filter(|held| is_all || partitions.contains(&held.tenure.partition))
            .map(|held| (held.tenure, held.worker))
            .filter(|(tenure, _)| !waiting.contains(tenure))
            .collect();
        if tenures.is_empty() {
            return;
        }
        let partitions: Vec<u32> = tenures.iter().map(|(tenure, _)| tenure.partition).collect();
        events::reopening(&partitions);
        self.release(Release {
            reason: ReleaseReason::Reopen,
            tenures,
            partitions,
            deadline: None,
        });
    }

    /// Freezes lanes and requests their last flush.
    pub(super) fn release(&mut self, release: Release) {
        self.tell_workers(&release.tenures, ToWorker::Freeze);
        self.state.last_release += 1;
        self.state.releases.insert(self.state.last_release, release);
        // A coordinator that is gone has reported why; the deadline ends the wait.
        let _ = self.coordinator.send(FlushRequest::Release(self.state.last_release));
    }

    /// The last flush of a release is done, or its deadline has passed.
    pub(super) fn released(&mut self, release: u64) {
        let Some(release) = self.state.releases.remove(&release) else { return };
        self.tell_workers(&release.tenures, ToWorker::Forget);
        match release.reason {
            ReleaseReason::Revoked => self.let_go(&release.partitions),
            ReleaseReason::Reopen => {
                let holdings = &mut self.state.holdings;
                let still_ours: Vec<u32> = release
                    .tenures
                    .iter()
                    .filter(|(tenure, _)| holdings.current(*tenure).is_some())
                    .map(|(tenure, _)| tenure.partition)
                    .collect();
                if !still_ours.is_empty() && !self.state.is_finishing {
                    self.let_go(&still_ours);
                    self.begin(&still_ours);
                }
            }
        }
        self.tell_partitions();
    }

    pub(super) fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        let late = |release: &Release| release.deadline.is_some_and(|deadline| deadline <= now);
        let overdue: Vec<u64> = self
            .state
            .releases
            .iter()
            .filter(|(_, release)| late(release))
            .map(|(&number, _)| number)
            .collect();
        for number in overdue {
            events::revoke_deadline_passed(
                &self.state.releases[&number].partitions,
                self.revoke_deadline,
            );
            self.released(number);
        }
    }

    pub(super) fn lost(&mut self, partitions: &[u32]) {
        // A waiting revocation is overtaken: the partitions are gone already.
        let overtaken: Vec<u64> = self
            .state
            .releases
            .iter()
            .filter(|(_, release)| release.reason == ReleaseReason::Revoked)
            .map(|(&number, _)| number)
            .collect();
        for number in overtaken {
            self.released(number);
        }
        let tenures = self.end_tenures(partitions);
        self.tell_workers(&tenures, ToWorker::Forget);
        self.let_go(partitions);
    }

    /// Leaves the group. All other users of the client have released it by now; if one has not, the
    /// process ends without leaving, and the group notices after the session timeout.
    pub(super) fn leave(self) {
        let Self { client, workers, starter, heartbeat, topic, .. } = self;
        heartbeat.end();
        drop((workers, starter));
        client.context().close();
        if let Err(error) = let_go_of_all(&client, &topic) {
            events::rebalance_failed(&error.to_string());
        }
        close(client);
    }
}

/// Closes the client once nothing else uses it. An abandoned broker request may take a while.
fn close(mut client: Arc<Client>) {
    let deadline = Instant::now() + LAST_USE_TIMEOUT;
    loop {
        client = match Arc::try_unwrap(client) {
            Ok(client) => return drop(client),
            Err(client) if Instant::now() < deadline => client,
            Err(client) => return events::client_still_used(Arc::strong_count(&client) - 1),
        };
        std::thread::sleep(POLL_WAIT);
    }
}

/// Unassigns all partitions, which also answers a pending revocation.
fn let_go_of_all(client: &Client, topic: &str) -> KafkaResult<()> {
    let assigned = client.assignment()?;
    let partitions = assigned
        .elements()
        .iter()
        .filter_map(|element| u32::try_from(element.partition()).ok())
        .collect();
    let partitions: Vec<u32> = partitions;
    unassign(
        client,
        &partition_list(topic, partitions.into_iter().map(|partition| (partition, 0)))?,
    )
}
