//! Records of one lane that wait for a load.

use super::rebalance::Tenure;
use crate::core::event::{Decoded, Record};

/// The records of a batch that one lane could not apply yet, in log order, and how far they have
/// been applied since.
pub(super) struct Group<'b> {
    pub(super) tenure: Tenure,
    pub(super) records: Vec<(Record<'b>, Decoded<'b>)>,
    /// The first record that is not applied yet.
    pub(super) next: usize,
    /// The lane waits for a load before it can go on.
    pub(super) is_waiting: bool,
}

impl<'b> Group<'b> {
    pub(super) fn new(tenure: Tenure, first: (Record<'b>, Decoded<'b>)) -> Self {
        Self { tenure, records: vec![first], next: 0, is_waiting: false }
    }
}
