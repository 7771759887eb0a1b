//! A lane with its state in the worker: being warmed, waiting for a load, to be sought.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::headway::Headway;
use super::librdkafka::{Batch, Message};
use super::opening::{Opening, Refusal};
use super::rebalance::Tenure;
use crate::core::continuity::{Continuity, Difference, Verdict};
use crate::core::decode::{decode, may_be_test_executed};
use crate::core::event::{Decoded, Record};
use crate::core::id::UserKeySeed;
use crate::core::lane::{Applied, Lane};
use crate::core::rollup::{LaneRows, LastRecord, Progress};
use crate::core::takeover::Claim;
use crate::telemetry::events;
use crate::telemetry::metrics::SeekCause;

/// A lane without a record for this long, although its log goes on, is probed: the rest may hold
/// nothing.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Loads after which a lane must be able to judge the record. A record needs a few at most (an
/// account, then the month in its zone); more would be an endless loop.
const FRUITLESS_LOADS_MAX: u32 = 16;

/// A lane and its state, owned by one worker.
pub(super) struct Slot {
    pub(super) tenure: Tenure,
    pub(super) lane: Lane,
    /// Frozen: reads no more, kept for its last flush.
    pub(super) is_frozen: bool,
    /// Position of the warming of the duplicate filter, or of the check of the last record, until
    /// it reaches the lane's next offset.
    warm_next: Option<u64>,
    /// Whether the log is still the one that was counted.
    continuity: Continuity,
    /// Index in its batch of the last record that was passed and that the lane does not know yet.
    last_passed: Option<usize>,
    /// The load that the lane waits for.
    loading: Option<AbortHandle>,
    fruitless_loads: u32,
    /// A failed seek, and when it is retried.
    pub(super) seek_due: Option<(Instant, SeekCause)>,
    /// The known end of the log.
    pub(super) high_watermark: u64,
    pub(super) headway: Headway,
    /// The consumer thread knows that the partition is read from.
    pub(super) is_read: bool,
    /// The client has given up the partition because of unreadable data; it is to be opened again.
    pub(super) reopen_at: Option<Instant>,
    /// When the last record came, or the lane was opened.
    last_record: Instant,
    /// Rows that were drained and are not acknowledged yet.
    unacknowledged_rows: usize,
    /// Memory of these rows, bytes.
    unacknowledged_bytes: usize,
    /// The lane's progress when it was opened.
    opened: Progress,
    /// The claim with which the lane was opened.
    pub(super) claim: Claim,
    /// Start of the log when the lane was opened.
    low_watermark: u64,
}

impl Slot {
    /// A lane that starts as decided. Offsets that retention deleted are passed at once.
    pub(super) fn new(tenure: Tenure, opening: &Opening, seed: UserKeySeed, now: Instant) -> Self {
        let mut lane = Lane::new(opening.source.clone(), opening.progress, seed);
        lane.skip_to(opening.marks.low);
        let read_from = lane
            .rewind_offset()
            .min(Continuity::look_from(&opening.progress))
            .max(opening.marks.low);
        Self {
            tenure,
            headway: Headway::new(lane.next_offset(), read_from, now),
            is_read: false,
            reopen_at: None,
            warm_next: (read_from < lane.next_offset()).then_some(read_from),
            continuity: Continuity::new(&opening.progress),
            last_passed: None,
            lane,
            is_frozen: false,
            loading: None,
            fruitless_loads: 0,
            seek_due: None,
            high_watermark: opening.marks.high,
            last_record: now,
            unacknowledged_rows: 0,
            unacknowledged_bytes: 0,
            opened: opening.progress,
            claim: opening.claim,
            low_watermark: opening.marks.low,
        }
    }

    /// The next offset to read: of the warming while it lasts, then of the lane.
    pub(super) fn read_from(&self) -> u64 {
        self.warm_next.unwrap_or_else(|| self.lane.next_offset())
    }

    /// The lane's progress when it was opened.
    pub(super) fn opened(&self) -> Progress {
        self.opened
    }

