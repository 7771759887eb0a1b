//! The log as `verify` reads it: readers that fold, and the progress that is shown meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::config::Config;
use crate::core::event::Record;
use crate::ingest::{LogReader, ReadsPartition};
use crate::verify::expected::Expected;
use crate::verify::fold::{Folded, PartitionFold};
use crate::verify::locate::Locator;
use crate::verify::scope::FoldedSource;

/// Rows of all folds that wait to be merged, at most: this share of the memory, as bytes a row.
/// The more wait, the more of them are merged before they reach the common rows.
const MEMORY_BYTES_PER_PENDING_ROW: usize = 2_000;

/// Rows of one fold that wait, at least and at most.
const PENDING_ROWS: (usize, usize) = (5_000, 200_000);

/// The topic's log.
pub(super) struct Log<'c> {
    reader: LogReader<'c>,
    topic: &'c str,
    threads: usize,
    stop: &'c CancellationToken,
}

impl<'c> Log<'c> {
    pub(super) fn open(
        config: &'c Config,
        threads: usize,
        stop: &'c CancellationToken,
    ) -> anyhow::Result<Self> {
        let reader = LogReader::connect(config)?;
        Ok(Self { reader, topic: &config.kafka.topic, threads, stop })
    }

    pub(super) fn topic(&self) -> &str {
        self.topic
    }

    /// The sources of all partitions, each with the first offset that is read: that of the log, or
    /// of the first record stamped at `from_ms` or later.
    pub(super) fn starts(&self, from_ms: Option<i64>) -> anyhow::Result<Vec<FoldedSource>> {
        tokio::task::block_in_place(|| {
            let mut folded = Vec::new();
            for source in self.reader.sources()? {
                let bounds = self.reader.bounds(source.partition())?;
                let start = match from_ms {
                    None => bounds.first,
                    Some(from_ms) => self
                        .reader
                        .offset_at(source.partition(), from_ms)?
                        .unwrap_or(bounds.end)
                        .max(bounds.first),
                };
                folded.push(FoldedSource { source, start });
            }
            Ok(folded)
        })
    }

    /// The ends of the logs of these folds.
    pub(super) fn ends(&self, folds: &[PartitionFold]) -> anyhow::Result<Vec<u64>> {
        tokio::task::block_in_place(|| {
            let end = |fold: &PartitionFold| -> anyhow::Result<u64> {
                Ok(self.reader.bounds(fold.folded().source.partition())?.end)
            };
            folds.iter().map(end).collect()
        })
    }

    /// Folds every partition to its end. False: that takes more memory than `memory_max`, bytes.
    pub(super) fn fold(
        &self,
        folds: &mut [PartitionFold],
        expected: &Expected,
        memory_max: usize,
        shows_progress: bool,
    ) -> anyhow::Result<bool> {
        let full = AtomicBool::new(false);
        let held: Vec<AtomicUsize> =
            folds.iter().map(|fold| AtomicUsize::new(fold.held_bytes())).collect();
        let is_over = self.stop.child_token();
        // Merges the rows so far, and looks at the memory that all folds take.
        let drain = |fold: &mut PartitionFold, own: &AtomicUsize| {
            fold.drain_into(expected);
            own.store(fold.held_bytes(), Ordering::Relaxed);
            let all: usize = held.iter().map(|held| held.load(Ordering::Relaxed)).sum();
            if all + expected.bytes() > memory_max {
                full.store(true, Ordering::Relaxed);
                is_over.cancel();
            }
        };
        let share = memory_max / MEMORY_BYTES_PER_PENDING_ROW / folds.len().max(1);
        let pending_rows_max = share.clamp(PENDING_ROWS.0, PENDING_ROWS.1);
        let drain = &drain;
        let reader = |(fold, own)| FoldingReader {
            fold,
            after: move |fold: &mut PartitionFold, _: &Record<'_>| {
                // The last rows are merged while other threads still read.
                if fold.is_due(pending_rows_max) || fold.next_offset() >= fold.end() {
                    drain(fold, own);
                }
            },
        };
        let mut readers: Vec<_> = folds.iter_mut().zip(&held).map(reader).collect();
        self.read(&mut readers, &is_over, shows_progress.then_some("verifying"))?;
        drop(readers);
        folds.iter_mut().zip(&held).for_each(|(fold, own)| drain(fold, own));
        Ok(!full.load(Ordering::Relaxed))
    }

    /// Folds every partition to its end, and hands each record's rows to the locator.
    pub(super) fn locate(
        &self,
        folds: &mut [PartitionFold],
        locator: &Mutex<Locator>,
    ) -> anyhow::Result<()> {
        let see = |fold: &mut PartitionFold, record: &Record<'_>| {
            if fold.takes(record) {
                let rows = fold.drain();
                locator.lock().unwrap_or_else(PoisonError::into_inner).see(record, &rows);
            }
        };
        let mut readers: Vec<_> =
            folds.iter_mut().map(|fold| FoldingReader { fold, after: &see }).collect();
        self.read(&mut readers, self.stop, Some("looking for the first offsets"))
    }

    fn read<R: ReadsPartition>(
        &self,
        readers: &mut [R],
        stop: &CancellationToken,
        action: Option<&'static str>,
    ) -> anyhow::Result<()> {
        let offsets = |reader: &R| reader.end().saturating_sub(reader.next_offset());
        let total: u64 = readers.iter().map(offsets).sum();
        let read = AtomicU64::new(0);
        let progress = action.map(|action| Mutex::new(Progress::new(action, Some(total))));
        let after = |records: u64| {
            let read = read.fetch_add(records, Ordering::Relaxed) + records;
            // Whoever finds it locked leaves showing to the other thread.
            if let Some(mut shown) = progress.as_ref().and_then(|shown| shown.try_lock().ok()) {
                shown.set(read.min(total), read);
            }
        };
        tokio::task::block_in_place(|| self.reader.read(self.threads, readers, stop, after))
            .context("cannot read the log")
    }
}

/// Folds a partition, and acts after each record.
struct FoldingReader<'f, A> {
    fold: &'f mut PartitionFold,
    after: A,
}

impl<A: FnMut(&mut PartitionFold, &Record<'_>) + Send> ReadsPartition for FoldingReader<'_, A> {
    fn partition(&self) -> u32 {
        self.fold.folded().source.partition()
    }

    fn next_offset(&self) -> u64 {
        self.fold.next_offset()
    }

    fn end(&self) -> u64 {
        self.fold.end()
    }

    fn read(&mut self, record: &Record<'_>) -> anyhow::Result<bool> {
        let folded = self.fold.fold(record)?;
        (self.after)(self.fold, record);
        Ok(folded == Folded::Passed)
    }

    fn sought(&mut self) {
        self.fold.sought();
    }

    fn pass_rest(&mut self) {
        self.fold.pass_rest();
    }
}
