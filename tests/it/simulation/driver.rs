//! The driver: runs real lanes, in place of the worker, on a log, against tables in memory, and
//! injects faults.
//!
//! It never looks into a lane. It follows the protocol as documented in `core::lane`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use seatmeter::core::event::{Decoded, Record};
use seatmeter::core::id::UserKeySeed;
use seatmeter::core::lane::Lane;
use seatmeter::core::rollup::{Progress, Source};
use seatmeter::core::takeover::Claim;

use super::answers::Reader;
use super::dice::Dice;
use super::faults::{Fault, Faults, Mutant};
use super::flushing::Flush;
use super::fold::{fold, makes_duplicate};
use super::loading::Deltas;
use super::log::{Log, PhaseEnd};
use super::memory_store::{MemoryStore, Statement};
use super::releases::Release;
use super::stats::{Happened, Stats};

/// A record as delivered to a lane.
pub(super) type Delivered<'l> = (Record<'l>, Decoded<'l>);

/// Workers that share the partitions.
const WORKERS: usize = 2;

/// A lane, and the position of its owner's consumer.
pub(super) struct Held<'l> {
    /// The index of its partition.
    pub(super) index: usize,
    pub(super) lane: Lane,
    /// True until the ids before the lane's position have been replayed.
    pub(super) is_warming: bool,
    /// The next offset that the consumer will fetch.
    pub(super) position: u64,
    /// Delivered, but not applied yet.
    pub(super) pending: Vec<Delivered<'l>>,
    /// True once the partition belongs to another worker, and this one has not noticed.
    pub(super) is_former: bool,
    /// True while the consumer may skip records, as after an error.
    pub(super) may_skip: bool,
    /// True once a seek has shown that the log ends at the lane's position.
    pub(super) saw_end: bool,
    /// For [`Mutant::CountsBelowPosition`]: how many records were counted more often than the log
    /// holds them.
    pub(super) shift: u64,
    pub(super) deltas: Deltas,
    /// The zone data of its owner, and the claim with which it was opened.
    pub(super) release: Release,
    pub(super) claim: Claim,
    /// True once the claim is recorded.
    pub(super) has_claimed: bool,
}

/// A worker: some lanes, and one flush at a time for all of them.
#[derive(Default)]
pub(super) struct Worker<'l> {
    pub(super) lanes: Vec<Held<'l>>,
    pub(super) flushes: Vec<Flush>,
    /// Its current zone data.
    pub(super) release: Release,
}

/// A partition, as Kafka shows it.
pub(super) struct Partition {
    pub(super) source: Source,
    /// The first offset that retention has not deleted.
    pub(super) start_offset: u64,
    /// Records that producers have written so far.
    pub(super) visible: PhaseEnd,
    pub(super) owner: usize,
    /// Kafka's committed offset.
    pub(super) committed: Option<u64>,
    /// The furthest that any lane has counted.
    pub(super) applied_max: u64,
    /// Every progress that the table has held.
    pub(super) shown: Vec<Progress>,
    /// The last release to begin, by offset.
    pub(super) told: Vec<(u64, Release)>,
}

/// One run.
pub(super) struct Driver<'l> {
    pub(super) log: &'l Log,
    /// The original log, if its phases are not waited for.
    as_written: Option<&'l Log>,
    pub(super) records: &'l [Vec<Delivered<'l>>],
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) mutant: Option<Mutant>,
    /// The deployment's, for the keys of users.
    pub(super) seed: UserKeySeed,
    pub(super) store: MemoryStore,
    /// The tables as they were some time ago.
    pub(super) stale: MemoryStore,
    /// By source, how far the records reach of which any row has arrived.
    pub(super) written: BTreeMap<Source, u64>,
    pub(super) reader: Reader,
    /// Abandoned INSERTs that have not arrived yet.
    pub(super) late: Vec<Statement>,
    pub(super) workers: Vec<Worker<'l>>,
    pub(super) partitions: Vec<Partition>,
    /// Probability of each kind of step, chosen per run.
    weights: [usize; 11],
    /// Records that were deleted before they were read, by index of the partition and offset.
    pub(super) lost: BTreeSet<(usize, u64)>,
    pub(super) stats: Stats,
}

