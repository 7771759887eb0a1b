//! Whether the log that is read is still the one that was counted.
//!
//! A log can lose its end and be refilled: after an unclean leader election, or when a broker comes
//! back without its last segment. Offsets alone do not show it once the log has grown again. The
//! last record that was passed shows it. Its offset, the epoch of the leader that appended it and a
//! fingerprint of its content are stored with the progress, and looked for again when a lane opens,
//! and whenever the leader epoch changes under it.
//!
//! No check is needed while the epoch stays the same: an epoch has one leader, which appends each
//! offset once, so two consecutive records of the same epoch are of the same log. Verdicts of a
//! check, with `l` the last record's offset and `n` the next one:
//!
//! | the log holds | verdict |
//! |---|---|
//! | at `l` the same record, then nothing up to `n` | the same log |
//! | at `l` another record | another log |
//! | a record between `l` and `n`, where none was | another log |
//! | nothing at `l`; before it a record of a later epoch, or after it one of an earlier | another log: epochs ascend |
//! | nothing at `l`; after it a record of the same epoch | the same log, compacted or cut at its beginning |
//! | nothing at `l`, and no such epochs | unknown: counting goes on, with a warning |
//!
//! The content decides, not the epoch: an equal record under another epoch was appended again.

use std::fmt;

use super::event::{Record, UNKNOWN_EPOCH};
use super::rollup::{LastRecord, Progress};

/// How many offsets before the last record a check reads: their epochs decide if the last record
/// itself is gone.
const NEIGHBOUR_OFFSETS: u64 = 100;

/// Follows the records of one lane and decides whether they continue the log that was counted.
#[derive(Debug)]
pub struct Continuity {
    /// The leader epoch that the next record may have without a check; `None`: any.
    epoch: Option<i32>,
    /// A check is running: reading went back to the last record and has not reached the next offset
    /// yet.
    look: Option<LookBack>,
}

#[derive(Debug)]
struct LookBack {
    /// The epoch to trust once the check has succeeded.
    epoch: Option<i32>,
    /// The epoch of the latest record below the last record's offset.
    before: i32,
    is_found: bool,
}

/// Evidence of a record about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the log, as far as can be seen.
    Same,
    /// As `Same`, but the last counted record is gone, and nothing else shows whether this is its
    /// log.
    Unrecognized,
    /// It may come from another log: discard it and what follows, call [`Continuity::look_back`],
    /// and read again from [`Continuity::look_from`].
    LookBack,
    /// It does not continue the log that was counted.
    Different(Difference),
}

/// How the log differs from the one that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// This offset holds another record than the last one that was counted.
    OtherRecord { offset: u64 },
    /// This offset holds a record, although it held none when it was passed.
    NewRecord { offset: u64 },
    /// The last record that was counted is gone, and the leader epochs around its offset contradict
    /// its log.
    OtherEpochs { offset: u64, leader_epoch: i32 },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRecord { offset } => {
                write!(f, "the record at offset {offset} is not the one that was counted")
            }
            Self::NewRecord { offset } => {
                write!(f, "offset {offset} holds a record, but held none when it was counted past")
            }
            Self::OtherEpochs { offset, leader_epoch } => write!(
                f,
                "the record that was counted at offset {offset}, of leader epoch {leader_epoch}, \
                is gone, and the epochs around that offset are not those of its log"
            ),
        }
    }
}

impl Continuity {
    /// For a lane that starts with this progress: its last record is checked first, if there is
    /// one.
    pub fn new(progress: &Progress) -> Self {
        let last = progress.last_record;
        let epoch = last.map(|last| last.leader_epoch).filter(|&epoch| epoch != UNKNOWN_EPOCH);
        Self {
            epoch,
            look: last.map(|_| LookBack { epoch, before: UNKNOWN_EPOCH, is_found: false }),
        }
    }

    /// The offset to read from so that a check sees the last record and some before it.
    pub fn look_from(progress: &Progress) -> u64 {
        let last = progress.last_record.map_or(progress.next_offset, |last| last.offset);
        last.saturating_sub(NEIGHBOUR_OFFSETS)
    }

    /// Reading goes back to the last record, because of a record of this epoch.
    pub fn look_back(&mut self, leader_epoch: i32) {
        self.look =
            Some(LookBack { epoch: Some(leader_epoch), before: UNKNOWN_EPOCH, is_found: false });
    }

    /// The leader epoch of the records that were let through last.
    pub fn epoch(&self) -> i32 {
        self.epoch.unwrap_or(UNKNOWN_EPOCH)
    }

    /// Whether records of this epoch need no check, as nearly all of them.
    pub fn is_under(&self, leader_epoch: i32) -> bool {
        self.look.is_none() && self.epoch == Some(leader_epoch)
    }

