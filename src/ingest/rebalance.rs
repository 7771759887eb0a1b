//! Which partitions this process holds, and what happens to them in a rebalance.
//!
//! Pure bookkeeping: the consumer thread acts on the answers of these types. A *tenure* is one
//! continuous assignment of a partition to this process. Everything in flight for a partition (a
//! start, a load, a flush, a probe) carries its tenure, so that an answer that arrives after the
//! partition was revoked, even if it was assigned again, is ignored.
//!
//! | what happens | lane | native assignment | after that |
//! |---|---|---|---|
//! | assigned | none yet | forwarded to a worker's queue, paused, assigned at offset 0 | started: progress, topic id and watermarks are loaded; then sought and resumed, or refused |
//! | revoked | frozen: applies nothing more | kept | the coordinator drains, flushes, commits; then the lane is dropped and the partition unassigned |
//! | revoked, deadline passed | dropped | unassigned | rows in flight are still written: late rows change nothing |
//! | lost (the group has given it away already) | dropped, nothing is written | unassigned | the new owner counts from the recorded progress |
//! | reopened (the client's position is broken, or the topic got more partitions) | frozen, flushed, dropped | unassigned and assigned again | started again, as a new tenure |
//! | refused (recreated topic, lost data) | dropped, nothing is written | kept, paused | waits for an operator |
//!
//! In a group with an eager assignor a revocation names every partition, and reopening one reopens
//! all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

/// A decision of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupEvent {
    /// These partitions are ours from now on; in an eager group, only these.
    Assigned(Vec<u32>),
    /// These partitions go to another member once we release them.
    Revoked(Vec<u32>),
    /// These partitions are no longer ours, and may have another owner already.
    Lost(Vec<u32>),
}

/// One continuous assignment of a partition to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tenure {
    pub(super) partition: u32,
    /// Grows with each assignment, over all partitions.
    pub(super) number: u64,
}

/// A partition that is assigned to us.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) tenure: Tenure,
    /// The worker whose queue it is forwarded to.
    pub(super) worker: usize,
    /// The topic id that its lane counts; unknown until it is started.
    pub(super) topic_id: Option<String>,
    /// The partition is refused: assigned and paused, it waits for an operator.
    pub(super) is_refused: bool,
    /// The partition was sought, and its first fetch was answered.
    pub(super) is_read: bool,
    begun: Instant,
    /// Cancelled when the tenure ends.
    pub(super) ended: CancellationToken,
    _end: DropGuard,
}

/// All partitions that are assigned to us.
#[derive(Debug)]
pub(super) struct Holdings {
    workers: usize,
    last_number: u64,
    held: BTreeMap<u32, Holding>,
}

impl Holdings {
    /// No partitions yet, to be spread over this many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: workers.max(1), last_number: 0, held: BTreeMap::new() }
    }

    /// Begins a tenure of each partition, with the worker that has the fewest. A partition that is
    /// held already begins a new tenure with the same worker.
    pub(super) fn begin(&mut self, partitions: &[u32]) -> Vec<Tenure> {
        partitions.iter().map(|&partition| self.begin_one(partition)).collect()
    }

    fn begin_one(&mut self, partition: u32) -> Tenure {
        let worker = self
            .held
            .get(&partition)
            .map_or_else(|| self.least_loaded_worker(), |held| held.worker);
        self.last_number += 1;
        let tenure = Tenure { partition, number: self.last_number };
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let holding = Holding {
            tenure,
            worker,
            topic_id: None,
            is_refused: false,
            is_read: false,
            begun: Instant::now(),
            ended,
            _end: end,
        };
        self.held.insert(partition, holding);
        tenure
    }

    fn least_loaded_worker(&self) -> usize {
        let mut partitions = vec![0_usize; self.workers];
        for held in self.held.values() {
            partitions[held.worker] += 1;
        }
        // The first worker with the fewest; there is at least one.
        (0..self.workers).min_by_key(|&worker| partitions[worker]).unwrap_or(0)
    }

    /// Ends the tenures of these partitions, and returns what was held.
    pub(super) fn end(&mut self, partitions: &[u32]) -> Vec<Holding> {
        partitions.iter().filter_map(|partition| self.held.remove(partition)).collect()
    }

    /// The holding of a tenure that has not ended.
    pub(super) fn current(&mut self, tenure: Tenure) -> Option<&mut Holding> {
        self.held.get_mut(&tenure.partition).filter(|held| held.tenure == tenure)
    }

    /// Everything that is held, by partition.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Holding> {
        self.held.values()
    }

    /// Partitions that are neither read from nor refused `patience` after they were assigned.
    pub(super) fn unread(&self, now: Instant, patience: Duration) -> Vec<u32> {
        let unread = self.iter().filter(|held| !held.is_read && !held.is_refused);
        let overdue = unread.filter(|held| now.saturating_duration_since(held.begun) >= patience);
        overdue.map(|held| held.tenure.partition).collect()
    }

    /// Every partition that is held.
    pub(super) fn partitions(&self) -> Vec<u32> {
        self.held.keys().copied().collect()
    }
}

/// Why a lane is drained for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseReason {
    /// The group gives the partition to another member.
    Revoked,
    /// The partition is to be opened again.
    Reopen,
}

/// Lanes that are frozen and wait for their last flush.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) reason: ReleaseReason,
    /// Their tenures, each with its worker.
    pub(super) tenures: Vec<(Tenure, usize)>,
    /// The partitions for the native unassign call.
    pub(super) partitions: Vec<u32>,
    /// The deadline; a reopening has none.
    pub(super) deadline: Option<Instant>,
}

impl Release {
    /// The tenures alone.
    pub(super) fn tenures(&self) -> impl Iterator<Item = Tenure> {
        self.tenures.iter().map(|(tenure, _)| *tenure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_the_workers() {
        let mut holdings = Holdings::new(2);
        holdings.begin(&[0, 2, 4, 6]);
        let workers: Vec<usize> = holdings.iter().map(|held| held.worker).collect();
        assert_eq!(workers, [0, 1, 0, 1]);
        holdings.end(&[2, 6]);
        holdings.begin(&[9, 8]);
        assert!(
            holdings.iter().filter(|held| held.tenure.partition >= 8).all(|held| held.worker == 1)
        );
    }

    #[test]
    fn a_partition_that_comes_back_is_another_tenure() {
        let mut holdings = Holdings::new(1);
        let first = holdings.begin(&[3])[0];
        let ended = holdings.current(first).unwrap().ended.clone();
        assert!(!ended.is_cancelled());
        let second = holdings.begin(&[3])[0];
        assert!(ended.is_cancelled(), "whoever works for the first tenure is told");
        assert_ne!(first, second);
        assert!(holdings.current(first).is_none());
        assert!(holdings.current(second).is_some());
        assert_eq!(holdings.end(&[3, 4]).len(), 1);
        assert!(holdings.current(second).is_none());
    }
}
