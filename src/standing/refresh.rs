//! The task that reads the standings.
//!
//! It *looks*: asks what was announced since the look before, and reads those accounts again. While
//! anybody asks, it looks so often that nobody has to wait for it, else now and then. Between the
//! looks it sweeps.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::held::{Fresh, HeldLook};
use super::looks::Looking;
use super::sweep::{FIRST_RUN_PLANS, RUN_PLANS, Sweep};
use crate::core::calendar::{Zone, day_of};
use crate::core::topics::Topic;
use crate::report::value::Timestamp;
use crate::store::{Accounts, Announcement, Store, StoreError};
use crate::telemetry::{events, standing as telemetry};

/// How long the standings are kept up at the pace of questions after the last one.
const DEMAND: Duration = Duration::from_secs(60);
/// Time between two looks while nobody asks.
const IDLE: Duration = Duration::from_secs(10);
/// Pause before they are read for the first time, unless somebody asks: who asks for reports as the
/// process starts is not to wait for what nobody has asked for.
const START: Duration = Duration::from_secs(1);
/// Time between two sweeps; while nobody asks, looks are enough for longer.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const IDLE_SWEEP: Duration = Duration::from_secs(600);
/// Pause after a look that failed, and after a sweep.
const RETRY: Duration = Duration::from_secs(1);
const SWEEP_RETRY: Duration = Duration::from_secs(10);
/// Time limit of a look, and of one run of a sweep.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How far timelines reach, milliseconds: beyond the greatest age of an answer, and the time
/// between sweeps.
const HORIZON_MS: i64 = 2 * 24 * 3_600_000;

/// Where failures are told of.
const COMPONENT: &str = "standings";

/// What reads the standings.
pub(super) struct Refresher {
    store: Store,
    topic: String,
    looking: Arc<Looking>,
    /// The next offset of each source as it was before the latest look, or what a source that has
    /// no progress has announced; `None` before the first look.
    offsets: Option<BTreeMap<String, u64>>,
    /// What the latest look found beyond these offsets.
    known: BTreeSet<Announcement>,
    sources: Orphans,
    sweep: Option<Sweep>,
    /// Beginning of the latest sweep that ended.
    swept: Option<Instant>,
    /// Set where a run of a sweep failed.
    no_sweep_before: Option<Instant>,
    /// Why the latest attempt failed.
    trouble: Option<String>,
}

/// Sources without progress, with what they have announced: those of a topic that was recreated,
/// whose progress an operator has deleted. What they have announced would else be new for ever.
#[derive(Default)]
struct Orphans {
    /// Those that had no progress at two sweeps, so that no first flush of theirs is under way.
    passed: BTreeMap<String, u64>,
    /// Those that had none at the latest sweep.
    suspects: BTreeMap<String, u64>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("ClickHouse did not answer within {} s", STEP_TIMEOUT.as_secs())]
    TookTooLong,
    #[error("what was read cannot be judged, which is a defect of the program")]
    Panicked,
}

impl Refresher {
    pub(super) fn new(store: Store, topic: String, looking: Arc<Looking>) -> Self {
        Self {
            store,
            topic,
            looking,
            offsets: None,
            known: BTreeSet::new(),
            sources: Orphans::default(),
            sweep: None,
            swept: None,
            no_sweep_before: None,
            trouble: None,
        }
    }

