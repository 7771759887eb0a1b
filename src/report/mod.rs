//! Report requests, parsed so that they cannot be wrong, and report bodies assembled from rows.
//!
//! Each report is a pair of pure functions: a request that says which rows it needs, and an
//! assembly that turns those rows into the answer. Nothing here performs I/O or knows what time it
//! is: `now` is a parameter, and the account's time zone comes with the rows.

pub mod accounts;
pub mod alert;
pub mod alert_list;
pub mod alert_rules;
pub mod assignment_order;
pub mod assignments;
pub mod audit;
pub mod can_run;
pub mod csv;
pub mod cursor;
pub mod few_users;
pub mod id;
pub mod ingest;
pub mod license_history;
pub mod license_usage;
pub mod organizations;
pub mod pace;
pub mod page;
pub mod period;
pub mod query;
pub mod quota;
pub mod quota_history;
pub mod quota_overview;
pub mod search;
pub mod seat_history;
pub mod seat_steps;
pub mod standing;
pub mod subject;
pub mod test_activity;
pub mod tree;
pub mod usage_parts;
pub mod value;
pub mod window;
