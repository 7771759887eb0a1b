//! One pass of `verify`: a share of the accounts, folded and compared until all of its rows were
//! equal once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::verify_log::Log;
use crate::core::rollup::Progress;
use crate::store::{Rows, Store};
use crate::verify::check::{Check, TableCheck};
use crate::verify::difference::{RowDifference, VerifiedPartition};
use crate::verify::expected::{Expected, ExpectedTable};
use crate::verify::fold::{PartitionFold, Taken};
use crate::verify::locate::Locator;
use crate::verify::prior::Prior;
use crate::verify::scope::{FoldedSource, VerifiedScope};
use crate::verify::selection::Selection;

/// Readings of rows that were not equal yet, at most.
const READINGS_MAX: u32 = 100;

/// How long the progress may take to cover what was stored when rows were read.
const COVER_WAIT: Duration = Duration::from_secs(30);

/// The pause between two looks at the progress.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Accounts that are read again one by one, at most; beyond it their whole share is.
const ACCOUNTS_MAX: usize = 2_000;

/// Tables that are compared at once, each by a thread.
const TABLES_AT_ONCE: usize = 2;

/// A pass to be done.
pub(super) struct Pass<'p> {
    pub(super) store: &'p Store,
    pub(super) log: &'p Log<'p>,
    pub(super) folded: &'p [FoldedSource],
    pub(super) selection: Selection,
    pub(super) taken: Taken,
    /// Memory for what the log says, bytes.
    pub(super) memory_max: usize,
    pub(super) stop: &'p CancellationToken,
}

/// Outcome of a pass.
pub(super) enum PassOutcome {
    /// It takes more memory than there is.
    Full,
    /// It is done.
    Done(Box<DonePass>),
}

/// What a pass has found.
pub(super) struct DonePass {
    pub(super) rows: u64,
    pub(super) differences: Vec<RowDifference>,
    pub(super) more_differences: u64,
    pub(super) unsettled: Vec<RowDifference>,
    pub(super) partitions: Vec<VerifiedPartition>,
    /// Differences of the recorded outcomes.
    pub(super) outcomes: Vec<String>,
    pub(super) scope: VerifiedScope,
}

/// The recorded progress of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recorded {
    progress: Progress,
    flushed_at_ms: Option<i64>,
}

