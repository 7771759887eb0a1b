//! One partition's log, folded by a fresh lane without a store.

use std::sync::Arc;

use super::expected::Expected;
use super::hours::HourSums;
use super::prior::Prior;
use super::scope::FoldedSource;
use super::selection::Selection;
use crate::core::audit::{HourCounts, write_term};
use crate::core::decode::decode;
use crate::core::dedup::{DuplicateFilter, WINDOW_MS, WINDOW_OFFSETS, event_id};
use crate::core::event::{Decoded, EventKind, Record};
use crate::core::id::UserKeySeed;
use crate::core::lane::{Ahead, Lane, Step};
use crate::core::rollup::{LaneRows, Progress, RejectedRecord};
use crate::store::StoreError;

/// Memory of a row that waits to be merged, bytes, about; rejected records take more.
const PENDING_ROW_BYTES: usize = 160;

/// Records between two looks at how many rows wait.
const RECORDS_BETWEEN_LOOKS: u32 = 256;

/// By how much the timestamps of neighbouring records may be out of order, milliseconds.
const DISORDER_MS: i64 = 3_600_000;

/// Loads after which a lane must be able to judge a record.
const LOADS_MAX: u32 = 16;

/// Outcome of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// It is passed.
    Passed,
    /// Offsets before it are missing, which a seek to the next offset has to confirm.
    Gap,
}

/// What a pass takes of the log besides the rows of the selected accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The outcomes of all records, and all rejections.
    AllOutcomes,
    /// The outcomes and rejections of the selected accounts.
    OwnOutcomes,
    /// Nothing: another pass has taken it.
    Accounts,
}

/// Why a log cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// Facts from before could not be loaded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A lane asks for the same again and again, which is a defect of this program.
    #[error("offset {0} cannot be judged; this is a defect of seatmeter, please report it")]
    Stuck(u64),
}

/// A fold of one partition.
pub struct PartitionFold {
    folded: FoldedSource,
    lane: Lane,
    selection: Selection,
    taken: Taken,
    /// Counts the records that are not selected, where their outcomes are taken.
    others: Others,
    /// Records since the last look at how many rows wait.
    unlooked: u32,
    prior: Arc<Prior>,
    /// Reading stops before this offset.
    end: u64,
    absent: u64,
    believes_gaps: bool,
    held_bytes: usize,
    /// Until then a test may repeat one from before the start; so none is counted.
    unsure: Option<Unsure>,
}

/// Offsets behind a start where duplicates cannot be told.
#[derive(Clone, Copy, Debug)]
struct Unsure {
    /// The first offset behind them.
    end: u64,
    /// Timestamp of the first record, milliseconds since 1970 UTC.
    began_ms: Option<i64>,
}

impl Unsure {
    fn covers(&mut self, record: &Record<'_>) -> bool {
        let began_ms = self.began_ms.or(record.timestamp_ms);
        self.began_ms = began_ms;
        let is_late = began_ms.zip(record.timestamp_ms).is_some_and(|(began_ms, stamped_ms)| {
            stamped_ms > began_ms.saturating_add(WINDOW_MS + DISORDER_MS)
        });
        record.offset < self.end && !is_late
    }
}

impl PartitionFold {
    /// A fold at the source's start. Records that `selection` does not take are passed.
    pub fn new(
        folded: FoldedSource,
        selection: Selection,
        taken: Taken,
        prior: Arc<Prior>,
        seed: UserKeySeed,
    ) -> Self {
        let progress = Progress::starting_at(folded.start);
        let mut lane = Lane::new(folded.source.clone(), progress, seed);
        // Gaps are doubted here, over all records.
        lane.sought();
        Self {
            lane,
            selection,
            taken,
            others: Others::default(),
            unlooked: 0,
            prior,
            end: folded.start,
            absent: 0,
            believes_gaps: false,
            held_bytes: 0,
            unsure: (folded.start > 0)
                .then_some(Unsure { end: folded.start + WINDOW_OFFSETS, began_ms: None }),
            folded,
        }
    }

    /// The source, and where it begins.
    pub fn folded(&self) -> &FoldedSource {
        &self.folded
    }

    /// The first offset that is not folded yet.
    pub fn next_offset(&self) -> u64 {
        self.lane.next_offset()
    }

    /// The offset before which reading stops.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Reads on to this offset, with facts from before as they are known now.
    pub fn go_on_to(&mut self, end: u64, prior: Arc<Prior>) {
        self.end = self.end.max(end);
        self.prior = prior;
    }

    /// What became of the records: of all, where those that are not selected are counted too.
    pub fn progress(&self) -> Progress {
        let mut progress = self.lane.progress();
        progress.absent = self.absent;
        progress.accepted += self.others.accepted;
        progress.rejected += self.others.rejected;
        progress.duplicates += self.others.duplicates;
        progress.skipped += self.others.skipped;
        progress
    }

    /// Memory for the selected accounts, bytes, about, as of the last drain.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether a record belongs to a selected account.
    pub fn takes(&self, record: &Record<'_>) -> bool {
        self.selection.takes(record.key)
    }

