//! The hours of the audit that a lane holds. Like any counter of a lane, an hour that is not held
//! is never 0: records are stamped by producers, so one of any hour may come, and is counted after
//! a load.

use hashbrown::HashMap;

use crate::core::account::Upkeep;
use crate::core::audit::{AuditedHour, HourCounts, RecordHour};

/// The hours that a lane holds.
#[derive(Debug)]
pub(super) struct AuditLedger {
    hours: Vec<HeldHour>,
    /// Index in `hours` of each.
    places: HashMap<RecordHour, usize>,
    /// Index of the hour of the last record; most records are stamped in the hour of the one
    /// before.
    current: usize,
    /// Hours after this one that are not held stand at 0; `None`: all of them do. The last possible
    /// hour as long as nothing is known about stored ones.
    counted_until: Option<RecordHour>,
    /// True once it is known which hour is the last stored one.
    has_extent: bool,
}

/// The counts of one hour.
#[derive(Debug)]
pub(super) struct HeldHour {
    hour: RecordHour,
    first_offset: u64,
    counts: HourCounts,
    /// The stored counts cover every record below this offset, which may lie beyond the lane's own
    /// position.
    upto: u64,
    has_changed: bool,
    upkeep: Upkeep,
}

impl HeldHour {
    fn new(hour: RecordHour, used: u32) -> Self {
        Self {
            hour,
            first_offset: u64::MAX,
            counts: HourCounts::default(),
            upto: 0,
            has_changed: false,
            upkeep: Upkeep { used, changed: 0 },
        }
    }
}

impl Default for AuditLedger {
    fn default() -> Self {
        Self {
            hours: Vec::new(),
            places: HashMap::new(),
            current: 0,
            counted_until: Some(RecordHour::LAST),
            has_extent: false,
        }
    }
}

impl AuditLedger {
    /// True if the counts of the hour are known.
    pub(super) fn knows(&self, hour: RecordHour) -> bool {
        Some(hour) > self.counted_until || self.places.contains_key(&hour)
    }

    /// The next record is of this hour. False if its counts are not known; nothing is changed then.
    pub(super) fn turn_to(&mut self, hour: RecordHour, drain: u32) -> bool {
        if self.hours.get(self.current).is_some_and(|held| held.hour == hour) {
            return true;
        }
        if let Some(&place) = self.places.get(&hour) {
            self.current = place;
            return true;
        }
        let is_uncounted = Some(hour) > self.counted_until;
        if is_uncounted {
            self.current = self.hold(HeldHour::new(hour, drain));
        }
        is_uncounted
    }

    /// Counts a record of the hour that was turned to, unless the stored counts cover it already.
    /// True if the hour had not changed since the last drain before.
    pub(super) fn count(&mut self, offset: u64, drain: u32, of_record: HourCounts) -> bool {
        let held = self.hours.get_mut(self.current).expect("the record's hour was turned to");
        held.upkeep.used = drain;
        if held.upto > offset {
            return false;
        }
        held.first_offset = held.first_offset.min(offset);
        held.counts += of_record;
        held.upkeep.changed = drain;
        !std::mem::replace(&mut held.has_changed, true)
    }

    /// Admits the store's answer about the hours that were asked for: their stored rows, possibly
    /// with others, among them that of the last hour of the source.
    pub(super) fn admit(&mut self, asked: &[RecordHour], stored: &[AuditedHour], drain: u32) {
        if asked.is_empty() {
            return;
        }
        if !self.has_extent {
            self.has_extent = true;
            self.counted_until = stored.iter().map(|row| row.hour).max();
        }
        let rows: HashMap<RecordHour, &AuditedHour> =
            stored.iter().map(|row| (row.hour, row)).collect();
        for &hour in asked {
            if self.places.contains_key(&hour) {
                continue;
            }
            let mut held = HeldHour::new(hour, drain);
            if let Some(row) = rows.get(&hour) {
                held.first_offset = row.first_offset;
                held.counts = row.counts;
                held.upto = row.upto;
            }
            self.hold(held);
        }
    }

    fn hold(&mut self, held: HeldHour) -> usize {
        let place = self.hours.len();
        self.places.insert(held.hour, place);
        self.hours.push(held);
        place
    }

