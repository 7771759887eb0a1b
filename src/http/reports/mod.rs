//! The reports: one file per noun. Each parses its request, reads the store and assembles the
//! answer.

pub(super) mod accounts;
pub(super) mod alerts;
pub(super) mod assignments;
pub(super) mod audit;
pub(super) mod can_run;
pub(super) mod ingest;
pub(super) mod license_history;
pub(super) mod license_usage;
pub(super) mod organizations;
pub(super) mod quota;
pub(super) mod quota_overview;
pub(super) mod series;
pub(super) mod test_activity;