    /// Folds a record below the end.
    ///
    /// # Errors
    /// Where facts from before cannot be loaded.
    pub fn fold(&mut self, record: &Record<'_>) -> Result<Folded, FoldError> {
        let next_offset = self.lane.next_offset();
        if record.offset < next_offset {
            return Ok(Folded::Passed);
        }
        if record.offset > next_offset {
            if !self.believes_gaps {
                return Ok(Folded::Gap);
            }
            self.pass_to(record.offset);
        }
        if !self.selection.takes(record.key) {
            if self.taken == Taken::AllOutcomes {
                let is_unsure = self.is_near_start(record);
                self.others.count(record, !is_unsure);
            }
            self.lane.skip_to(record.offset + 1);
            return Ok(Folded::Passed);
        }
        let pair = (*record, decode(record));
        if self.is_unsure(&pair) {
            self.lane.skip_to(record.offset + 1);
            self.lane.warm(&pair.0, &pair.1);
            return Ok(Folded::Passed);
        }
        let mut loads = 0;
        while self.lane.apply_one(&pair.0, &pair.1, Ahead::default()) != Step::Passed {
            if loads == LOADS_MAX {
                return Err(FoldError::Stuck(record.offset));
            }
            loads += 1;
            let missing = self.lane.missing(std::slice::from_ref(&pair));
            let loaded = self.prior.answer(self.lane.source(), &missing)?;
            self.lane.admit(&missing, loaded);
        }
        Ok(Folded::Passed)
    }

    /// Whether the record is a test that may be a duplicate of one that is not read.
    fn is_unsure(&mut self, (record, decoded): &(Record<'_>, Decoded<'_>)) -> bool {
        if !self.is_near_start(record) {
            return false;
        }
        let Decoded::Event(event) = decoded else { return false };
        matches!(event.kind, EventKind::TestExecuted(_))
    }

    /// Whether duplicates cannot be told at the record yet.
    fn is_near_start(&mut self, record: &Record<'_>) -> bool {
        let Some(unsure) = &mut self.unsure else { return false };
        if !unsure.covers(record) {
            self.unsure = None;
        }
        self.unsure.is_some()
    }

    /// A seek to the next offset succeeded: the next gap is real.
    pub fn sought(&mut self) {
        self.believes_gaps = true;
    }

    /// The log holds nothing more below the end.
    pub fn pass_rest(&mut self) {
        self.pass_to(self.end);
    }

    fn pass_to(&mut self, offset: u64) {
        self.absent += offset.saturating_sub(self.lane.next_offset());
        self.lane.skip_to(offset);
    }

    /// Whether so many rows wait that they should be merged; to be asked after each record.
    pub fn is_due(&mut self, rows_max: usize) -> bool {
        self.unlooked += 1;
        if self.unlooked < RECORDS_BETWEEN_LOOKS {
            return false;
        }
        self.unlooked = 0;
        let bytes = self.lane.pending_bytes() + self.others.rejected_bytes;
        self.lane.pending_rows() >= rows_max || bytes >= rows_max * PENDING_ROW_BYTES
    }

    /// Merges the rows so far.
    pub fn drain_into(&mut self, expected: &Expected) {
        expected.absorb(&self.drain());
        self.held_bytes = self.lane.held_bytes();
    }

    /// The rows since the last drain.
    pub fn drain(&mut self) -> LaneRows {
        let mut rows = self.lane.drain();
        self.lane.flushed();
        if self.taken == Taken::Accounts {
            rows.rejected.clear();
        }
        match self.taken {
            Taken::AllOutcomes => self.others.hours.complete(&mut rows.audited_hours),
            // Hours are of all records.
            Taken::OwnOutcomes | Taken::Accounts => rows.audited_hours.clear(),
        }
        rows.rejected.append(&mut self.others.rejected_rows);
        self.others.rejected_bytes = 0;
        rows
    }
}

/// Outcomes of the records that are not selected. They depend on no account's state: whether an
/// event is a duplicate is told by ids alone.
#[derive(Debug, Default)]
struct Others {
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    skipped: u64,
    hours: HourSums,
    seen: DuplicateFilter,
    id_bytes: Vec<u8>,
    audit_term: Vec<u8>,
    rejected_rows: Vec<RejectedRecord>,
    /// Memory of these, bytes.
    rejected_bytes: usize,
}

impl Others {
    /// Counts a record, in its hour too where `audits`.
    fn count(&mut self, record: &Record<'_>, audits: bool) {
        let of_record = self.judge(record);
        if audits {
            self.hours.count(record, of_record);
        }
    }

    fn judge(&mut self, record: &Record<'_>) -> HourCounts {
        match decode(record) {
            Decoded::Tombstone => {
                self.skipped += 1;
                HourCounts::SKIPPED
            }
            Decoded::Rejected(reject) => {
                self.rejected += 1;
                let row = RejectedRecord::of(record, reject);
                self.rejected_bytes += row.payload.len() + row.key.as_ref().map_or(0, Vec::len);
                self.rejected_rows.push(row);
                HourCounts::REJECTED
            }
            Decoded::Event(event) => {
                write_term(record, &event, &mut self.audit_term);
                if let EventKind::TestExecuted(test) = &event.kind {
                    let id = event_id(&event, test, &mut self.id_bytes);
                    let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
                    let seen = self.seen.see(id, offset, timestamp_ms);
                    let is_duplicate = seen.is_duplicate;
                    self.seen.remember(seen);
                    if is_duplicate {
                        self.duplicates += 1;
                        return HourCounts::DUPLICATE;
                    }
                }
                self.accepted += 1;
                HourCounts::accepted(&event, &self.audit_term)
            }
        }
    }
}
