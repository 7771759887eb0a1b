//! The driver's flushes: every row, then the progress, then the commit; each INSERT may fail in
//! every possible way.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};
use seatmeter::core::rollup::{LaneRows, Progress};
use seatmeter::core::takeover::Claim;

use super::accounts::{account_progress, active_days, moves};
use super::answers::mutate_topics;
use super::driver::Driver;
use super::faults::{Fault, Mutant};
use super::memory_store::{Row, Statement, statements};
use super::releases::Release;
use super::stats::Happened;

/// The rows of one drain of a worker's lanes, on their way into the tables.
pub(super) struct Flush {
    /// By index of the partition.
    members: Vec<(usize, Progress)>,
    /// Release of the zone data that computed the members' days.
    releases: Vec<Release>,
    /// Not acknowledged yet; sent first, one after the other.
    claims: VecDeque<Statement>,
    /// Sent before all other rows, one after the other.
    moves: VecDeque<Statement>,
    unwritten: Vec<Statement>,
    /// Sent after all other rows; `None` once acknowledged.
    active_days: Option<Statement>,
    /// Sent after those; `None` once acknowledged.
    account_progress: Option<Statement>,
    progress: Statement,
    is_progress_written: bool,
}

impl Flush {
    /// True if it holds rows of the partition whose days were computed by another release.
    pub(super) fn is_of_another(&self, index: usize, release: Release) -> bool {
        self.members
            .iter()
            .zip(&self.releases)
            .any(|((member, _), by)| *member == index && *by != release)
    }
}