    /// Judges the next record that was read. During a check `progress` must name the last record
    /// that was passed.
    pub fn see(&mut self, progress: &Progress, record: &Record<'_>, leader_epoch: i32) -> Verdict {
        let Some(look) = &mut self.look else {
            return self.follow(progress.next_offset, record.offset, leader_epoch);
        };
        let last = progress.last_record;
        if record.offset < progress.next_offset {
            return match last {
                Some(last) if record.offset > last.offset => {
                    Verdict::Different(Difference::NewRecord { offset: record.offset })
                }
                Some(last)
                    if record.offset == last.offset && record.fingerprint() != last.fingerprint =>
                {
                    Verdict::Different(Difference::OtherRecord { offset: record.offset })
                }
                Some(last) if record.offset == last.offset => {
                    look.is_found = true;
                    Verdict::Same
                }
                _ => {
                    look.before = leader_epoch;
                    Verdict::Same
                }
            };
        }
        let (epoch, verdict) = match last {
            Some(last) if !look.is_found => {
                (Some(leader_epoch), without(&last, look.before, leader_epoch))
            }
            _ => (look.epoch, Verdict::Same),
        };
        self.look = None;
        self.epoch = epoch.filter(|&epoch| epoch != UNKNOWN_EPOCH);
        match verdict {
            Verdict::Same => self.follow(progress.next_offset, record.offset, leader_epoch),
            other => other,
        }
    }

    /// Outside of a check: a record at or beyond the next offset is let through if it is of the
    /// epoch before it. Those below it are dropped by the lane.
    fn follow(&mut self, next_offset: u64, offset: u64, leader_epoch: i32) -> Verdict {
        if self.is_under(leader_epoch) || leader_epoch == UNKNOWN_EPOCH || offset < next_offset {
            return Verdict::Same;
        }
        if self.epoch.is_some() {
            return Verdict::LookBack;
        }
        self.epoch = Some(leader_epoch);
        Verdict::Same
    }
}

