//! Faults of a schema, told apart by what the operator has to do about them.

use super::error::StoreError;

/// Why the schema cannot be used as it is, or be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database has a migration that this program does not know.
    #[error(
        "database '{database}' has schema version {found}, and this program knows {known} at most: \
         run a newer seatmeter, or point clickhouse.database elsewhere"
    )]
    Newer { database: String, found: u32, known: u32 },
    /// A later migration was applied, and an earlier one was not.
    #[error(
        "database '{database}' has schema version {found}, but migration {missing} was never \
        applied to it: \
         its schema_migrations table is damaged; restore it, or point clickhouse.database elsewhere"
    )]
    Gap { database: String, missing: u32, found: u32 },
    /// An applied migration is not the one that this program has under its number.
    #[error(
        "migration {version} of database '{database}' was applied from another file than this \
        program's {name}: \
         run the seatmeter that made the schema, or point clickhouse.database elsewhere"
    )]
    Changed { database: String, version: u32, name: String },
    /// The database holds tables, as before they had a database of their own.
    #[error(
        "database '{database}' has the layout of an older seatmeter, which this one cannot \
        upgrade: point clickhouse.database at a new database, run `seatmeter migrate`, and let the \
        worker count the topic again"
    )]
    OldLayout { database: String },
    /// The tables were made for another number of shards than the configured one.
    #[error(
        "database '{database}' was made for {found} shards, and clickhouse.shards is {configured}: \
        set clickhouse.shards = {found}; for another number of shards, point clickhouse.database \
        at a new database, run `seatmeter migrate`, and let the worker count the topic again"
    )]
    OtherShards { database: String, found: u32, configured: u32 },
    /// A database is missing, and the user may not create it.
    #[error(
        "there is no database '{database}', and user '{user}' may not create it: create it, or \
        grant the user CREATE DATABASE ({message})"
    )]
    NoDatabase { database: String, user: String, message: String },
    /// A view is missing, or was made from another text than this program's.
    #[error(
        "view '{view}' of database '{database}' is not this program's: run `seatmeter migrate`"
    )]
    OutdatedView { database: String, view: String },
    /// The schema is older than this program.
    #[error(
        "database '{database}' has schema version {found}, and this program needs {needed}: run \
        `seatmeter migrate`"
    )]
    Outdated { database: String, found: u32, needed: u32 },
    /// A statement failed.
    #[error("migration {version} ({name}) failed: {source}")]
    Statement { version: u32, name: String, source: StoreError },
    /// A view cannot be made.
    #[error("view '{view}' cannot be made: {source}")]
    View { view: String, source: StoreError },
    /// The table `deployment` is empty.
    #[error("database '{database}' has no seed for the keys of users: run `seatmeter migrate`")]
    NoSeed { database: String },
    /// The table `deployment` was changed by somebody else.
    #[error(
        "database '{database}' has {found} seeds for the keys of users, so some users would count \
        twice: leave in its table deployment the row with the earliest made_at"
    )]
    ManySeeds { database: String, found: usize },
    /// The system gives no random numbers.
    #[error("cannot make a seed for the keys of users: the system gives no random numbers: {0}")]
    NoRandomNumbers(#[from] getrandom::Error),
    /// The state of the schema cannot be read or recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}
