//! Who owns a partition: assignments, rebalances of every kind, crashes.

use anyhow::Result;
use seatmeter::core::lane::Lane;
use seatmeter::core::rollup::Progress;

use super::driver::{Driver, Held};
use super::faults::{Fault, Mutant};
use super::loading::Deltas;
use super::stats::Happened;

impl Driver<'_> {
    /// A worker gets a partition: it starts where the recorded progress ends, after a replay of the ids before it.
    pub(super) fn assign(&mut self, index: usize, worker: usize) {
        let partition = &mut self.partitions[index];
        let stored = self.store.progress(&partition.source);
        let fresh = Progress { next_offset: partition.start_offset, ..Progress::default() };
        let mut lane = Lane::new(partition.source.clone(), stored.unwrap_or(fresh), self.seed);
        let mut rewind = lane.rewind_offset();
        if self.mutant == Some(Mutant::WarmsHalfTheWindow) {
            rewind = lane.next_offset() - (lane.next_offset() - rewind) / 2;
        }
        if rewind < partition.start_offset && partition.start_offset > self.log.partitions[index].first_offset {
            self.stats.count(Happened::RewoundPastStart);
        }
        // Retention took these before anyone read them.
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
        };
        let lanes = &mut self.workers[worker].lanes;
        lanes.retain(|other| other.index != index);
        lanes.push(held);
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
            lanes.iter_mut().filter(|held| held.index == index).for_each(|held| held.is_former = true);
        } else {
            lanes.retain(|held| held.index != index);
        }
        // A former owner that went on for a while notices some day.
        if self.dice.chance(30) {
            self.workers.iter_mut().for_each(|worker| worker.lanes.retain(|held| !held.is_former));
        }
        self.move_to(index, to);
        Ok(())
    }

    /// Revoked: drain and flush before letting go, unless the deadline passes.
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

    /// A worker dies. Its partitions go to whoever is there.
    pub(super) fn crash(&mut self, worker: usize) {
        if !self.happens(Fault::Crash, 100) {
            return;
        }
        self.stats.count(Happened::Crashed);
        self.abandon_flushes(worker);
        self.workers[worker].lanes.clear();
        for index in 0..self.partitions.len() {
            if self.partitions[index].owner == worker {
                let to = self.dice.below(self.workers.len());
                self.move_to(index, to);
            }
        }
    }
}
