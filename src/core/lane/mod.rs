//! A lane: the state machine that meters one partition.
//!
//! A lane never reads a clock, never loads or writes anything itself, and never evicts an entry
//! that the store does not hold yet. Its caller follows this protocol:
//!
//! ```text
//! new -> warm* -> ( apply -> All                                        go on with the next batch
//!                         -> Blocked: missing(rest), load, admit,       then apply the rest
//!                         -> Gap: drop the rest, seek, sought()         then read again
//!                   drain -> write every row -> write the progress -> flushed )*
//! ```
//!
//! The store must not be asked to load rows older than the last flush, and nothing newer is written
//! before a drain is acknowledged.

mod ahead;
mod apply;
mod eviction;
mod holding;
mod idle;
mod ledger;
#[cfg(test)]
mod tests;

use hashbrown::HashMap;

pub use self::ahead::{AHEAD_RECORDS, Ahead};
pub use self::idle::IdleBytes;
use self::ledger::AuditLedger;
use super::account::{Account, HeldBlock};
use super::audit::{HourCounts, RecordHour, write_term};
use super::dedup::{DuplicateFilter, WINDOW_OFFSETS, event_id};
use super::event::{Decoded, EventKind, Record};
use super::id::{Id, UserKeySeed};
use super::rollup::{
    LaneRows, LastRecord, Progress, QuotaUsage, RejectedRecord, Source, TestExecutions,
};
use super::row_bytes::RowBytes as _;

/// Memory of a drained row of an entry of `accounts`, at most, bytes; it shares its texts with the
/// account.
const MERGED_ROW_BYTES: usize = size_of::<TestExecutions>();

/// Resolution of the record timestamps of a drain, milliseconds; enough for the latency metric.
const RECORD_TIME_GRAIN_MS: i64 = 10;

/// Distinct record timestamps in one drain, at most.
const RECORD_TIMES_MAX: usize = 10_000;

/// The state machine of one partition.
#[derive(Debug)]
pub struct Lane {
    source: Source,
    seed: UserKeySeed,
    progress: Progress,
    trust: Trust,
    duplicates: DuplicateFilter,
    hours: AuditLedger,
    accounts: HashMap<Id, Account>,
    /// Accounts with something to drain besides `rows`.
    dirty_accounts: Vec<Id>,
    /// Accounts with an event since the last drain.
    counted_accounts: Vec<Id>,
    /// Rows that need no merging before the drain.
    rows: LaneRows,
    /// Memory of `rows`, bytes.
    row_bytes: usize,
    /// Rows that the entries of `accounts` will yield.
    merged_rows: usize,
    /// The drain that will carry what changes now; the first is 1.
    drain: u32,
    /// The last drain whose rows are acknowledged.
    acknowledged: u32,
    /// Reused to hash event ids in one piece.
    id_bytes: Vec<u8>,
    /// Reused for the term of a record in the audit.
    audit_term: Vec<u8>,
}

/// Whether a gap in the offsets is trusted.
///
/// | state | contiguous record | gap |
/// |---|---|---|
/// | `Doubted` (after an assignment, rebalance, pause or error) | stays | answers [`Applied::Gap`], stays |
/// | `Sought` (a seek to the next offset succeeded) | `Believed` | counted as absent, `Believed` |
/// | `Believed` | stays | counted as absent |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Doubted,
    Sought,
    Believed,
}

/// Result of [`Lane::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every record was applied.
    All,
    /// Record `index` of the batch, and those after it, were not: it needs something that the lane
    /// does not hold. Ask [`Lane::missing`] about the rest, load, [`Lane::admit`], and apply the
    /// rest.
    Blocked { index: usize },
    /// Record `index` lies beyond the lane's next offset, and the lane has reason to doubt that the
    /// offsets between are really absent: discard the rest, seek to [`Lane::next_offset`], call
    /// [`Lane::sought`] once the seek has succeeded, and read again.
    Gap { index: usize },
}

/// Outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The lane has passed it.
    Passed,
    /// See [`Applied::Blocked`].
    Blocked,
    /// See [`Applied::Gap`].
    Gap,
}

