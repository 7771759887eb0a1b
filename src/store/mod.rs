//! The only place that knows ClickHouse: client, migrations, row formats, writes, loads and report
//! queries.
//!
//! It never retries (who waits, and how long, is the caller's to say), never interprets a number,
//! and never puts a password into a message. Every write is idempotent, because every row is a
//! semilattice value; so a write whose outcome is unknown is simply made again.

mod account_directory;
mod account_list;
mod account_versions;
mod active_users;
mod assigned;
mod assignment_page;
mod client;
mod deployment;
mod error;
mod license_history;
mod load;
mod migrate;
mod progress;
mod quota;
mod reports;
mod reports_assignments;
mod reports_licenses;
mod row_binary;
mod rows;
mod schema;
mod scope;
mod settings;
mod split_accounts;
mod test_activity;
mod usage_views;
mod write;

pub use account_directory::AccountDirectory;
pub use account_versions::{AccountVersions, TopicVersion};
pub use assigned::AssignedSeats;
pub use client::{ServerVersion, Store, VERSION_MIN};
pub use error::StoreError;
pub use migrate::{MigrateError, MigrationReport};
pub use progress::{ProgressRow, StoredProgress, ZoneClaim};
pub use reports_assignments::{AssignmentStream, AssignmentsHash};
pub use schema::{DOCUMENTED_VIEWS, Migration, View, migrations, views};
pub use scope::{Scope, Series, Who};
pub use settings::PINNED;
pub use split_accounts::{SplitAccount, SplitAccounts};
pub use usage_views::SeriesStream;
pub use write::{TableWritten, Written};

/// Every table that rollups, facts and progress are written to.
pub const TABLES: [&str; 17] = [
    "account_moves",
    "account_progress",
    "active_days",
    "active_users_by_account_state",
    "active_users_state",
    "directory_state",
    "license_facts",
    "organizations_seen",
    "plan_facts",
    "quota_usage_state",
    "rejected_event_facts",
    "seat_facts",
    "seat_intervals",
    "source_progress",
    "test_executions_state",
    "zone_claims",
    "zone_facts",
];
