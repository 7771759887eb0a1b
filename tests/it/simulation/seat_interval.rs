//! A seat interval as rows about it are merged.

use seatmeter::core::rollup::{SeatInterval, SeatOpened};

/// What is known of a seat interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Interval {
    pub(super) opened: Option<SeatOpened>,
    pub(super) end_ms: Option<i64>,
    pub(super) is_superseded: bool,
    pub(super) first_active_ms: Option<i64>,
    pub(super) last_active_ms: Option<i64>,
}

impl Interval {
    pub(super) fn merge(&mut self, row: SeatInterval) {
        fn least<T: Ord>(known: &mut Option<T>, told: Option<T>) {
            *known = known.take().into_iter().chain(told).min();
        }
        least(&mut self.opened, row.opened);
        least(&mut self.end_ms, row.end_ms);
        self.is_superseded |= row.is_superseded;
        least(&mut self.first_active_ms, row.first_active_ms);
        self.last_active_ms = self.last_active_ms.max(row.last_active_ms);
    }
}
