//! The records of one lane in one batch.

use super::rebalance::Tenure;
use crate::core::event::{Decoded, Record};

/// Records of one lane, in the order of its log, and how far they are applied.
pub(super) struct Group<'b> {
    pub(super) tenure: Tenure,
    pub(super) records: Vec<(Record<'b>, Decoded<'b>)>,
    /// The first record that is not applied yet.
    pub(super) next: usize,
    /// The lane waits for a load before it can go on.
    pub(super) is_waiting: bool,
}

impl Group<'_> {
    pub(super) fn new(tenure: Tenure) -> Self {
        Self { tenure, records: Vec::new(), next: 0, is_waiting: false }
    }
}