    /// Whether a record continues the log that was counted; to be checked for each record first.
    pub(super) fn judge(&mut self, record: &Record<'_>, leader_epoch: i32) -> Verdict {
        if self.continuity.is_under(leader_epoch) {
            return Verdict::Same;
        }
        self.continuity.see(&self.lane.progress(), record, leader_epoch)
    }

    /// A record of another leader epoch came: the last record must be read again before anything
    /// more is applied.
    pub(super) fn look_back(&mut self, leader_epoch: i32, now: Instant) {
        self.continuity.look_back(leader_epoch);
        self.warm_next = Some(Continuity::look_from(&self.lane.progress()).max(self.low_watermark));
        self.seek_due = Some((now, SeekCause::LeaderEpoch));
    }

    /// The last record is gone, and nothing else identifies the log. Logged unless retention
    /// deleted it.
    pub(super) fn tell_unrecognized(&self) {
        if let Some(last) =
            self.lane.progress().last_record.filter(|last| last.offset >= self.low_watermark)
        {
            events::log_unrecognized(self.lane.source(), last.offset);
        }
    }

    /// The log is not the one that was counted: nothing more is applied. Returns why the partition
    /// is refused.
    pub(super) fn refuse(&mut self, difference: Difference) -> Refusal {
        self.is_frozen = true;
        let source = self.lane.source();
        Refusal::Refilled {
            topic: source.topic().to_owned(),
            partition: source.partition(),
            difference,
        }
    }

    /// The lane has passed the record with this index in the batch.
    pub(super) fn passed(&mut self, index: usize) {
        self.made_headway();
        self.last_passed = Some(index);
    }

    /// Applies records that were let through earlier, in order, as far as it goes.
    pub(super) fn apply(&mut self, records: &[(Record<'_>, Decoded<'_>)]) -> Applied {
        let next_offset = self.lane.next_offset();
        let applied = self.lane.apply(records);
        let passed = match applied {
            Applied::All => records.len(),
            Applied::Blocked { index } | Applied::Gap { index } => index,
        };
        self.remember_last_of(&records[..passed], next_offset);
        applied
    }

    /// All these records are passed, and those below `next_offset` were dropped. All were accepted
    /// under one epoch.
    fn remember_last_of(&mut self, passed: &[(Record<'_>, Decoded<'_>)], next_offset: u64) {
        let counted =
            passed.iter().map(|(record, _)| record).filter(|record| record.offset >= next_offset);
        // If a record was delivered twice, the first one was counted.
        let last =
            counted.reduce(|last, record| if record.offset > last.offset { record } else { last });
        if let Some(last) = last {
            self.lane.remember_last(LastRecord::of(last, self.continuity.epoch()));
        }
        if !passed.is_empty() {
            self.made_headway();
        }
    }

    /// Sets the lane's last record. Called at the end of a batch, and before a drain or a check
    /// within a batch.
    pub(super) fn remember_last(&mut self, batch: &Batch<'_>) {
        let last = self.last_passed.take().and_then(|index| batch.message(index));
        if let Some(Message::Record { leader_epoch, record, .. }) = last {
            self.lane.remember_last(LastRecord::of(&record, leader_epoch));
        }
    }

    /// A record came. True if it only warms the duplicate filter and needs nothing more.
    pub(super) fn take_warming(&mut self, record: &Record<'_>, now: Instant) -> bool {
        self.last_record = now;
        let Some(warm_next) = self.warm_next else { return false };
        if record.offset >= self.lane.next_offset() {
            self.warm_next = None;
            return false;
        }
        // A record that is delivered twice is added once: offsets must ascend.
        if record.offset >= warm_next {
            if may_be_test_executed(record) {
                self.lane.warm(record, &decode(record));
            }
            self.warm_next = Some(record.offset + 1);
        }
        true
    }

    /// The lane waits for this load. False if the loads do not help.
    pub(super) fn begin_load(&mut self, load: AbortHandle) -> bool {
        self.fruitless_loads += 1;
        self.loading = Some(load);
        self.fruitless_loads <= FRUITLESS_LOADS_MAX
    }

    /// The load is answered.
    pub(super) fn end_load(&mut self) {
        self.loading = None;
    }

    /// The lane has advanced.
    fn made_headway(&mut self) {
        self.fruitless_loads = 0;
    }

