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
mod alert_list;
mod alerts;
mod assigned;
mod assignment_page;
mod audit;
mod client;
mod cluster;
mod compared_rows;
mod deployment;
mod error;
mod few_assignments;
mod few_seats;
mod integrity;
mod license_history;
mod load;
mod migrate;
mod migrate_error;
mod placement;
mod progress;
mod quota;
mod reports;
mod reports_assignments;
mod reports_licenses;
mod row_binary;
mod rows;
mod schema;
mod scope;
mod server_version;
mod settings;
mod split_accounts;
mod standings;
mod tables;
mod test_activity;
mod usage_views;
mod write;

pub use account_directory::AccountDirectory;
pub use account_versions::{AccountVersions, TopicVersion};
pub use alert_list::AlertStream;
pub use alerts::{
    AccountSeats, AlertMark, AlertMarks, AlertRow, DeliveryRow, MarkKind, UnsentEvent,
};
pub use assigned::AssignedSeats;
pub use client::Store;
pub use compared_rows::{Compared, MetSource, Rows, StoredRow};
pub use error::StoreError;
pub use integrity::{ComparedFigures, Identities};
pub use migrate::{MigrationPlan, MigrationReport};
pub use migrate_error::MigrateError;
pub use placement::{Placement, Shards, Statement};
pub use progress::{ProgressRow, StoredProgress, ZoneClaim};
pub use quota::{AccountCourses, AccountQuota, Accounts};
pub use reports_assignments::{AssignmentStream, AssignmentsHash};
pub use schema::{DOCUMENTED_VIEWS, Migration, View, migrations, schema_version, views};
pub use scope::{Scope, Series, Who};
pub use server_version::{ServerVersion, VERSION_MIN};
pub use settings::{PINNED, SHORTCUTS};
pub use split_accounts::{SplitAccount, SplitAccounts};
pub use standings::{Announcement, CountedSources};
pub use tables::TABLES;
pub use usage_views::SeriesStream;
pub use write::{TableWritten, Written};
