//! What a flush tells those who judge alerts: which partitions are held, and which accounts were
//! touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::messages::LaneReport;
use crate::alerts::{SourceFlush, Touch};
use crate::core::rollup::LaneRows;
use crate::core::topics::Topic;

/// The partitions of a flush.
pub(super) struct SourceFlushes(BTreeMap<Arc<str>, SourceFlush>);

impl SourceFlushes {
    /// All partitions that were drained. Of none is anything stored yet.
    pub(super) fn of(reports: &[LaneReport]) -> Self {
        let flush = |report: &LaneReport| {
            let (lane, source) = (&report.lane, report.rows.source.name());
            let flush = SourceFlush {
                source: Arc::clone(&source),
                tenure: lane.tenure.number,
                was_begun: lane.opened.next_offset > 0,
                next_offset: lane.opened.next_offset,
                is_caught_up: lane.is_caught_up,
                times_ms: None,
                touched: Vec::new(),
            };
            (source, flush)
        };
        Self(reports.iter().map(flush).collect())
    }

    /// These rows are stored, and the progress after them.
    pub(super) fn stored(&mut self, rows: &[LaneRows]) {
        for rows in rows {
            let Some(flush) = self.0.get_mut(rows.source.as_str()) else { continue };
            flush.next_offset = rows.progress.next_offset;
            let times_ms = rows.record_times.iter().map(|(time_ms, _)| *time_ms);
            flush.times_ms = times_ms.clone().min().zip(times_ms.max());
            flush.touched = rows
                .account_progress
                .iter()
                .map(|row| {
                    let is_touched = |topic| row.touched.latest_ms(topic).is_some();
                    let touch = Touch {
                        // The zone draws the edges of months.
                        quota: is_touched(Topic::Tests) || is_touched(Topic::Directory),
                        seats: is_touched(Topic::Seats),
                    };
                    (row.account.to_string(), touch)
                })
                .collect();
        }
    }

    pub(super) fn into_held(self) -> Vec<SourceFlush> {
        self.0.into_values().collect()
    }
}