impl Lane {
    /// A lane that starts at `progress` and does not trust the first gap. Its duplicate filter is
    /// empty: feed it the records of [`Lane::rewind_offset`]`..next_offset` by [`Lane::warm`]
    /// first. Users' keys are made with `seed`.
    pub fn new(source: Source, progress: Progress, seed: UserKeySeed) -> Self {
        Self {
            rows: LaneRows::new(source.clone(), progress),
            source,
            seed,
            progress,
            trust: Trust::Doubted,
            duplicates: DuplicateFilter::default(),
            hours: AuditLedger::default(),
            accounts: HashMap::new(),
            dirty_accounts: Vec::new(),
            row_bytes: 0,
            counted_accounts: Vec::new(),
            merged_rows: 0,
            drain: 1,
            acknowledged: 0,
            id_bytes: Vec::new(),
            audit_term: Vec::new(),
        }
    }

    /// The partition that the lane meters.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Progress of the lane, flushed or not.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The first offset that is not counted yet.
    pub fn next_offset(&self) -> u64 {
        self.progress.next_offset
    }

    /// The offset to read from so that the duplicate filter is complete: 1,000,000 offsets before
    /// the next one.
    pub fn rewind_offset(&self) -> u64 {
        self.progress.next_offset.saturating_sub(WINDOW_OFFSETS)
    }

    /// Remembers the id of a record below the next offset, and does nothing else. A record below
    /// one that was given earlier is dropped. So an error in between requires a new lane: records
    /// that were skipped would be missing.
    pub fn warm(&mut self, record: &Record<'_>, decoded: &Decoded<'_>) {
        if record.offset >= self.progress.next_offset {
            return;
        }
        if let Decoded::Event(event) = decoded
            && let EventKind::TestExecuted(test) = &event.kind
        {
            let id = event_id(event, test, &mut self.id_bytes);
            let seen = self.duplicates.see(id, record.offset, record.timestamp_ms);
            self.duplicates.remember(seen);
        }
    }

    /// The next gap is not to be trusted: call this after every assignment, rebalance, pause,
    /// error, and seek that did not answer a [`Applied::Gap`].
    pub fn doubt(&mut self) {
        self.trust = Trust::Doubted;
    }

    /// The seek that a [`Applied::Gap`] asked for succeeded, and nothing fetched before it will be
    /// applied any more: the next record shows whether the gap is real.
    pub fn sought(&mut self) {
        self.trust = Trust::Sought;
    }

    /// Passes the offsets below `offset`, which the log is known not to hold, and counts them as
    /// absent.
    pub fn skip_to(&mut self, offset: u64) {
        let absent = offset.saturating_sub(self.progress.next_offset);
        self.progress.absent += absent;
        self.progress.next_offset += absent;
    }

    /// Sets the record that was passed last. The caller does so before every drain, because hashing
    /// each record would cost too much.
    pub fn remember_last(&mut self, last: LastRecord) {
        debug_assert!(last.offset < self.progress.next_offset, "it has not been passed: {last:?}");
        self.progress.last_record = Some(last);
    }

    /// Applies records in order, as [`apply_one`](Self::apply_one) does.
    pub fn apply(&mut self, batch: &[(Record<'_>, Decoded<'_>)]) -> Applied {
        let mut ahead = [Ahead::default(); AHEAD_RECORDS];
        for (number, chunk) in batch.chunks(AHEAD_RECORDS).enumerate() {
            for ((_, decoded), ahead) in chunk.iter().zip(&mut ahead) {
                *ahead = self.look_ahead(decoded);
            }
            for (at, (record, decoded)) in chunk.iter().enumerate() {
                let index = number * AHEAD_RECORDS + at;
                match self.apply_one(record, decoded, ahead[at]) {
                    Step::Passed => {}
                    Step::Blocked => return Applied::Blocked { index },
                    Step::Gap => return Applied::Gap { index },
                }
            }
        }
        Applied::All
    }