    /// Reads the standings for as long as the task lives.
    pub(super) async fn run(mut self) {
        tokio::select! {
            () = self.looking.woken() => {}
            () = tokio::time::sleep(START) => {}
        }
        loop {
            let began = Instant::now();
            if let Err(failure) = self.refresh().await {
                self.looking.attempt_failed();
                self.failed(&failure);
                tokio::time::sleep(RETRY).await;
                continue;
            }
            let next = began + self.pace();
            match self.sweep_until(next).await {
                Ok(()) => self.works_again(),
                // Looks go on, which is what those who ask depend on.
                Err(failure) => {
                    self.no_sweep_before = Some(Instant::now() + SWEEP_RETRY);
                    self.failed(&failure);
                }
            }
            self.looking.attempt_ended();
            tokio::select! {
                () = self.looking.woken() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Time from one look to the next. A look takes less than half of the greatest age, unless much
    /// has changed: so those who ask find what is young enough.
    fn pace(&self) -> Duration {
        let age_max = self.looking.look_age_max();
        // Where each question has to be looked for, it wakes the task.
        let is_paced = !age_max.is_zero() && self.looking.is_in_demand(DEMAND);
        if is_paced { age_max / 2 } else { IDLE }
    }

    /// Takes in all that is stored by now.
    async fn refresh(&mut self) -> Result<(), Failure> {
        if self.swept.is_none() {
            self.fill().await?;
        }
        self.look().await
    }

    /// Reads all accounts for the first time.
    async fn fill(&mut self) -> Result<(), Failure> {
        self.looking.attempt_begins();
        if self.sweep.is_none() {
            // Whatever is announced later is beyond these offsets.
            let sources = within(self.store.counted_sources(&self.topic)).await?;
            let announced = within(self.store.announced_by_source()).await?;
            self.sources.suspects = orphans(announced, &sources.next_offsets);
            self.sources.passed.clone_from(&self.sources.suspects);
            self.offsets = Some(self.sources.complete(sources.next_offsets));
            self.begin_sweep().await?;
        }
        while self.read_run().await? {}
        Ok(())
    }

    /// Takes in what was announced since the latest look.
    async fn look(&mut self) -> Result<(), Failure> {
        let began = self.looking.look_begins();
        // This has to be before the announcements are read.
        let sources = within(self.store.counted_sources(&self.topic)).await?;
        let offsets = self.offsets.get_or_insert_default();
        let found = within(self.store.announced_beyond(offsets)).await?;
        let found: BTreeSet<Announcement> = found.into_iter().collect();
        let changed = found.difference(&self.known).map(|announced| announced.account_id.clone());
        let changed: BTreeSet<String> = changed.collect();
        let data_through = sources.flushed_through_ms.map(Timestamp);
        let look = HeldLook { began, data_through };
        if !changed.is_empty() {
            self.looking.look_found(look, changed.clone());
        }
        let changed: Vec<String> = changed.into_iter().collect();
        for run in Accounts::runs(&changed) {
            within(read(&self.store, &self.looking, run)).await?;
        }
        self.known = found;
        self.offsets = Some(self.sources.complete(sources.next_offsets));
        self.looking.look_succeeded(look);
        Ok(())
    }

    /// Goes on with a sweep that is due, run by run, until the next look is.
    async fn sweep_until(&mut self, next: Instant) -> Result<(), Failure> {
        if self.no_sweep_before.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        if self.sweep.is_none() {
            let is_asked = self.looking.is_in_demand(DEMAND);
            let interval = if is_asked { SWEEP_INTERVAL } else { IDLE_SWEEP };
            if self.swept.is_some_and(|swept| swept.elapsed() < interval) {
                return Ok(());
            }
            self.looking.attempt_begins();
            let announced = within(self.store.announced_by_source()).await?;
            let sources = within(self.store.counted_sources(&self.topic)).await?;
            self.sources.pass(orphans(announced, &sources.next_offsets));
            self.begin_sweep().await?;
        }
        loop {
            self.looking.attempt_begins();
            let goes_on = self.read_run().await?;
            if !goes_on || Instant::now() >= next || self.looking.is_waited_for() {
                return Ok(());
            }
        }
    }

    async fn begin_sweep(&mut self) -> Result<(), Failure> {
        within(self.store.sync_topics(&[Topic::Tests])).await?;
        let accounts = within(self.store.accounts_with_plans()).await?;
        let run_plans = if self.swept.is_none() { FIRST_RUN_PLANS } else { RUN_PLANS };
        self.sweep = Some(Sweep::over(accounts, run_plans));
        Ok(())
    }

    /// Reads the next run of the sweep; false where it has ended.
    async fn read_run(&mut self) -> Result<bool, Failure> {
        let Some(sweep) = &mut self.sweep else { return Ok(false) };
        if let Some((after, upto)) = sweep.next() {
            let run = Accounts::Behind { after, upto };
            within(read(&self.store, &self.looking, run)).await?;
            sweep.passed();
            return Ok(true);
        }
        self.looking.reaches_to(sweep.began_ms + HORIZON_MS);
        self.swept = Some(sweep.began);
        self.sweep = None;
        Ok(false)
    }

    fn works_again(&mut self) {
        telemetry::read(Ok(()));
        if self.trouble.take().is_some() {
            events::waiting_ended(COMPONENT);
        }
    }

    /// Tells of a failure when it begins.
    fn failed(&mut self, failure: &Failure) {
        telemetry::read(Err(()));
        if self.trouble.is_none() {
            let reason = failure.to_string();
            events::waiting(COMPONENT, "cannot read the standings from ClickHouse", &reason);
            self.trouble = Some(reason);
        }
    }
}

impl Orphans {
    /// Those that had no progress at a sweep: what they have announced since the one before is read
    /// by it.
    fn pass(&mut self, now: BTreeMap<String, u64>) {
        let before = std::mem::replace(&mut self.suspects, now);
        self.passed = before;
        self.passed.retain(|source, _| self.suspects.contains_key(source));
    }

    /// The offsets beyond which announcements are new.
    fn complete(&self, next_offsets: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut offsets = self.passed.clone();
        offsets.extend(next_offsets);
        offsets
    }
}

/// Of what sources have announced that of those without progress.
fn orphans(
    announced: BTreeMap<String, u64>,
    next_offsets: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    announced.into_iter().filter(|(source, _)| !next_offsets.contains_key(source)).collect()
}

/// Reads accounts again.
async fn read(store: &Store, looking: &Looking, accounts: Accounts<'_>) -> Result<(), Failure> {
    store.sync_topics(&[Topic::Directory, Topic::Tests]).await?;
    let from_ms = Utc::now().timestamp_millis();
    // No clock is a whole day behind UTC.
    let from_day = day_of(Zone::UTC, from_ms).plus_days(-1);
    let quotas = store.quota_facts_from(accounts, from_day).await?;
    // Thousands of timelines take some milliseconds, which no answer is to wait for.
    let draw = move || Fresh::new(&quotas, from_ms, from_ms + HORIZON_MS);
    let fresh = tokio::task::spawn_blocking(draw).await.map_err(|_| Failure::Panicked)?;
    looking.take(accounts, fresh);
    Ok(())
}

/// Waits for a step, but not for ever.
async fn within<T, E>(step: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let step = tokio::time::timeout(STEP_TIMEOUT, step).await;
    Ok(step.map_err(|_| Failure::TookTooLong)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
        entries.iter().map(|&(source, offset)| (source.to_owned(), offset)).collect()
    }

    #[test]
    fn a_source_without_progress_is_passed_once_two_sweeps_have_found_it() {
        let mut sources = Orphans::default();
        let find = |announced| orphans(map(announced), &map(&[("live", 9)]));
        sources.pass(find(&[("live", 12), ("gone", 7), ("new", 3)]));
        assert_eq!(sources.complete(map(&[("live", 9)])), map(&[("live", 9)]));
        // Meanwhile the first flush of one has ended.
        sources.pass(find(&[("live", 14), ("gone", 8)]));
        assert_eq!(
            sources.complete(map(&[("live", 12), ("new", 3)])),
            map(&[("gone", 7), ("live", 12), ("new", 3)])
        );
        sources.pass(find(&[]));
        assert_eq!(sources.complete(map(&[("live", 12)])), map(&[("live", 12)]));
    }
}
