//! The driver's loads: one query per table, which may fail, break off, or see writes that arrive
//! between two tables.

use std::collections::BTreeMap;

use anyhow::Result;
use seatmeter::core::calendar::{Day, YearMonth};
use seatmeter::core::id::Id;
use seatmeter::core::load::{Loaded, Missing};
use seatmeter::core::rollup::{ExecutionCount, LaneRows};

use super::dice::Dice;
use super::driver::{Driver, Held};
use super::faults::{Fault, Mutant};
use super::memory_store::LOAD_QUERIES;
use super::stats::Happened;

impl<'l> Driver<'l> {
    /// Loads what the pending records need. False if that failed; the next step tries again.
    pub(super) fn load_missing(&mut self, held: &mut Held<'l>) -> Result<bool> {
        let missing = held.lane.missing(&held.pending);
        if missing.is_empty() {
            return Ok(true);
        }
        let Some(mut loaded) = self.load(held, &missing) else {
            self.stats.count(Happened::LoadFailed);
            return Ok(false);
        };
        let next_offset = held.lane.next_offset();
        let counters = loaded.test_executions.iter().map(|row| row.upto).max();
        if counters.max(loaded.quota_usage.iter().map(|row| row.upto).max()) > Some(next_offset) {
            self.stats.count(Happened::ResumedBehindRows);
        }
        held.release.load(&mut loaded);
        self.mutate(held, &missing, &mut loaded);
        held.deltas.loaded(&loaded);
        // Meanwhile the worker serves its inbox; none of it may harm the waiting lane.
        if self.happens(Fault::Eviction, 5) {
            held.lane.evict(0);
        }
        held.lane.admit(&missing, loaded);
        Ok(true)
    }

    /// The answer; `None` if it did not arrive whole.
    fn load(&mut self, held: &Held<'_>, missing: &Missing) -> Option<Loaded> {
        let mut loaded = Loaded::default();
        let breaks_at = self.dice.below(LOAD_QUERIES);
        let breaks = self.happens(Fault::FailedLoad, 10);
        for query in 0..LOAD_QUERIES {
            if self.dice.chance(10) {
                self.land_late();
            }
            let store =
                if self.is_mutant(Mutant::LoadsStaleRows) { &self.stale } else { &self.store };
            store.load_table(query, held.lane.source(), missing, &mut loaded);
            if breaks && query == breaks_at {
                truncate(&mut loaded, &mut self.dice);
                return self.is_mutant(Mutant::AdmitsTruncatedLoads).then_some(loaded);
            }
        }
        shuffle(&mut loaded, &mut self.dice);
        Some(loaded)
    }

    fn mutate(&self, held: &Held<'_>, missing: &Missing, loaded: &mut Loaded) {
        let (own, next_offset) = (held.lane.source().as_str(), held.lane.next_offset());
        match self.mutant {
            Some(Mutant::DropsUpto) => {
                loaded.test_executions.iter_mut().for_each(|row| row.upto = 0);
                loaded.quota_usage.iter_mut().for_each(|row| row.upto = 0);
            }
            Some(Mutant::TakesUnheldAsZero) => {
                loaded.test_executions.clear();
                loaded.quota_usage.clear();
            }
            Some(Mutant::TakesLargeAccountsForWhole) => {
                loaded.extents.iter_mut().for_each(|extent| extent.has_all_seats = true);
            }
            Some(Mutant::TakesLaterMonthsForEmpty) => {
                let earlier = |last: YearMonth| YearMonth(last.0 - 1);
                loaded
                    .extents
                    .iter_mut()
                    .for_each(|extent| extent.last_counted = extent.last_counted.map(earlier));
            }
            Some(Mutant::JudgesByLaterFacts) => {
                let earlier = |source: &str, offset: &mut u64| {
                    if source == own {
                        *offset = (*offset).min(next_offset.saturating_sub(1));
                    }
                };
                loaded
                    .zone_facts
                    .iter_mut()
                    .for_each(|fact| earlier(&fact.source, &mut fact.offset));
                loaded
                    .plan_facts
                    .iter_mut()
                    .for_each(|fact| earlier(&fact.source, &mut fact.offset));
                loaded
                    .seat_facts
                    .iter_mut()
                    .for_each(|fact| earlier(&fact.source, &mut fact.offset));
            }
            Some(Mutant::ForgetsWhoCounted) => loaded.met_by.clear(),
            Some(Mutant::DropsUptoOfHours) => {
                loaded.audited_hours.iter_mut().for_each(|row| row.upto = 0);
            }
            Some(Mutant::TakesUnheldHoursAsZero) => loaded.audited_hours.clear(),
            Some(Mutant::TakesLaterHoursForEmpty) => {
                loaded.audited_hours.retain(|row| missing.hours.contains(&row.hour));
            }
            Some(Mutant::ForgetsOtherSources) => {
                loaded.zone_facts.retain(|fact| &*fact.source == own);
                loaded.plan_facts.retain(|fact| &*fact.source == own);
                loaded.seat_facts.retain(|fact| &*fact.source == own);
            }
            _ => {}
        }
    }
}