    /// Applies one record. One below the next offset is dropped: Kafka clients deliver twice on
    /// leader changes and pauses.
    pub fn apply_one(&mut self, record: &Record<'_>, decoded: &Decoded<'_>, ahead: Ahead) -> Step {
        if record.offset < self.progress.next_offset {
            return Step::Passed;
        }
        if record.offset > self.progress.next_offset && self.trust == Trust::Doubted {
            return Step::Gap;
        }
        if self.trust == Trust::Sought {
            self.trust = Trust::Believed;
        }
        self.skip_to(record.offset);
        if !self.hours.turn_to(RecordHour::of(record.timestamp_ms), self.drain) {
            return Step::Blocked;
        }
        let of_record = match decoded {
            Decoded::Tombstone => {
                self.progress.skipped += 1;
                HourCounts::SKIPPED
            }
            Decoded::Rejected(reject) => {
                self.progress.rejected += 1;
                let rejected = RejectedRecord::of(record, reject.clone());
                self.row_bytes += rejected.bytes();
                self.rows.rejected.push(rejected);
                HourCounts::REJECTED
            }
            Decoded::Event(event) => {
                write_term(record, event, &mut self.audit_term);
                match self.apply_event(record, event, ahead) {
                    Judgement::Accepted => {
                        self.progress.accepted += 1;
                        HourCounts::accepted(event, &self.audit_term)
                    }
                    Judgement::Duplicate => {
                        self.progress.duplicates += 1;
                        HourCounts::DUPLICATE
                    }
                    Judgement::NotHeld => return Step::Blocked,
                }
            }
        };
        let is_change = self.hours.count(record.offset, self.drain, of_record);
        self.merged_rows += usize::from(is_change);
        self.progress.next_offset = record.offset + 1;
        self.note_record_time(record.timestamp_ms);
        Step::Passed
    }

    /// Yields every row that changed since the last drain. The caller writes them, and writes
    /// nothing newer before they are acknowledged.
    pub fn drain(&mut self) -> LaneRows {
        let empty = LaneRows::new(self.source.clone(), self.progress);
        let mut rows = std::mem::replace(&mut self.rows, empty);
        rows.progress = self.progress;
        let upto = self.progress.next_offset;
        rows.audited_hours = self.hours.take_changed(upto);
        for account_id in std::mem::take(&mut self.dirty_accounts) {
            let Some(account) = self.accounts.get_mut(&account_id) else { continue };
            account.is_dirty = false;
            rows.active_users.extend(account.drain_active());
            account.drain_seat_activity(&mut rows.seat_intervals);
            for (number, month) in std::mem::take(&mut account.changed_blocks) {
                let organization = account.organizations.get(number);
                let Some(HeldBlock { block, .. }) = organization.blocks.get(month) else {
                    continue;
                };
                let id = &organization.id;
                rows.test_executions.extend(block.executions.take_changed().into_iter().map(
                    |(key, count)| TestExecutions {
                        account: account_id.clone(),
                        organization: id.clone(),
                        project: key.project,
                        day: key.day,
                        count,
                        upto,
                    },
                ));
                rows.quota_usage.extend(block.quota.take_changed().into_iter().map(
                    |(key, tests)| QuotaUsage {
                        account: account_id.clone(),
                        organization: id.clone(),
                        anchor_ms: key.month.anchor_ms,
                        month: key.month.month,
                        day: key.day,
                        tests,
                        upto,
                    },
                ));
            }
        }
        for account_id in std::mem::take(&mut self.counted_accounts) {
            let Some(account) = self.accounts.get_mut(&account_id) else { continue };
            rows.account_progress.extend(account.take_progress());
        }
        self.merged_rows = 0;
        self.row_bytes = 0;
        self.drain += 1;
        rows
    }

    /// The rows of all drains so far are acknowledged, and the progress with them.
    pub fn flushed(&mut self) {
        self.acknowledged = self.drain - 1;
    }

    /// Rows that the next drain will yield, approximately.
    pub fn pending_rows(&self) -> usize {
        self.merged_rows + self.rows.row_count()
    }

    /// Memory of these rows, bytes, approximately. Names and rejected records vary too much in size
    /// for a bound on rows.
    pub fn pending_bytes(&self) -> usize {
        self.row_bytes + self.merged_rows * MERGED_ROW_BYTES
    }

    /// Ids that the duplicate filter remembers.
    pub fn remembered_ids(&self) -> usize {
        self.duplicates.len()
    }

    fn note_record_time(&mut self, timestamp_ms: Option<i64>) {
        let Some(timestamp_ms) = timestamp_ms else { return };
        let grain =
            timestamp_ms.div_euclid(RECORD_TIME_GRAIN_MS).saturating_mul(RECORD_TIME_GRAIN_MS);
        let times = &mut self.rows.record_times;
        let is_full = times.len() >= RECORD_TIMES_MAX;
        match times.last_mut() {
            Some((latest, records)) if *latest == grain || is_full => *records += 1,
            _ => times.push((grain, 1)),
        }
    }
}

/// Outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Accepted,
    Duplicate,
    /// The lane lacks something that the event needs; nothing was changed.
    NotHeld,
}