    /// Every hour that changed since the last call, counted up to `upto`.
    pub(super) fn take_changed(&mut self, upto: u64) -> Vec<AuditedHour> {
        let take = |held: &mut HeldHour| {
            let &mut HeldHour { hour, first_offset, counts, .. } = held;
            let has_changed = std::mem::take(&mut held.has_changed);
            has_changed.then_some(AuditedHour { hour, first_offset, counts, upto })
        };
        self.hours.iter_mut().filter_map(take).collect()
    }

    /// Number of hours that are held.
    pub(super) fn len(&self) -> usize {
        self.hours.len()
    }

    /// The upkeep of each.
    pub(super) fn upkeeps(&self) -> impl Iterator<Item = Upkeep> {
        self.hours.iter().map(|held| held.upkeep)
    }

    /// Evicts hours that the store holds.
    pub(super) fn evict(&mut self, goes: impl Fn(Upkeep) -> bool) {
        let before = self.hours.len();
        let counted_until = &mut self.counted_until;
        self.hours.retain(|held| {
            let stays = !goes(held.upkeep);
            if !stays {
                *counted_until = (*counted_until).max(Some(held.hour));
            }
            stays
        });
        if self.hours.len() < before {
            self.places = (0..).zip(&self.hours).map(|(place, held)| (held.hour, place)).collect();
            self.current = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: HourCounts = HourCounts::SKIPPED;

    fn counts(skipped: u64) -> HourCounts {
        HourCounts { skipped, ..HourCounts::default() }
    }

    fn stored(hour: u32, first_offset: u64, skipped: u64, upto: u64) -> AuditedHour {
        AuditedHour { hour: RecordHour(hour), first_offset, counts: counts(skipped), upto }
    }

    #[test]
    fn an_hour_that_is_not_held_is_never_0_unless_it_lies_after_the_last_stored_one() {
        let mut ledger = AuditLedger::default();
        assert!(!ledger.knows(RecordHour::LAST) && !ledger.turn_to(RecordHour(9), 1));
        ledger.admit(&[RecordHour(5)], &[stored(5, 3, 2, 8), stored(7, 6, 1, 8)], 1);
        let knows = |hour| ledger.knows(RecordHour(hour));
        assert!(knows(5) && !knows(4) && !knows(6) && !knows(7) && knows(8));
        assert!(ledger.turn_to(RecordHour(8), 1) && !ledger.turn_to(RecordHour(7), 1));
        let mut empty = AuditLedger::default();
        empty.admit(&[RecordHour(5)], &[], 1);
        assert!(empty.knows(RecordHour(0)), "nothing is stored");
    }

    #[test]
    fn a_record_that_the_stored_counts_cover_is_not_counted_again() {
        let mut ledger = AuditLedger::default();
        ledger.admit(&[RecordHour(5)], &[stored(5, 3, 2, 8)], 1);
        assert!(ledger.turn_to(RecordHour(5), 1));
        assert!(!ledger.count(7, 1, ONE));
        assert_eq!(ledger.take_changed(8), []);
        assert!(ledger.count(8, 1, ONE) && !ledger.count(9, 1, ONE));
        assert_eq!(ledger.take_changed(10), [stored(5, 3, 4, 10)]);
        assert_eq!(ledger.take_changed(10), []);
    }

    #[test]
    fn what_was_evicted_is_asked_for_again() {
        let mut ledger = AuditLedger::default();
        ledger.admit(&[RecordHour(9)], &[], 1);
        for (hour, offset) in [(5, 0), (9, 1), (7, 2)] {
            assert!(ledger.turn_to(RecordHour(hour), 1));
            ledger.count(offset, 1, ONE);
        }
        assert_eq!(ledger.take_changed(3).len(), 3);
        ledger.evict(|upkeep| !upkeep.is_stored(1));
        assert_eq!(ledger.len(), 3);
        ledger.evict(|upkeep| upkeep.is_stored(1));
        assert!(ledger.len() == 0 && !ledger.turn_to(RecordHour(7), 2));
        assert!(!ledger.knows(RecordHour(6)) && ledger.knows(RecordHour(10)));
        // Nothing was known of the hour that was not counted.
        ledger.admit(&[RecordHour(7)], &[stored(7, 2, 1, 3), stored(9, 1, 1, 3)], 2);
        assert!(ledger.turn_to(RecordHour(7), 2) && ledger.count(3, 2, ONE));
        assert_eq!(ledger.take_changed(4), [stored(7, 2, 2, 4)]);
    }
}