impl Pass<'_> {
    /// `is_last`: no other pass will need its memory.
    pub(super) async fn run(&self, is_last: bool) -> anyhow::Result<PassOutcome> {
        let mut expected = Expected::default();
        let mut recorded = self.recorded().await?;
        let mut scope = self.scope().await?;
        let mut folds = self.folds(&recorded, &scope).await?;
        if !self.log.fold(&mut folds, &expected, self.memory_max, true)? {
            return Ok(PassOutcome::Full);
        }
        let (partitions, outcomes) = self.outcomes(&folds, &recorded);
        let mut check = Check::new();
        for _ in 0..READINGS_MAX {
            if self.stop.is_cancelled() {
                break;
            }
            self.read_rows(&mut check, &mut expected, &scope)?;
            if check.pending() == 0 {
                break;
            }
            let ends = self.log.ends(&folds)?;
            let covers = self.wait_for_cover(&mut recorded, &ends).await?;
            scope = self.scope().await?;
            if !covers {
                // No worker goes on: what was found must lie below the end of the log.
                self.fold_on(&mut folds, &ends, &expected, &scope).await?;
                check.judge(&mut expected, true);
                break;
            }
            let ends = self.next_offsets(&recorded);
            self.fold_on(&mut folds, &ends, &expected, &scope).await?;
            check.judge(&mut expected, true);
        }
        let rows = expected.rows();
        let (differences, more_differences, unsettled) = check.finish(&mut expected);
        if is_last {
            // Nobody has to wait for it.
            std::thread::spawn(move || drop((folds, expected)));
        }
        Ok(PassOutcome::Done(Box::new(DonePass {
            rows,
            differences,
            more_differences,
            unsettled,
            partitions,
            outcomes,
            scope,
        })))
    }

    /// Folds the accounts of differences again, up to the progress as it is now.
    pub(super) async fn locate(&self, locator: Locator) -> anyhow::Result<Locator> {
        let recorded = self.recorded().await?;
        let scope = self.scope().await?;
        let mut folds = self.folds(&recorded, &scope).await?;
        let locator = Mutex::new(locator);
        self.log.locate(&mut folds, &locator)?;
        Ok(locator.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// A fold of each partition, to be read up to the recorded progress.
    async fn folds(
        &self,
        recorded: &BTreeMap<String, Recorded>,
        scope: &VerifiedScope,
    ) -> anyhow::Result<Vec<PartitionFold>> {
        let seed = self.store.user_key_seed().await?;
        let prior = Arc::new(Prior::load(self.store.clone(), scope.clone()).await?);
        let fold = |folded: &FoldedSource| {
            let prior = Arc::clone(&prior);
            PartitionFold::new(folded.clone(), self.selection.clone(), self.taken, prior, seed)
        };
        let mut folds: Vec<PartitionFold> = self.folded.iter().map(fold).collect();
        for (fold, end) in folds.iter_mut().zip(self.next_offsets(recorded)) {
            fold.go_on_to(end, Arc::clone(&prior));
        }
        Ok(folds)
    }

    async fn fold_on(
        &self,
        folds: &mut [PartitionFold],
        ends: &[u64],
        expected: &Expected,
        scope: &VerifiedScope,
    ) -> anyhow::Result<()> {
        let prior = Arc::new(Prior::load(self.store.clone(), scope.clone()).await?);
        for (fold, end) in folds.iter_mut().zip(ends) {
            fold.go_on_to(*end, Arc::clone(&prior));
        }
        self.log.fold(folds, expected, usize::MAX, false)?;
        Ok(())
    }

    /// The recorded progress of the topic, by source.
    async fn recorded(&self) -> anyhow::Result<BTreeMap<String, Recorded>> {
        self.store.sync_replica().await?;
        let rows = self.store.progress(self.log.topic()).await?;
        let by_source = rows.into_iter().map(|row| {
            let recorded = Recorded { progress: row.progress, flushed_at_ms: row.flushed_at_ms };
            (row.source.as_str().to_owned(), recorded)
        });
        Ok(by_source.collect())
    }

    fn next_offsets(&self, recorded: &BTreeMap<String, Recorded>) -> Vec<u64> {
        let of = |folded: &FoldedSource| {
            let row = recorded.get(folded.source.as_str());
            row.map_or(0, |row| row.progress.next_offset).max(folded.start)
        };
        self.folded.iter().map(of).collect()
    }

    async fn scope(&self) -> anyhow::Result<VerifiedScope> {
        let mut scope = VerifiedScope::new(self.folded, self.store.recorded_sources().await?);
        let Selection { divisor, remainder, .. } = self.selection;
        let met = self.store.met_elsewhere(&scope.whole_sources(), divisor, remainder).await?;
        scope.met(met);
        Ok(scope)
    }

    /// Reads the rows that are not known to agree: while the rows of one table are compared,
    /// ClickHouse merges those of the next.
    fn read_rows(
        &self,
        check: &mut Check,
        expected: &mut Expected,
        scope: &VerifiedScope,
    ) -> anyhow::Result<()> {
        let tables = check.tables().iter_mut().zip(expected.by_table());
        let mut tables: Vec<_> = tables.filter(|(check, _)| self.reads(check)).collect();
        // The largest comes first, so that the threads end at about the same time.
        tables.sort_by_key(|(_, expected)| expected.rows());
        let waiting = Mutex::new(tables);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let runtime = Handle::current();
        let read = || -> anyhow::Result<()> {
            while let Some((check, expected)) = next() {
                runtime.block_on(self.read_table(check, expected, scope))?;
            }
            Ok(())
        };
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..TABLES_AT_ONCE).map(|_| scope.spawn(read)).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            })
        })
    }

    fn reads(&self, check: &TableCheck) -> bool {
        let table = check.table();
        let is_taken = match self.taken {
            Taken::AllOutcomes => true,
            Taken::OwnOutcomes => !table.is_of_all_records(),
            Taken::Accounts => table.is_by_account(),
        };
        is_taken && (check.is_first() || check.is_pending())
    }

    async fn read_table(
        &self,
        check: &mut TableCheck,
        mut expected: ExpectedTable<'_>,
        scope: &VerifiedScope,
    ) -> anyhow::Result<()> {
        let table = check.table();
        let Selection { accounts, divisor, remainder } = &self.selection;
        let share = Rows::Share { divisor: *divisor, remainder: *remainder };
        let named: Option<Vec<String>> =
            accounts.as_ref().map(|accounts| accounts.iter().cloned().collect());
        let is_first = check.is_first();
        let pending = if is_first { Vec::new() } else { check.pending_accounts() };
        let rows = match &named {
            Some(named) => Rows::Of(named),
            None if is_first || !table.is_by_account() || pending.len() > ACCOUNTS_MAX => share,
            None => Rows::Of(&pending),
        };
        let see = |row| check.see(row, &mut expected, scope);
        self.store.compared_rows(table, rows, see).await?;
        check.end_reading(&mut expected, scope);
        Ok(())
    }

    /// Waits until the progress covers what was stored when rows were read: it has come to the end
    /// that the log had then, or a flush was completed since. False: neither in time.
    async fn wait_for_cover(
        &self,
        recorded: &mut BTreeMap<String, Recorded>,
        ends: &[u64],
    ) -> anyhow::Result<bool> {
        let before = self.recorded().await?;
        let deadline = Instant::now() + COVER_WAIT;
        loop {
            *recorded = self.recorded().await?;
            let next_offsets = self.next_offsets(recorded);
            let covers = self.folded.iter().zip(ends).zip(next_offsets).all(
                |((folded, end), next_offset)| {
                    let flushed_at = |rows: &BTreeMap<String, Recorded>| {
                        rows.get(folded.source.as_str()).and_then(|row| row.flushed_at_ms)
                    };
                    next_offset >= *end || flushed_at(recorded) > flushed_at(&before)
                },
            );
            if covers || Instant::now() >= deadline || self.stop.is_cancelled() {
                return Ok(covers);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Compares the outcomes of the records with the recorded ones.
    fn outcomes(
        &self,
        folds: &[PartitionFold],
        recorded: &BTreeMap<String, Recorded>,
    ) -> (Vec<VerifiedPartition>, Vec<String>) {
        let (mut partitions, mut outcomes) = (Vec::new(), Vec::new());
        for fold in folds {
            let folded = fold.folded();
            let row = recorded.get(folded.source.as_str()).copied().unwrap_or_default();
            let differing = match self.taken {
                Taken::AllOutcomes => differing(fold.progress(), row.progress, folded.start == 0),
                Taken::OwnOutcomes | Taken::Accounts => Vec::new(),
            };
            let partition = folded.source.partition();
            partitions.push(VerifiedPartition {
                partition,
                first_offset: folded.start,
                next_offset: fold.next_offset(),
                outcomes_agree: differing.is_empty(),
            });
            outcomes.extend(differing.into_iter().map(|(name, wanted, found)| {
                format!(
                    "source_progress partition={partition} {name}: wanted {wanted}, found {found}; \
                     by the log from offset {} to {}",
                    folded.start,
                    fold.next_offset()
                )
            }));
        }
        (partitions, outcomes)
    }
}

/// The counts that are not what the log says: name, wanted, found. Where the log is read in part,
/// the recorded ones may be greater.
fn differing(wanted: Progress, found: Progress, is_whole: bool) -> Vec<(&'static str, u64, u64)> {
    let counts = [
        ("accepted", wanted.accepted, found.accepted),
        ("rejected", wanted.rejected, found.rejected),
        ("duplicates", wanted.duplicates, found.duplicates),
        ("skipped", wanted.skipped, found.skipped),
        ("absent", wanted.absent, found.absent),
    ];
    let differs = |&(name, wanted, found): &(&str, u64, u64)| match is_whole {
        true => wanted != found,
        // What repeats an event from before the first offset cannot be told, and what is gone by
        // now may have been counted.
        false => name == "rejected" && found < wanted,
    };
    counts.into_iter().filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_outcomes_are_exact_where_the_log_is_whole() {
        let wanted = Progress { accepted: 5, rejected: 2, ..Progress::default() };
        let found = Progress { accepted: 6, rejected: 1, ..Progress::default() };
        assert_eq!(differing(wanted, wanted, true), []);
        assert_eq!(differing(wanted, found, true), [("accepted", 5, 6), ("rejected", 2, 1)]);
        assert_eq!(differing(wanted, found, false), [("rejected", 2, 1)]);
        assert_eq!(differing(found, wanted, false), []);
    }
}