/// Half of the rows, of any table.
fn truncate(loaded: &mut Loaded, dice: &mut Dice) {
    shuffle(loaded, dice);
    loaded.moves_away.truncate(loaded.moves_away.len() / 2);
    loaded.met_by.truncate(loaded.met_by.len() / 2);
    loaded.extents.truncate(loaded.extents.len() / 2);
    loaded.zone_facts.truncate(loaded.zone_facts.len() / 2);
    loaded.plan_facts.truncate(loaded.plan_facts.len() / 2);
    loaded.organizations.truncate(loaded.organizations.len() / 2);
    loaded.seat_facts.truncate(loaded.seat_facts.len() / 2);
    loaded.seat_usage.truncate(loaded.seat_usage.len() / 2);
    loaded.test_executions.truncate(loaded.test_executions.len() / 2);
    loaded.quota_usage.truncate(loaded.quota_usage.len() / 2);
    loaded.audited_hours.truncate(loaded.audited_hours.len() / 2);
}

/// The store returns rows in any order.
fn shuffle(loaded: &mut Loaded, dice: &mut Dice) {
    dice.shuffle(&mut loaded.moves_away);
    dice.shuffle(&mut loaded.met_by);
    dice.shuffle(&mut loaded.zone_facts);
    dice.shuffle(&mut loaded.plan_facts);
    dice.shuffle(&mut loaded.organizations);
    dice.shuffle(&mut loaded.seat_facts);
    dice.shuffle(&mut loaded.seat_usage);
    dice.shuffle(&mut loaded.test_executions);
    dice.shuffle(&mut loaded.quota_usage);
    dice.shuffle(&mut loaded.audited_hours);
}

/// For [`Mutant::WritesDeltas`]: the values of a lane's counters when they were last written.
#[derive(Default)]
pub(super) struct Deltas {
    executions: BTreeMap<(Id, Id, Option<Id>, Day), ExecutionCount>,
    quota: BTreeMap<(Id, Id, i64, u32, Day), u64>,
}

impl Deltas {
    fn loaded(&mut self, loaded: &Loaded) {
        for row in &loaded.test_executions {
            let key = (row.account.clone(), row.organization.clone(), row.project.clone(), row.day);
            self.executions.insert(key, row.count);
        }
        for row in &loaded.quota_usage {
            let key =
                (row.account.clone(), row.organization.clone(), row.anchor_ms, row.month, row.day);
            self.quota.insert(key, row.tests);
        }
    }

    /// Turns cumulative values into differences.
    pub(super) fn subtract(&mut self, rows: &mut LaneRows) {
        for row in &mut rows.test_executions {
            let key = (row.account.clone(), row.organization.clone(), row.project.clone(), row.day);
            let before = self.executions.insert(key, row.count).unwrap_or_default();
            row.count.run -= before.run;
            row.count.uploaded -= before.uploaded;
            row.count.duration_ms -= before.duration_ms;
        }
        for row in &mut rows.quota_usage {
            let key =
                (row.account.clone(), row.organization.clone(), row.anchor_ms, row.month, row.day);
            row.tests -= self.quota.insert(key, row.tests).unwrap_or_default();
        }
    }
}