impl Driver<'_> {
    /// Starts a flush, or takes the next step of the current one.
    pub(super) fn flush_step(&mut self, worker: usize) -> Result<()> {
        let under_way = self.workers[worker].flushes.len();
        let limit = if self.is_mutant(Mutant::OverlapsFlushes) { 2 } else { 1 };
        if under_way == 0 || (under_way < limit && self.dice.chance(20)) {
            return self.start_flush(worker);
        }
        let at = self.dice.below(under_way);
        let mut flush = self.workers[worker].flushes.remove(at);
        let is_done = self.write_next(worker, &mut flush);
        if !is_done {
            self.workers[worker].flushes.insert(at, flush);
            return Ok(());
        }
        self.finish_flush(worker, &flush);
        if self.is_nothing_beyond_progress() {
            self.check_answers()?;
        }
        Ok(())
    }

    /// Flushes everything that the worker holds now.
    pub(super) fn flush_whole(&mut self, worker: usize) -> Result<()> {
        for is_new in [false, true] {
            if is_new {
                self.start_flush(worker)?;
            }
            for _ in 0..100 {
                if self.workers[worker].flushes.is_empty() {
                    break;
                }
                self.flush_step(worker)?;
            }
            if !self.workers[worker].flushes.is_empty()
                && self.mutant != Some(Mutant::OverlapsFlushes)
            {
                bail!("a flush that nothing disturbs does not end");
            }
        }
        Ok(())
    }

    fn start_flush(&mut self, worker: usize) -> Result<()> {
        let mut drains = Vec::new();
        let (mut members, mut releases) = (Vec::new(), Vec::new());
        let (mut opened, mut claims) = (Vec::new(), Vec::new());
        let claims_nothing = self.is_mutant(Mutant::ClaimsNothing);
        for held in &mut self.workers[worker].lanes {
            let mut rows = held.lane.drain();
            check_drain(&rows, held.lane.progress())?;
            mutate_topics(self.mutant, &mut rows, &mut self.stats);
            if self.mutant == Some(Mutant::WritesDeltas) {
                held.deltas.subtract(&mut rows);
            }
            members.push((held.index, rows.progress));
            releases.push(held.release);
            held.release.drain(&mut rows);
            if rows.have_days() && !claims_nothing {
                if !std::mem::replace(&mut held.has_claimed, true) {
                    opened.push(Row::Claim(rows.source.clone(), held.release, held.claim));
                }
                let upto = rows.progress.next_offset.max(held.claim.upto);
                claims.push(Row::Claim(
                    rows.source.clone(),
                    held.release,
                    Claim { upto, ..held.claim },
                ));
            }
            drains.push(rows);
        }
        let rows = drains
            .iter()
            .map(|drain| Row::Progress(drain.source.clone(), drain.progress))
            .collect();
        let statement = |rows| Statement { rows, upto: Vec::new() };
        let progress = statement(rows);
        let claims = [opened, claims].into_iter().filter(|rows| !rows.is_empty()).map(statement);
        let flush = Flush {
            members,
            releases,
            claims: claims.collect(),
            moves: moves(&drains),
            unwritten: statements(&drains),
            active_days: active_days(&drains),
            account_progress: account_progress(&drains),
            progress,
            is_progress_written: false,
        };
        if self.is_mutant(Mutant::CommitsEarly) {
            self.commit(worker, &flush);
        }
        self.workers[worker].flushes.push(flush);
        Ok(())
    }

    /// Sends one INSERT of the flush. True once all of it is acknowledged.
    fn write_next(&mut self, worker: usize, flush: &mut Flush) -> bool {
        if let Some(claim) = flush.claims.front() {
            if self.send(claim) {
                flush.claims.pop_front();
            }
            return false;
        }
        if self.write_about_accounts(flush) {
            return false;
        }
        let is_early = self.is_mutant(Mutant::WritesProgressEarly) && flush.unwritten.len() == 1;
        if !flush.is_progress_written && (flush.unwritten.is_empty() || is_early) {
            flush.is_progress_written = self.send(&flush.progress);
        } else if !flush.unwritten.is_empty() {
            let at = self.dice.below(flush.unwritten.len());
            if self.send(&flush.unwritten[at]) {
                flush.unwritten.swap_remove(at);
            } else if self.is_mutant(Mutant::ResendsNewerValues) {
                self.restamp(worker, flush);
            }
        }
        flush.unwritten.is_empty() && flush.is_progress_written
    }

    /// Sends the moves of accounts or their progress, if it is their turn; true if it was.
    fn write_about_accounts(&mut self, flush: &mut Flush) -> bool {
        let are_rows_written = flush.unwritten.is_empty();
        let announces_early = self.is_mutant(Mutant::AnnouncesEarly);
        let move_early = are_rows_written || !self.is_mutant(Mutant::WritesMovesLate);
        if move_early && let Some(moves) = flush.moves.front() {
            if self.send(moves) {
                flush.moves.pop_front();
            }
            return true;
        }
        let days_early = self.is_mutant(Mutant::AnnouncesDaysEarly) && flush.active_days.is_some();
        if !are_rows_written && !announces_early && !days_early {
            return false;
        }
        let days_late = self.is_mutant(Mutant::AnnouncesDaysLate);
        let is_turn_of_days = !days_late || flush.account_progress.is_none();
        let next = if is_turn_of_days && flush.active_days.is_some() {
            &mut flush.active_days
        } else {
            &mut flush.account_progress
        };
        let Some(statement) = next.take() else { return false };
        if !self.send(&statement) {
            *next = Some(statement);
        }
        true
    }

    /// Sends an INSERT; true if it is acknowledged.
    fn send(&mut self, statement: &Statement) -> bool {
        let salt = self.dice.salt();
        let is_late = self.happens(Fault::LateWrite, 10);
        let is_failure = self.happens(Fault::FailedWrite, 30);
        let how = self.dice.below(3);
        if is_late {
            self.stats.count(Happened::SentLate);
            self.late.push(statement.clone());
        }
        if !is_failure {
            self.arrive(statement, None);
            return true;
        }
        match how {
            0 => self.stats.count(Happened::WriteRefused),
            1 => {
                self.stats.count(Happened::WrittenInPart);
                self.arrive(statement, Some(salt));
            }
            _ => {
                self.stats.count(Happened::WrittenButFailed);
                self.arrive(statement, None);
            }
        }
        self.is_mutant(Mutant::IgnoresFailedWrites)
    }

    /// An INSERT arrives, whole or in part.
    pub(super) fn arrive(&mut self, statement: &Statement, part: Option<u64>) {
        let is_in = |row: &&Row| part.is_none_or(|salt| row.lot(salt).is_multiple_of(2));
        self.store.write(statement.rows.iter().filter(is_in).cloned());
        for (source, upto) in &statement.upto {
            let written = self.written.entry(source.clone()).or_default();
            *written = (*upto).max(*written);
        }
    }

    fn finish_flush(&mut self, worker: usize, flush: &Flush) {
        for held in &mut self.workers[worker].lanes {
            held.lane.flushed();
            if held.is_former {
                self.stats.count(Happened::FormerOwnerFlushed);
            }
        }
        self.commit(worker, flush);
    }

    /// Commits to Kafka, which refuses it to a former owner. A failed commit is not retried.
    fn commit(&mut self, worker: usize, flush: &Flush) {
        for (index, progress) in &flush.members {
            let is_sent = self.dice.chance(80);
            if is_sent && self.partitions[*index].owner == worker {
                self.partitions[*index].committed = Some(progress.next_offset);
            }
        }
    }

    /// For [`Mutant::ResendsNewerValues`].
    fn restamp(&mut self, worker: usize, flush: &mut Flush) {
        for held in &mut self.workers[worker].lanes {
            let Some((_, then)) = flush.members.iter().find(|(index, _)| *index == held.index)
            else {
                continue;
            };
            let mut rows = held.lane.drain();
            held.release.drain(&mut rows);
            rows.test_executions.iter_mut().for_each(|row| row.upto = then.next_offset);
            rows.quota_usage.iter_mut().for_each(|row| row.upto = then.next_offset);
            rows.audited_hours.iter_mut().for_each(|row| row.upto = then.next_offset);
            flush.unwritten.extend(statements(&[rows]));
        }
    }

    /// The worker is gone: its sent INSERTs may still arrive, the progress only if everything
    /// before it was acknowledged.
    pub(super) fn abandon_flushes(&mut self, worker: usize) {
        for flush in std::mem::take(&mut self.workers[worker].flushes) {
            self.stats.count(Happened::CrashedInFlush);
            let sent = match (
                flush.claims.into_iter().chain(flush.moves).next(),
                flush.unwritten.is_empty(),
            ) {
                (Some(first), _) => vec![first],
                (None, true) => {
                    vec![flush.active_days.or(flush.account_progress).unwrap_or(flush.progress)]
                }
                (None, false) => flush.unwritten,
            };
            for statement in sent {
                if self.happens(Fault::LateWrite, 40) {
                    self.late.push(statement);
                }
            }
        }
    }
}

/// A drain stamps rows with the lane's position, and its account rows lie before it.
fn check_drain(rows: &LaneRows, progress: Progress) -> Result<()> {
    for row in &rows.account_progress {
        ensure!(
            row.first.offset <= row.last.offset && row.upto() <= progress.next_offset,
            "{row:?} at {progress:?}"
        );
    }
    ensure!(rows.progress == progress, "drained at {progress:?}, stamped {:?}", rows.progress);
    let uptos = rows
        .test_executions
        .iter()
        .map(|row| row.upto)
        .chain(rows.quota_usage.iter().map(|row| row.upto))
        .chain(rows.audited_hours.iter().map(|row| row.upto));
    for upto in uptos {
        ensure!(
            upto == progress.next_offset,
            "a counter drained at {progress:?} is stamped {upto}"
        );
    }
    Ok(())
}