/// The verdict where the last record is gone: by the epochs of the records before and after its
/// offset.
fn without(last: &LastRecord, before: i32, behind: i32) -> Verdict {
    let is_earlier =
        |one: i32, other: i32| one != UNKNOWN_EPOCH && other != UNKNOWN_EPOCH && one < other;
    let epoch = last.leader_epoch;
    if is_earlier(epoch, before) || is_earlier(behind, epoch) {
        return Verdict::Different(Difference::OtherEpochs {
            offset: last.offset,
            leader_epoch: epoch,
        });
    }
    if epoch != UNKNOWN_EPOCH && epoch == behind { Verdict::Same } else { Verdict::Unrecognized }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a log: offset, leader epoch, value.
    type Stood = (u64, i32, &'static str);

    fn record((offset, _, value): Stood) -> Record<'static> {
        Record {
            offset,
            timestamp_ms: Some(1),
            key: Some(b"acme"),
            payload: Some(value.as_bytes()),
        }
    }

    /// The progress of a lane that passed `last`, then nothing up to `next_offset`.
    fn progress(last: Stood, next_offset: u64) -> Progress {
        Progress {
            next_offset,
            last_record: Some(LastRecord::of(&record(last), last.1)),
            ..Progress::default()
        }
    }

    /// Opens a lane and shows it a log: the verdict of the last record, those before it being
    /// `Same`.
    fn open(progress: &Progress, log: &[Stood]) -> Verdict {
        let mut continuity = Continuity::new(progress);
        see_all(&mut continuity, progress, log)
    }

    fn see_all(continuity: &mut Continuity, progress: &Progress, log: &[Stood]) -> Verdict {
        let (last, rest) = log.split_last().unwrap();
        for &stood in rest {
            assert_eq!(
                continuity.see(progress, &record(stood), stood.1),
                Verdict::Same,
                "{stood:?}"
            );
        }
        continuity.see(progress, &record(*last), last.1)
    }

    #[test]
    fn a_log_that_holds_the_last_record_goes_on() {
        let progress = progress((9, 5, "j"), 10);
        assert_eq!(open(&progress, &[(8, 5, "i"), (9, 5, "j"), (10, 5, "k")]), Verdict::Same);
        assert_eq!(
            open(&progress, &[(9, 7, "j"), (10, 5, "k")]),
            Verdict::Same,
            "the content decides"
        );
    }

    #[test]
    fn another_record_in_its_place_is_another_log_under_any_epoch() {
        let progress = progress((9, 5, "j"), 10);
        let other = Verdict::Different(Difference::OtherRecord { offset: 9 });
        for epoch in [4, 5, 6, UNKNOWN_EPOCH] {
            assert_eq!(open(&progress, &[(8, epoch, "i"), (9, epoch, "x")]), other);
        }
    }

    #[test]
    fn a_record_where_none_was_is_another_log() {
        let progress = progress((7, 5, "h"), 10);
        let new = Verdict::Different(Difference::NewRecord { offset: 8 });
        assert_eq!(open(&progress, &[(7, 5, "h"), (8, 6, "i")]), new);
        assert_eq!(open(&progress, &[(6, 5, "g"), (8, 5, "i")]), new);
        assert_eq!(open(&progress, &[(7, 5, "h"), (10, 5, "k")]), Verdict::Same);
    }

    #[test]
    fn a_last_record_that_is_gone_is_judged_by_the_epochs_around_it() {
        let progress = progress((9, 5, "j"), 10);
        let other = Verdict::Different(Difference::OtherEpochs { offset: 9, leader_epoch: 5 });
        assert_eq!(open(&progress, &[(8, 6, "i"), (10, 6, "k")]), other);
        assert_eq!(open(&progress, &[(8, 4, "i"), (10, 4, "k")]), other);
        assert_eq!(
            open(&progress, &[(8, 5, "i"), (12, 5, "m")]),
            Verdict::Same,
            "compaction took it"
        );
        assert_eq!(open(&progress, &[(8, 5, "i"), (12, 6, "m")]), Verdict::Unrecognized);
        assert_eq!(open(&progress, &[(12, 6, "m")]), Verdict::Unrecognized, "retention took it");
        assert_eq!(open(&progress, &[(12, UNKNOWN_EPOCH, "m")]), Verdict::Unrecognized);
    }

    #[test]
    fn a_log_without_epochs_is_known_by_its_last_record_alone() {
        let progress = progress((9, UNKNOWN_EPOCH, "j"), 10);
        assert_eq!(
            open(&progress, &[(9, UNKNOWN_EPOCH, "j"), (10, UNKNOWN_EPOCH, "k")]),
            Verdict::Same
        );
        assert_eq!(
            open(&progress, &[(9, UNKNOWN_EPOCH, "j"), (10, 3, "k")]),
            Verdict::Same,
            "its first epoch"
        );
        assert!(matches!(open(&progress, &[(9, UNKNOWN_EPOCH, "x")]), Verdict::Different(_)));
    }

    #[test]
    fn a_change_of_epoch_is_followed_by_a_look() {
        let before = progress((9, 5, "j"), 10);
        for epoch in [6, 4] {
            let mut continuity = Continuity::new(&before);
            assert_eq!(
                see_all(&mut continuity, &before, &[(9, 5, "j"), (10, epoch, "k")]),
                Verdict::LookBack
            );
            continuity.look_back(epoch);
            assert_eq!(
                see_all(&mut continuity, &before, &[(9, 5, "j"), (10, epoch, "k")]),
                Verdict::Same
            );
            let after = progress((10, epoch, "k"), 11);
            assert_eq!(see_all(&mut continuity, &after, &[(11, epoch, "l")]), Verdict::Same);
            assert_eq!(
                see_all(&mut continuity, &after, &[(11, epoch + 1, "l")]),
                Verdict::LookBack
            );
            continuity.look_back(epoch + 1);
            let other = Verdict::Different(Difference::OtherRecord { offset: 10 });
            assert_eq!(
                see_all(&mut continuity, &after, &[(9, 5, "j"), (10, epoch + 1, "x")]),
                other
            );
        }
    }

    #[test]
    fn an_epoch_that_changes_during_a_look_is_looked_after_too() {
        let progress = progress((9, 5, "j"), 10);
        let mut continuity = Continuity::new(&progress);
        assert_eq!(
            see_all(&mut continuity, &progress, &[(9, 5, "j"), (10, 6, "k")]),
            Verdict::LookBack
        );
        continuity.look_back(6);
        assert_eq!(
            see_all(&mut continuity, &progress, &[(9, 5, "j"), (10, 7, "x")]),
            Verdict::LookBack
        );
    }

    #[test]
    fn records_without_an_epoch_and_those_delivered_twice_ask_for_no_look() {
        let progress = progress((9, 5, "j"), 10);
        let log = [(9, 5, "j"), (10, 5, "k"), (3, 2, "d"), (10, UNKNOWN_EPOCH, "k"), (10, 5, "k")];
        assert_eq!(open(&progress, &log), Verdict::Same);
    }

    #[test]
    fn a_lane_that_has_passed_nothing_takes_the_first_epoch() {
        let fresh = Progress { next_offset: 70, ..Progress::default() };
        let mut continuity = Continuity::new(&fresh);
        assert_eq!(
            see_all(&mut continuity, &fresh, &[(70, 5, "a"), (71, 5, "b"), (72, 6, "c")]),
            Verdict::LookBack
        );
        assert_eq!(Continuity::look_from(&fresh), 0);
    }
}
