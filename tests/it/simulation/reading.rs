//! The driver's consumer: delivers records to a lane, with the irregularities of Kafka clients.

use anyhow::{Result, ensure};
use seatmeter::core::lane::Applied;

use super::driver::{Driver, Held};
use super::faults::{Fault, Mutant};
use super::stats::Happened;

impl<'l> Driver<'l> {
    /// One step of a lane: replay ids, apply delivered records, or fetch more.
    pub(super) fn read(&mut self, held: &mut Held<'l>) -> Result<()> {
        if held.is_warming {
            self.warm(held);
            return Ok(());
        }
        if held.pending.is_empty() {
            self.poll(held);
        }
        if held.pending.is_empty() {
            self.reach_end(held);
            return Ok(());
        }
        if self.dice.chance(60) && !self.load_missing(held)? {
            return Ok(());
        }
        self.apply(held)
    }

    /// Replays ids, some records more than once.
    fn warm(&mut self, held: &mut Held<'l>) {
        let next_offset = held.lane.next_offset();
        let log = &self.log.partitions[held.index];
        let start_offset = self.partitions[held.index].start_offset;
        let (from, end) =
            (log.index_at(held.position.max(start_offset)), log.index_at(next_offset));
        let to = end.min(from + 1 + self.dice.below(20));
        let first = log.index_at(held.lane.rewind_offset().max(start_offset));
        // A batch may go beyond the position; such records are read again, and are counted then.
        let beyond =
            to..self.partitions[held.index].visible.records.min(to + self.dice.below(3)).max(to);
        for at in self.with_redelivered((from..to).chain(beyond).collect(), first) {
            let (record, decoded) = &self.records[held.index][at];
            held.lane.warm(record, decoded);
        }
        held.position = if from < to { log.records[to - 1].offset + 1 } else { next_offset };
        if to >= end {
            held.is_warming = false;
            held.position = next_offset;
        }
    }

    /// The client goes back a little, at any point, and delivers records again.
    fn with_redelivered(&mut self, mut at: Vec<usize>, first: usize) -> Vec<usize> {
        if !at.is_empty() && self.happens(Fault::Redelivery, 20) {
            let place = self.dice.below(at.len());
            let again = at[place].saturating_sub(self.dice.below(5)).max(first)..at[place];
            if !again.is_empty() {
                self.stats.count(Happened::Redelivered);
            }
            at.splice(place..place, again);
        }
        at
    }

    /// An event that makes the client's position doubtful.
    pub(super) fn disturb(&mut self, worker: usize) {
        let lanes = self.workers[worker].lanes.len();
        if lanes == 0 {
            return;
        }
        let at = self.dice.below(lanes);
        let skips = self.happens(Fault::FalseGap, 70);
        let never_doubts = self.is_mutant(Mutant::NeverDoubts);
        let held = &mut self.workers[worker].lanes[at];
        if held.is_warming && self.mutant == Some(Mutant::TrustsTheReplay) {
            let log = &self.log.partitions[held.index];
            held.position = log.records[..]
                .get(log.index_at(held.position) + 5)
                .map_or(u64::MAX, |record| record.offset);
            return;
        }
        if held.is_warming {
            // Skipped ids would be missed silently, so the replay starts again, with an empty
            // filter.
            let (index, is_former, release) = (held.index, held.is_former, held.release);
            self.assign_as(index, worker, release);
            let again = self.workers[worker].lanes.iter_mut().find(|held| held.index == index);
            again.into_iter().for_each(|held| held.is_former = is_former);
            return;
        }
        held.may_skip = skips;
        held.saw_end = false;
        if !never_doubts {
            held.lane.doubt();
        }
    }

    /// The next records; some may come twice, and some not at all if a gap is doubtful.
    fn poll(&mut self, held: &mut Held<'l>) {
        let (log, partition) = (&self.log.partitions[held.index], &self.partitions[held.index]);
        let first = log.index_at(partition.start_offset);
        let from = log.index_at(held.position).max(first);
        let to = partition.visible.records.min(from + 1 + self.dice.below(15));
        if from >= to {
            return;
        }
        let mut at: Vec<usize> = (from..to).collect();
        held.position = log.records[to - 1].offset + 1;
        if std::mem::take(&mut held.may_skip) {
            let skipped = self.dice.below(at.len());
            let until = (skipped + 1 + self.dice.below(3)).min(at.len());
            at.drain(skipped..until);
            self.stats.count(Happened::SkippedRecords);
        }
        let at = self.with_redelivered(at, first);
        held.pending = at.into_iter().map(|at| self.records[held.index][at].clone()).collect();
        held.release.deliver(&mut held.pending);
        if !held.pending.is_empty() {
            held.saw_end = false;
        }
        if self.is_mutant(Mutant::CountsBelowPosition) {
            take_for_next(held);
        }
    }

    /// There are no more records. Offsets between the lane's position and the high watermark are
    /// absent, once a seek has shown it.
    fn reach_end(&mut self, held: &mut Held<'l>) {
        let end = self.partitions[held.index].visible.high_watermark + held.shift;
        if held.lane.next_offset() >= end {
            return;
        }
        if held.saw_end {
            self.stats.count(Happened::TailPassed);
            held.lane.skip_to(end);
        } else {
            seek_to_next(held);
            held.saw_end = true;
        }
    }

    /// Applies delivered records as far as possible.
    fn apply(&mut self, held: &mut Held<'l>) -> Result<()> {
        match held.lane.apply(&held.pending) {
            Applied::All => held.pending.clear(),
            Applied::Blocked { index } => {
                self.stats.count(Happened::Blocked);
                held.pending.drain(..index);
                let missing = held.lane.missing(&held.pending);
                ensure!(
                    !missing.is_empty(),
                    "blocked, but nothing is missing: {:?}",
                    held.pending[0]
                );
                self.load_missing(held)?;
            }
            Applied::Gap { index } if self.is_mutant(Mutant::BelievesFalseGaps) => {
                held.lane.skip_to(held.pending[index].0.offset);
                held.pending.drain(..index);
            }
            Applied::Gap { .. } => {
                self.stats.count(Happened::GapDoubted);
                held.pending.clear();
                seek_to_next(held);
            }
        }
        Ok(())
    }
}

/// Seeks to the lane's next offset. Nothing that was fetched before is delivered any more.
fn seek_to_next(held: &mut Held<'_>) {
    held.position = held.lane.next_offset() - held.shift;
    held.may_skip = false;
    held.lane.sought();
}

/// For [`Mutant::CountsBelowPosition`]: a position that counts deliveries instead of reading
/// offsets.
fn take_for_next(held: &mut Held<'_>) {
    let mut next_offset = held.lane.next_offset();
    for (record, _) in &mut held.pending {
        record.offset += held.shift;
        if record.offset < next_offset {
            held.shift += next_offset - record.offset;
            record.offset = next_offset;
        }
        next_offset = record.offset + 1;
    }
}
