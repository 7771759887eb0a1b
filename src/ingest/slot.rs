//! A lane with what the shell has to know about it: whether it is being warmed, waits for a load, or is to be sought.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::headway::Headway;
use super::rebalance::Tenure;
use super::start::Opening;
use crate::core::decode::{decode, may_be_test_executed};
use crate::core::event::Record;
use crate::core::id::UserKeySeed;
use crate::core::lane::Lane;
use crate::core::rollup::{LaneRows, Progress};
use crate::core::takeover::Claim;
use crate::telemetry::metrics::SeekCause;

/// A lane that has got no record for this long, though its log goes on, is looked at: the rest may hold nothing.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Loads after which a lane still cannot judge the same record. A record needs a few at most (an account, then the month
/// that its zone tells); more would go on for ever.
const FRUITLESS_LOADS_MAX: u32 = 16;

/// A lane and its surroundings, owned by one worker.
pub(super) struct Slot {
    pub(super) tenure: Tenure,
    pub(super) lane: Lane,
    /// Reads no more; kept for its last flush.
    pub(super) is_frozen: bool,
    /// Where the warming of the duplicate filter stands, until it reaches the lane's next offset.
    warm_next: Option<u64>,
    /// The load that the lane waits for.
    loading: Option<AbortHandle>,
    fruitless_loads: u32,
    /// A seek that failed, and when it is tried again.
    pub(super) seek_due: Option<(Instant, SeekCause)>,
    /// The end of the log as far as it is known.
    pub(super) high_watermark: u64,
    pub(super) headway: Headway,
    /// The consumer thread knows that the partition is read from.
    pub(super) is_read: bool,
    /// The client has given the partition up because of data that it cannot read; it is to be opened anew then.
    pub(super) reopen_at: Option<Instant>,
    /// When the last record came, or the lane was opened.
    last_record: Instant,
    /// Rows that were drained and are not acknowledged yet.
    unacknowledged_rows: usize,
    /// What they take, bytes.
    unacknowledged_bytes: usize,
    /// Where the lane stood when it was opened.
    opened: Progress,
    /// With which the lane was opened.
    pub(super) claim: Claim,
}

impl Slot {
    /// A lane that starts as decided. What retention took is passed at once.
    pub(super) fn new(tenure: Tenure, opening: &Opening, seed: UserKeySeed, now: Instant) -> Self {
        let mut lane = Lane::new(opening.source.clone(), opening.progress, seed);
        lane.skip_to(opening.marks.low);
        let read_from = lane.rewind_offset().max(opening.marks.low);
        Self {
            tenure,
            headway: Headway::new(lane.next_offset(), read_from, now),
            is_read: false,
            reopen_at: None,
            warm_next: (read_from < lane.next_offset()).then_some(read_from),
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
        }
    }

    /// The offset that is to be read next: of the warming while it lasts, then of the lane.
    pub(super) fn read_from(&self) -> u64 {
        self.warm_next.unwrap_or_else(|| self.lane.next_offset())
    }

    /// Where the lane stood when it was opened.
    pub(super) fn opened(&self) -> Progress {
        self.opened
    }

    /// A record came. True where it was only there to warm the duplicate filter, and nothing more is to be done.
    pub(super) fn take_warming(&mut self, record: &Record<'_>, now: Instant) -> bool {
        self.last_record = now;
        let Some(warm_next) = self.warm_next else { return false };
        if record.offset >= self.lane.next_offset() {
            self.warm_next = None;
            return false;
        }
        // A record that is delivered twice is remembered once: offsets must ascend.
        if record.offset >= warm_next {
            if may_be_test_executed(record) {
                self.lane.warm(record, &decode(record));
            }
            self.warm_next = Some(record.offset + 1);
        }
        true
    }

    /// The lane waits for this load. False where loading does not help it on.
    pub(super) fn begin_load(&mut self, load: AbortHandle) -> bool {
        self.fruitless_loads += 1;
        self.loading = Some(load);
        self.fruitless_loads <= FRUITLESS_LOADS_MAX
    }

    /// The load has come.
    pub(super) fn end_load(&mut self) {
        self.loading = None;
    }

    /// The lane got further.
    pub(super) fn made_headway(&mut self) {
        self.fruitless_loads = 0;
    }

    /// True while only ids are read.
    pub(super) fn is_warming(&self) -> bool {
        self.warm_next.is_some()
    }

    /// False where the next records are not wanted: the lane reads no more, or its warming is to go back first, so that no
    /// id is passed over.
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

    /// Rows in memory that ClickHouse does not hold for sure.
    pub(super) fn waiting_rows(&self) -> usize {
        self.lane.pending_rows() + self.unacknowledged_rows
    }

    /// What they take, bytes, about.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.lane.pending_bytes() + self.unacknowledged_bytes
    }

    /// True where the log goes on beyond the lane, and yet nothing comes.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        !self.is_frozen
            && !self.is_loading()
            && self.seek_due.is_none()
            && self.lane.next_offset() < self.high_watermark
            && now.saturating_duration_since(self.last_record) >= STALLED_AFTER
    }
}

impl Slot {
    /// What is known of its headway; the lane is gone.
    pub(super) fn into_headway(mut self) -> Headway {
        let nothing = Headway::new(0, 0, self.last_record);
        std::mem::replace(&mut self.headway, nothing)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Nobody waits for the answer any more, and the load would go on trying for ever.
        if let Some(load) = &self.loading {
            load.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rollup::Source;
    use crate::ingest::topic::Watermarks;

    fn opening(next_offset: u64) -> Opening {
        Opening {
            source: Source::new("t", "", 0),
            progress: Progress { next_offset, accepted: next_offset, ..Progress::default() },
            claim: Claim::default(),
            marks: Watermarks { low: 0, high: 10 },
        }
    }

    fn slot(next_offset: u64) -> Slot {
        let seed = UserKeySeed { k0: 1, k1: 2 };
        Slot::new(Tenure { partition: 0, number: 1 }, &opening(next_offset), seed, Instant::now())
    }

    #[test]
    fn warming_that_has_to_go_back_takes_nothing_until_it_has() {
        let mut slot = slot(5);
        let tombstone = |offset| Record { offset, timestamp_ms: None, key: None, payload: None };
        assert!(slot.take_warming(&tombstone(2), Instant::now()));
        slot.seek_due = Some((Instant::now(), SeekCause::Start));
        assert!(!slot.takes_records());
        assert_eq!(slot.read_from(), 3);
        slot.seek_due = None;
        assert!(slot.takes_records());
    }

    #[test]
    fn a_lane_that_counts_goes_on_while_a_seek_is_due() {
        let mut slot = slot(0);
        slot.seek_due = Some((Instant::now(), SeekCause::Stalled));
        assert!(slot.takes_records(), "records below its position are dropped, and a gap is doubted");
    }
}