    /// True during the warming, or a check of the last record.
    pub(super) fn is_warming(&self) -> bool {
        self.warm_next.is_some()
    }

    /// False if the next records are not wanted: the lane is frozen, or its warming has to go back
    /// first so that no id is skipped.
    pub(super) fn takes_records(&self) -> bool {
        let goes_back = self.is_warming() && self.seek_due.is_some();
        !(self.is_frozen || goes_back)
    }

    pub(super) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Yields the rows of the next flush.
    pub(super) fn drain(&mut self) -> LaneRows {
        self.unacknowledged_bytes += self.lane.pending_bytes();
        let rows = self.lane.drain();
        self.unacknowledged_rows += rows.row_count();
        rows
    }

    /// Everything drained so far is stored.
    pub(super) fn flushed(&mut self) {
        self.lane.flushed();
        self.unacknowledged_rows = 0;
        self.unacknowledged_bytes = 0;
    }

    /// Rows in memory that are not acknowledged by ClickHouse.
    pub(super) fn waiting_rows(&self) -> usize {
        self.lane.pending_rows() + self.unacknowledged_rows
    }

    /// Memory of these rows, bytes, approximately.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.lane.pending_bytes() + self.unacknowledged_bytes
    }

    /// True if the log goes on beyond the lane, but no records come.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        !self.is_frozen
            && !self.is_loading()
            && self.seek_due.is_none()
            && self.lane.next_offset() < self.high_watermark
            && now.saturating_duration_since(self.last_record) >= STALLED_AFTER
    }
}

