//! The hours of a fold: those of its lane and those of the records that are not selected, added up.

use std::collections::{BTreeMap, BTreeSet};

use super::value::StoredHour;
use crate::core::audit::{AuditedHour, HourCounts, RecordHour};
use crate::core::event::Record;

/// Hours of all records of a partition.
#[derive(Debug, Default)]
pub(super) struct HourSums {
    of_lane: BTreeMap<RecordHour, StoredHour>,
    of_others: BTreeMap<RecordHour, StoredHour>,
    changed: BTreeSet<RecordHour>,
}

impl HourSums {
    /// A record that is not selected.
    pub(super) fn count(&mut self, record: &Record<'_>, counts: HourCounts) {
        let hour = RecordHour::of(record.timestamp_ms);
        let new = StoredHour { first_offset: record.offset, counts: HourCounts::default() };
        self.of_others.entry(hour).or_insert(new).counts += counts;
        self.changed.insert(hour);
    }

    /// Adds to the rows of a drain of the lane what is not the lane's.
    pub(super) fn complete(&mut self, rows: &mut Vec<AuditedHour>) {
        for row in rows.drain(..) {
            let hour = StoredHour { first_offset: row.first_offset, counts: row.counts };
            self.of_lane.insert(row.hour, hour);
            self.changed.insert(row.hour);
        }
        for hour in std::mem::take(&mut self.changed) {
            let parts = [self.of_lane.get(&hour), self.of_others.get(&hour)].into_iter().flatten();
            let mut sum = AuditedHour {
                hour,
                first_offset: u64::MAX,
                counts: HourCounts::default(),
                upto: 0,
            };
            for part in parts {
                sum.first_offset = sum.first_offset.min(part.first_offset);
                sum.counts += part.counts;
            }
            rows.push(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_selected_is_added() {
        let row = |first_offset, rejected| AuditedHour {
            hour: RecordHour(1),
            first_offset,
            counts: HourCounts { rejected, ..HourCounts::default() },
            upto: 0,
        };
        let record = Record { offset: 5, timestamp_ms: Some(3_600_000), key: None, payload: None };
        let mut sums = HourSums::default();
        let mut rows = vec![row(9, 1)];
        sums.complete(&mut rows);
        assert_eq!(rows, [row(9, 1)]);
        sums.count(&record, HourCounts::REJECTED);
        let mut rows = Vec::new();
        sums.complete(&mut rows);
        assert_eq!(rows, [row(5, 2)]);
        let mut rows = vec![row(9, 3)];
        sums.complete(&mut rows);
        assert_eq!(rows, [row(5, 4)]);
    }
}