impl<'l> Driver<'l> {
    pub(super) fn new(
        log: &'l Log,
        as_written: Option<&'l Log>,
        records: &'l [Vec<Delivered<'l>>],
        mut dice: Dice,
        faults: Faults,
        mutant: Option<Mutant>,
    ) -> Self {
        let partition = |partition: &super::log::PartitionLog| Partition {
            source: Source::new("usage-events", "Kx9_", partition.partition),
            start_offset: partition.first_offset,
            visible: PhaseEnd { records: 0, high_watermark: partition.first_offset },
            owner: 0,
            committed: None,
            applied_max: partition.first_offset,
            shown: Vec::new(),
            told: Vec::new(),
        };
        let weights = [45, 25, 8, 3, 4, 5, 6, 3, 8, 10, 3]
            .map(|weight| weight * *dice.pick(&[1, 1, 1, 2, 4]));
        let store = MemoryStore::new(
            mutant == Some(Mutant::WritesDeltas),
            mutant == Some(Mutant::MergesChecksumsAlone),
        );
        Self {
            log,
            as_written,
            records,
            seed: UserKeySeed { k0: dice.salt(), k1: dice.salt() },
            dice,
            faults,
            mutant,
            stale: store.clone(),
            store,
            written: BTreeMap::new(),
            reader: Reader::default(),
            late: Vec::new(),
            workers: (0..WORKERS).map(|_| Worker::default()).collect(),
            partitions: log.partitions.iter().map(partition).collect(),
            lost: BTreeSet::new(),
            weights,
            stats: Stats::default(),
        }
    }

    /// True in `percent` of 100 cases, if the fault may happen. The dice are thrown in any case, so
    /// that a run without a fault stays as close as possible to the run with it.
    pub(super) fn happens(&mut self, fault: Fault, percent: u32) -> bool {
        self.dice.chance(percent) && self.faults.contains(fault)
    }

    pub(super) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Runs the whole log through, and compares what a reader finds with the naive fold.
    pub(super) fn run(mut self) -> Result<Stats> {
        for index in 0..self.partitions.len() {
            let worker = self.dice.below(WORKERS);
            self.move_to(index, worker);
        }
        for phase in 0..self.log.phases {
            self.run_phase(phase)?;
        }
        let mut late = std::mem::take(&mut self.late);
        self.dice.shuffle(&mut late);
        for statement in late {
            self.arrive(&statement, None);
        }
        self.check_invariants()?;
        self.check_answers()?;
        self.check_rows()?;
        Ok(self.stats)
    }

    fn run_phase(&mut self, phase: usize) -> Result<()> {
        let unread: usize =
            self.log.partitions.iter().map(|log| log.phase_ends[phase].records).sum();
        for _ in 0..40 + 3 * unread {
            self.step(phase)?;
            self.check_invariants()?;
        }
        // A phase without faults in which all is counted: only then may accounts move to other
        // partitions.
        let faults = std::mem::replace(&mut self.faults, Faults::none());
        self.settle(phase)?;
        self.faults = faults;
        self.check_answers()?;
        Ok(())
    }

    fn step(&mut self, phase: usize) -> Result<()> {
        let worker = self.dice.below(WORKERS);
        match self.dice.weighted(&self.weights) {
            0 => self.work(worker)?,
            1 => {
                for _ in 0..self.dice.between(1, 6) {
                    self.flush_step(worker)?;
                }
            }
            2 => self.evict(worker),
            3 => self.crash(worker),
            4 => self.rebalance()?,
            5 => self.disturb(worker),
            6 => self.land_late(),
            7 => self.retain(),
            8 => self.reveal(phase),
            9 => self.read_answers()?,
            _ if self.is_mutant(Mutant::LoadsStaleRows) => self.stale = self.store.clone(),
            _ => {}
        }
        Ok(())
    }

    /// One step of one of the worker's lanes.
    fn work(&mut self, worker: usize) -> Result<()> {
        self.open_refused(worker);
        let lanes = self.workers[worker].lanes.len();
        if lanes == 0 {
            return Ok(());
        }
        let at = self.dice.below(lanes);
        self.work_on(worker, at)
    }

    fn work_on(&mut self, worker: usize, at: usize) -> Result<()> {
        let mut held = self.workers[worker].lanes.remove(at);
        let result = self.read(&mut held);
        let partition = &mut self.partitions[held.index];
        partition.applied_max = partition.applied_max.max(held.lane.next_offset());
        self.workers[worker].lanes.insert(at, held);
        result
    }

    /// More of the log is written.
    fn reveal(&mut self, phase: usize) {
        let index = self.dice.below(self.partitions.len());
        let more = self.dice.below(20);
        let reaches_next = self.dice.chance(50);
        let (log, visible) = (&self.log.partitions[index], self.partitions[index].visible);
        let end = log.phase_ends[phase];
        let records = (visible.records + more).min(end.records);
        let high_watermark = match log.records.get(records) {
            _ if records == end.records => end.high_watermark,
            // A transaction marker may precede the next record already.
            Some(next) if reaches_next => next.offset,
            _ => records.checked_sub(1).map_or(0, |last| log.records[last].offset + 1),
        };
        let high_watermark = high_watermark.max(visible.high_watermark);
        self.partitions[index].visible = PhaseEnd { records, high_watermark };
    }

    /// A lane evicts what it may.
    fn evict(&mut self, worker: usize) {
        let idle_drains = self.dice.between(0, 5).unsigned_abs();
        if self.happens(Fault::Eviction, 100) {
            for held in &mut self.workers[worker].lanes {
                if held.lane.evict(idle_drains) > 0 {
                    self.stats.count(Happened::Evicted);
                }
            }
        }
    }

    /// An abandoned INSERT arrives: whole or in part, possibly not for the last time.
    pub(super) fn land_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.dice.below(self.late.len());
        let statement = self.late.swap_remove(at);
        let salt = self.dice.salt();
        if self.dice.chance(30) {
            self.arrive(&statement, Some(salt));
        } else {
            self.arrive(&statement, None);
        }
        if self.dice.chance(30) {
            self.late.push(statement);
        }
        self.stats.count(Happened::LandedLate);
    }

    /// Counts everything, and flushes it.
    fn settle(&mut self, phase: usize) -> Result<()> {
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            partition.visible = self.log.partitions[index].phase_ends[phase];
        }
        for worker in 0..WORKERS {
            self.workers[worker].lanes.retain(|held| !held.is_former);
        }
        self.open_by_whoever_may()?;
        for _ in 0..10_000 {
            let mut is_done = true;
            for worker in 0..WORKERS {
                for at in 0..self.workers[worker].lanes.len() {
                    if !self.is_at_end(&self.workers[worker].lanes[at]) {
                        is_done = false;
                        self.work_on(worker, at)?;
                    }
                }
            }
            if is_done {
                return self.flush_and_forget();
            }
        }
        anyhow::bail!("a lane never reaches the end of its partition")
    }

    fn is_at_end(&self, held: &Held<'_>) -> bool {
        let end = self.partitions[held.index].visible.high_watermark;
        !held.is_warming && held.pending.is_empty() && held.lane.next_offset() - held.shift >= end
    }

    /// Flushes until all is stored; then no lane needs to hold anything.
    fn flush_and_forget(&mut self) -> Result<()> {
        for worker in 0..WORKERS {
            // Used entries are kept for two drains, so that a batch cannot thrash.
            for _ in 0..3 {
                self.flush_whole(worker)?;
            }
            if self.is_mutant(Mutant::KeepsMovedAccounts) {
                continue;
            }
            for held in &mut self.workers[worker].lanes {
                held.lane.evict(0);
                ensure!(
                    held.lane.held_entries() == 0,
                    "all is stored, and {} entries stay",
                    held.lane.held_entries()
                );
                ensure!(held.lane.pending_rows() == 0, "all is stored, and rows are pending");
            }
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            let (stored, end) =
                (self.store.progress(&partition.source), partition.visible.high_watermark);
            let next_offset = stored.map(|progress| progress.next_offset);
            ensure!(
                next_offset == Some(end),
                "all of partition {index} is flushed, but its progress is {stored:?}"
            );
        }
        Ok(())
    }

    /// `committed <= progress <= applied`, at all times.
    fn check_invariants(&mut self) -> Result<()> {
        for partition in &mut self.partitions {
            let committed = partition.committed.unwrap_or_default();
            let Some(progress) = self.store.progress(&partition.source) else {
                ensure!(committed == 0, "committed {committed} without progress");
                continue;
            };
            if partition.shown.last() != Some(&progress) {
                partition.shown.push(progress);
            }
            ensure!(
                committed <= progress.next_offset,
                "committed {committed}, progress {progress:?}"
            );
            let applied = partition.applied_max;
            ensure!(progress.next_offset <= applied, "progress {progress:?}, applied {applied}");
        }
        Ok(())
    }

    /// A reader's result equals the naive fold, and so did every progress on the way.
    fn check_rows(&mut self) -> Result<()> {
        let told: Vec<_> = self.partitions.iter().map(|partition| partition.told.clone()).collect();
        let expected = fold(
            self.as_written.unwrap_or(self.log),
            &self.lost,
            &told,
            (self.seed.k0, self.seed.k1),
        );
        for (index, partition) in self.partitions.iter().enumerate() {
            for progress in &partition.shown {
                let at = expected.progress_at(self.log, index, progress.next_offset);
                ensure!(
                    *progress == at,
                    "progress of {}: expected {at:?}, got {progress:?}",
                    partition.source
                );
            }
            self.stats.add(
                Happened::Duplicate,
                partition.shown.last().map_or(0, |progress| progress.duplicates),
            );
            self.stats.add(Happened::Lost, self.lost.len() as u64);
        }
        let split = self.store.split_accounts();
        let moved = expected.moved_accounts();
        self.stats.add(Happened::AccountTold, split.len() as u64);
        self.stats.add(Happened::AccountMoved, moved.difference(&split).count() as u64);
        ensure!(
            split.is_subset(&moved),
            "told as split: {split:?}, in several partitions: {moved:?}"
        );
        let differences = expected.view().differences(&self.store.view());
        if self.as_written.is_some() {
            // Only reported split accounts may be counted inexactly.
            let is_told = |line: &&str| {
                line.split([' ', '/', ':']).nth(3).is_some_and(|account| split.contains(account))
            };
            let silent: Vec<&str> = differences.lines().filter(|line| !is_told(line)).collect();
            ensure!(
                silent.is_empty(),
                "beside {split:?} a reader finds what the log does not say:\n{}\n{:?}",
                silent.join("\n"),
                self.store.accounts
            );
            return Ok(());
        }
        ensure!(
            differences.is_empty(),
            "a reader finds something else than the log says:\n{differences}"
        );
        let expected = expected.split_accounts();
        ensure!(split == expected, "split accounts: expected {expected:?}, got {split:?}");
        Ok(())
    }

    /// Retention deletes the oldest records. It keeps what the duplicate rule needs, and no records
    /// that are counted but not flushed: those would be counted and absent.
    fn retain(&mut self) {
        let index = self.dice.below(self.partitions.len());
        let far = self.dice.chance(50);
        let (log, partition) = (&self.log.partitions[index], &self.partitions[index]);
        let Some(progress) = self.store.progress(&partition.source) else { return };
        let lanes = || {
            self.workers.iter().flat_map(|worker| &worker.lanes).filter(|held| held.index == index)
        };
        let next_offset = progress.next_offset;
        let unread_from = lanes()
            .map(|held| held.lane.next_offset())
            .min()
            .unwrap_or(next_offset)
            .min(next_offset);
        let is_all_flushed = unread_from == next_offset
            && partition.applied_max <= next_offset
            && lanes().all(|held| held.pending.is_empty());
        let limit =
            if is_all_flushed && far { partition.visible.high_watermark } else { unread_from };
        let is_needed = |at: usize| {
            let earlier = &log.records[at];
            let unread = log.records[at..].iter().filter(|later| later.offset >= unread_from);
            earlier.offset < unread_from
                && unread
                    .skip_while(|later| later.offset == earlier.offset)
                    .any(|later| makes_duplicate(earlier, later))
        };
        let mut cut = log.index_at(partition.start_offset);
        let wanted = cut + 1 + self.dice.below(30);
        while cut < wanted.min(partition.visible.records)
            && log.records[cut].offset < limit
            && !is_needed(cut)
        {
            cut += 1;
        }
        let Some(last) = cut.checked_sub(1).map(|last| log.records[last].offset) else { return };
        if last < partition.start_offset || !self.happens(Fault::Retention, 100) {
            return;
        }
        let lost = log.records[..cut]
            .iter()
            .filter(|record| record.offset >= next_offset)
            .map(|record| record.offset);
        let lost: Vec<(usize, u64)> = lost.map(|offset| (index, offset)).collect();
        self.stats.count(if lost.is_empty() {
            Happened::Retained
        } else {
            Happened::RetainedUnread
        });
        self.lost.extend(lost);
        self.partitions[index].start_offset = last + 1;
    }
}