impl Slot {
    /// Returns the headway state and drops the lane.
    pub(super) fn into_headway(mut self) -> Headway {
        let nothing = Headway::new(0, 0, self.last_record);
        std::mem::replace(&mut self.headway, nothing)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Nothing waits for the answer any more, and the load would be retried for ever.
        if let Some(load) = &self.loading {
            load.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::RecordHour;
    use crate::core::load::{Loaded, Missing};
    use crate::core::rollup::Source;
    use crate::ingest::opening::Watermarks;

    fn opening(next_offset: u64) -> Opening {
        Opening {
            source: Source::new("t", "", 0),
            progress: Progress { next_offset, accepted: next_offset, ..Progress::default() },
            claim: Claim::default(),
            marks: Watermarks { low: 0, high: 10 },
        }
    }

    fn slot(opening: &Opening) -> Slot {
        let seed = UserKeySeed { k0: 1, k1: 2 };
        let mut slot = Slot::new(Tenure { partition: 0, number: 1 }, opening, seed, Instant::now());
        // No hour of the audit is stored.
        let asked = Missing { hours: vec![RecordHour(0)], ..Missing::default() };
        slot.lane.admit(&asked, Loaded::default());
        slot
    }

    fn tombstone(offset: u64) -> Record<'static> {
        Record { offset, timestamp_ms: None, key: None, payload: None }
    }

    /// A lane whose last record was a tombstone at this offset, under leader epoch 1.
    fn opening_after(last_offset: u64, next_offset: u64) -> Opening {
        let mut opening = opening(next_offset);
        opening.progress.last_record = Some(LastRecord::of(&tombstone(last_offset), 1));
        opening
    }

    /// Passes a record to the slot as the worker does: the verdict, and whether it is to be
    /// applied.
    fn read(slot: &mut Slot, record: &Record<'_>, leader_epoch: i32) -> (Verdict, bool) {
        let verdict = slot.judge(record, leader_epoch);
        let goes_on = matches!(verdict, Verdict::Same | Verdict::Unrecognized);
        (verdict, goes_on && !slot.take_warming(record, Instant::now()))
    }

    #[test]
    fn warming_that_has_to_go_back_takes_nothing_until_it_has() {
        let mut slot = slot(&opening(5));
        assert!(slot.take_warming(&tombstone(2), Instant::now()));
        slot.seek_due = Some((Instant::now(), SeekCause::Start));
        assert!(!slot.takes_records());
        assert_eq!(slot.read_from(), 3);
        slot.seek_due = None;
        assert!(slot.takes_records());
    }

    #[test]
    fn a_lane_that_counts_goes_on_while_a_seek_is_due() {
        let mut slot = slot(&opening(0));
        slot.seek_due = Some((Instant::now(), SeekCause::Stalled));
        assert!(
            slot.takes_records(),
            "records below its position are dropped, and a gap is doubted"
        );
    }

    #[test]
    fn a_start_reads_the_last_record_again_where_the_log_holds_it() {
        let read_from = |last_offset, next_offset, low| {
            let marks = Watermarks { low, high: next_offset };
            slot(&Opening { marks, ..opening_after(last_offset, next_offset) }).read_from()
        };
        assert_eq!(read_from(9, 10, 0), 0);
        assert_eq!(read_from(9, 10, 9), 9);
        assert_eq!(read_from(9, 10, 10), 10, "retention took it");
        assert_eq!(
            read_from(2_999_999, 3_000_000, 0),
            2_000_000,
            "the duplicates' window lies before it"
        );
        assert_eq!(
            read_from(1_000_000, 3_000_000, 0),
            999_900,
            "a gap of more offsets than that window"
        );
    }

    #[test]
    fn a_log_that_holds_another_last_record_is_refused_at_the_start() {
        let mut slot = slot(&opening_after(9, 10));
        assert_eq!(read(&mut slot, &tombstone(8), 2), (Verdict::Same, false));
        let other = Record { payload: Some(b"x"), ..tombstone(9) };
        let (Verdict::Different(difference), _) = read(&mut slot, &other, 2) else {
            panic!("taken for the same log")
        };
        let refusal = slot.refuse(difference).to_string();
        assert!(
            refusal.contains("partition 0 of topic t") && refusal.contains("offset 9"),
            "{refusal}"
        );
        assert!(!slot.takes_records());
    }

    #[test]
    fn a_change_of_leader_epoch_sends_reading_back_before_anything_is_applied() {
        let mut slot = slot(&opening_after(9, 10));
        assert_eq!(read(&mut slot, &tombstone(9), 1), (Verdict::Same, false));
        assert_eq!(read(&mut slot, &tombstone(10), 1), (Verdict::Same, true));
        slot.apply(&[(tombstone(10), Decoded::Tombstone)]);
        assert_eq!(read(&mut slot, &tombstone(11), 3), (Verdict::LookBack, false));
        slot.look_back(3, Instant::now());
        assert!(
            !slot.takes_records(),
            "what else was fetched before the seek may be of another log"
        );
        assert_eq!(slot.read_from(), 0);
        slot.seek_due = None;
        assert_eq!(read(&mut slot, &tombstone(10), 1), (Verdict::Same, false));
        assert_eq!(read(&mut slot, &tombstone(11), 3), (Verdict::Same, true));

        slot.apply(&[(tombstone(11), Decoded::Tombstone)]);
        assert_eq!(read(&mut slot, &tombstone(12), 4), (Verdict::LookBack, false));
        slot.look_back(4, Instant::now());
        let other = Record { key: Some(b"x"), ..tombstone(11) };
        assert!(matches!(read(&mut slot, &other, 4).0, Verdict::Different(_)));
    }

    #[test]
    fn the_last_record_is_the_last_that_was_counted() {
        let mut slot = slot(&opening_after(9, 10));
        read(&mut slot, &tombstone(9), 1);
        let events = [tombstone(9), tombstone(10), Record { key: Some(b"twice"), ..tombstone(10) }];
        assert_eq!(slot.apply(&events.map(|record| (record, Decoded::Tombstone))), Applied::All);
        let last = |slot: &mut Slot| slot.drain().progress.last_record;
        assert_eq!(last(&mut slot), Some(LastRecord::of(&tombstone(10), 1)));
        // A record that is not applied, or lies beyond a gap that is not trusted, is not the last
        // record.
        let gap = [(tombstone(11), Decoded::Tombstone), (tombstone(20), Decoded::Tombstone)];
        assert_eq!(slot.apply(&gap), Applied::Gap { index: 1 });
        assert_eq!(last(&mut slot), Some(LastRecord::of(&tombstone(11), 1)));
        slot.lane.skip_to(20);
        assert_eq!(last(&mut slot), Some(LastRecord::of(&tombstone(11), 1)));
    }
}
