//! The quota months of one organization, according to the records so far.

use super::calendar::{Zone, quota_month_of, quota_month_start};

/// A quota month: what a counter is keyed by, besides the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaMonthKey {
    /// Milliseconds since 1970 UTC.
    pub anchor_ms: i64,
    /// 1 = first.
    pub month: u32,
}

/// The anchors of one organization's quota months.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// Distinct, ascending.
    times_ms: Vec<i64>,
    /// The month of the last lookup, with its bounds: most tests of a batch fall into the same
    /// month.
    latest: Option<(QuotaMonthKey, i64, i64)>,
}

impl Anchors {
    /// A plan was started or upgraded.
    pub fn insert(&mut self, anchor_ms: i64) {
        if let Err(at) = self.times_ms.binary_search(&anchor_ms) {
            self.times_ms.insert(at, anchor_ms);
        }
        self.latest = None;
    }

    /// The account's zone changed, and with it the edges of the months.
    pub fn forget_edges(&mut self) {
        self.latest = None;
    }

    /// The quota month that the instant falls in; `None` before the first anchor.
    pub fn month_at(&mut self, zone: Zone, time_ms: i64) -> Option<QuotaMonthKey> {
        if let Some((month, start_ms, end_ms)) = self.latest
            && (start_ms..end_ms).contains(&time_ms)
        {
            return Some(month);
        }
        let after = self.times_ms.partition_point(|&anchor_ms| anchor_ms <= time_ms);
        let anchor_ms = *self.times_ms.get(after.checked_sub(1)?)?;
        let month = quota_month_of(zone, anchor_ms, time_ms);
        let found = QuotaMonthKey { anchor_ms, month };
        let next_anchor_ms = self.times_ms.get(after).copied().unwrap_or(i64::MAX);
        let end_ms = quota_month_start(zone, anchor_ms, month + 1).min(next_anchor_ms);
        self.latest = Some((found, quota_month_start(zone, anchor_ms, month), end_ms));
        Some(found)
    }
}
