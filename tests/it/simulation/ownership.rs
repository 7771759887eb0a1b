//! Ownership of partitions: assignments, rebalances of every kind, crashes.

use anyhow::{Result, ensure};
use seatmeter::core::lane::Lane;
use seatmeter::core::rollup::Progress;
use seatmeter::core::takeover::{Claim, Claims, Standing, claim};

use super::driver::{Driver, Held, Worker};
use super::faults::{Fault, Mutant};
use super::loading::Deltas;
use super::releases::Release;
use super::stats::Happened;

impl Driver<'_> {
    /// A worker gets a partition: it starts at the recorded progress, after a replay of the ids
    /// before it.
    pub(super) fn assign(&mut self, index: usize, worker: usize) {
        self.assign_as(index, worker, self.workers[worker].release);
    }

    /// The same with this release of the zone data, if it may take over.
    pub(super) fn assign_as(&mut self, index: usize, worker: usize, release: Release) {
        self.workers[worker].lanes.retain(|other| other.index != index);
        let Some(claim) = self.claim(index, release) else { return };
        let partition = &mut self.partitions[index];
        let stored = self.store.progress(&partition.source);
        let fresh = Progress::starting_at(partition.start_offset);
        let mut lane = Lane::new(partition.source.clone(), stored.unwrap_or(fresh), self.seed);
        let mut rewind = lane.rewind_offset();
        if self.mutant == Some(Mutant::WarmsHalfTheWindow) {
            rewind = lane.next_offset() - (lane.next_offset() - rewind) / 2;
        }
        if rewind < partition.start_offset
            && partition.start_offset > self.log.partitions[index].first_offset
        {
            self.stats.count(Happened::RewoundPastStart);
        }
        // Retention deleted these before they were read.
        lane.skip_to(partition.start_offset);
        partition.applied_max = partition.applied_max.max(lane.next_offset());
        if self.mutant == Some(Mutant::NeverDoubts) {
            lane.sought();
        }
        let is_warming = self.mutant != Some(Mutant::SkipsWarmUp);
        let position = if is_warming { rewind } else { lane.next_offset() };
        let held = Held {
            index,
            lane,
            is_warming,
            position,
            pending: Vec::new(),
            is_former: false,
            may_skip: false,
            saw_end: false,
            shift: 0,
            deltas: Deltas::default(),
            release,
            claim,
            has_claimed: false,
        };
        if partition.told.last().is_none_or(|(_, last)| *last != release) {
            partition.told.push((stored.unwrap_or(fresh).next_offset, release));
        }
        self.workers[worker].lanes.push(held);
    }

    /// The claim with which a release may begin to count a partition.
    fn claim(&mut self, index: usize, release: Release) -> Option<Claim> {
        // Processes of another release with the partition have ended before.
        let is_there = |worker: &Worker<'_>| {
            worker.lanes.iter().any(|held| held.index == index && held.release != release)
                || worker.flushes.iter().any(|flush| flush.is_of_another(index, release))
        };
        if self.workers.iter().any(is_there) {
            return None;
        }
        let claims: Vec<Claims> =
            self.partitions.iter().map(|partition| self.store.claims(&partition.source)).collect();
        let standings =
            (0..).zip(&self.partitions).zip(&claims).map(|((number, partition), claims)| {
                let next_offset = self
                    .store
                    .progress(&partition.source)
                    .map_or(0, |progress| progress.next_offset);
                Standing { partition: number, next_offset, claims }
            });
        let standings: Vec<Standing<'_>> = standings.collect();
        let latest = standings[index].latest();
        match claim(release.name(), standings[index], &standings) {
            Ok(claim) => {
                if latest.is_some_and(|(latest, _)| latest != release.name()) {
                    self.stats.count(Happened::TookOver);
                }
                Some(claim)
            }
            Err(_) if self.mutant == Some(Mutant::TakesOverAtOnce) => {
                Some(Claim { turn: latest.map_or(0, |(_, claim)| claim.turn) + 1, upto: 0 })
            }
            Err(_) => {
                self.stats.count(Happened::TakeoverRefused);
                None
            }
        }
    }

    /// The worker checks a refused partition again.
    pub(super) fn open_refused(&mut self, worker: usize) {
        for index in 0..self.partitions.len() {
            let is_held = self.workers[worker].lanes.iter().any(|held| held.index == index);
            if self.partitions[index].owner == worker && !is_held && self.dice.chance(20) {
                self.assign(index, worker);
            }
        }
    }

    /// Refused partitions are opened by the release that may.
    pub(super) fn open_by_whoever_may(&mut self) -> Result<()> {
        for worker in 0..self.workers.len() {
            self.flush_whole(worker)?;
        }
        for index in 0..self.partitions.len() {
            let owner = self.partitions[index].owner;
            for release in [self.workers[owner].release, self.workers[owner].release.other()] {
                if !self.workers[owner].lanes.iter().any(|held| held.index == index) {
                    self.assign_as(index, owner, release);
                }
            }
            let is_held = self.workers[owner].lanes.iter().any(|held| held.index == index);
            ensure!(is_held, "no release may count partition {index}");
        }
        Ok(())
    }

    pub(super) fn move_to(&mut self, index: usize, worker: usize) {
        self.partitions[index].owner = worker;
        self.assign(index, worker);
    }

    /// A partition moves.
    pub(super) fn rebalance(&mut self) -> Result<()> {
        let index = self.dice.below(self.partitions.len());
        let to = self.dice.below(self.workers.len());
        let how = self.dice.below(4);
        if !self.happens(Fault::Rebalance, 100) {
            return Ok(());
        }
        let from = self.partitions[index].owner;
        let is_flushed = how < 2 && self.flush_before_release(from)?;
        let stays = how == 3 && from != to && self.happens(Fault::Zombie, 100);
        self.stats.count(match (is_flushed, stays) {
            (true, _) => Happened::MovedAfterFlush,
            (false, false) => Happened::MovedWithoutFlush,
            (false, true) => Happened::MovedUnnoticed,
        });
        let lanes = &mut self.workers[from].lanes;
        if stays {
            lanes
                .iter_mut()
                .filter(|held| held.index == index)
                .for_each(|held| held.is_former = true);
        } else {
            lanes.retain(|held| held.index != index);
        }
        // A stalled former owner notices eventually.
        if self.dice.chance(30) {
            self.workers.iter_mut().for_each(|worker| worker.lanes.retain(|held| !held.is_former));
        }
        self.move_to(index, to);
        Ok(())
    }

    /// Revoked: drain and flush before the release, unless the deadline passes.
    fn flush_before_release(&mut self, worker: usize) -> Result<bool> {
        let mut has_started = false;
        for _ in 0..60 {
            if self.workers[worker].flushes.is_empty() && has_started {
                return Ok(true);
            }
            has_started |= self.workers[worker].flushes.is_empty();
            self.flush_step(worker)?;
        }
        Ok(false)
    }

    /// A worker dies. Its partitions go to the remaining workers.
    pub(super) fn crash(&mut self, worker: usize) {
        if !self.happens(Fault::Crash, 100) {
            return;
        }
        self.stats.count(Happened::Crashed);
        self.abandon_flushes(worker);
        self.workers[worker].lanes.clear();
        if self.happens(Fault::OtherRelease, 40) {
            self.workers[worker].release = self.workers[worker].release.other();
        }
        for index in 0..self.partitions.len() {
            if self.partitions[index].owner == worker {
                let to = self.dice.below(self.workers.len());
                self.move_to(index, to);
            }
        }
    }
}
