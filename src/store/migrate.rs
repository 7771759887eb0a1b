//! The schema's migrations: which there are, which have been applied, and how the rest is applied.
//!
//! Every file holds one idempotent statement. A migration is recorded after it has been applied, so a crash between the
//! two applies it twice, and two processes that migrate at once do each other no harm.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::client::Store;
use super::error::StoreError;

/// Where a statement takes `ON CLUSTER`. A comment, so that any client runs the files as they stand.
const ON_CLUSTER: &str = "/*on cluster*/";
/// Where an engine becomes `Replicated…`.
const REPLICATED: &str = "/*replicated*/";

macro_rules! embed {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../schemas/clickhouse/", $name, ".sql")))),*]
    };
}

/// Name and text of every file in `schemas/clickhouse`; a test compares the list with the directory.
static FILES: &[(&str, &str)] = &embed! {
    "0001_schema_migrations"
    "0002_source_progress"
    "0003_active_users_state"
    "0004_active_users_by_account_state"
    "0005_active_users_by_account_rollup"
    "0006_test_executions_state"
    "0007_quota_usage_state"
    "0008_seat_facts"
    "0009_seat_usage_state"
    "0010_license_facts"
    "0011_plan_facts"
    "0012_zone_facts"
    "0013_directory_state"
    "0014_organizations_seen"
    "0015_rejected_event_facts"
    "0016_ingest_progress"
    "0017_rejected_events"
    "0018_daily_active_users"
    "0019_daily_active_users_by_account"
    "0020_test_executions_daily"
    "0021_quota_usage_daily"
    "0022_quota_usage"
    "0023_license_purchases"
    "0024_plans"
    "0025_accounts"
    "0026_organizations"
    "0027_organization_paths"
    "0028_organization_subtree"
    "0029_users"
    "0030_projects"
    "0031_license_intervals"
    "0032_license_assignments"
    "0033_organization_tree"
    "0034_organization_children"
    "0035_license_history"
    "0036_license_usage"
    "0037_license_history_by_organization"
    "0038_license_usage_by_organization"
    "0039_account_license_assignments"
    "0040_quota_months"
    "0041_test_activity"
    "0042_account_license_assignments"
    "0043_license_usage_by_organization"
    "0044_seats_touched"
    "0045_license_changes"
    "0046_license_purchases_at"
    "0047_license_history"
    "0048_license_history_by_organization"
    "0049_seat_holders_touched"
    "0050_license_assignments_of_users"
    "0051_account_license_assignments"
    "0052_organization_tree"
    "0053_organization_paths"
};

/// One file of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number: 1, 2, and so on without gaps.
    pub version: u32,
    /// Its name without the number.
    pub name: String,
    /// The statement.
    pub sql: String,
}

impl Migration {
    /// SHA-256 of the statement, hexadecimal.
    pub fn checksum(&self) -> String {
        hex::encode(Sha256::digest(&self.sql))
    }

    /// The statement as it is run: for one server, or for all replicas of a cluster.
    pub fn statement(&self, cluster: Option<&str>) -> String {
        let Some(cluster) = cluster else {
            return self.sql.clone();
        };
        self.sql.replace(ON_CLUSTER, &on_cluster(cluster)).replace(REPLICATED, "Replicated")
    }
}

/// `ON CLUSTER` with the name quoted.
fn on_cluster(cluster: &str) -> String {
    format!("ON CLUSTER {}", quoted(cluster))
}

/// A name as a quoted identifier.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The migrations that this program knows, in order.
pub fn migrations() -> Vec<Migration> {
    FILES
        .iter()
        .map(|(file, sql)| {
            let (version, name) = file.split_once('_').expect("a migration is named NNNN_name");
            Migration {
                version: version.parse().expect("a migration's name starts with its number"),
                name: name.to_owned(),
                sql: (*sql).to_owned(),
            }
        })
        .collect()
}

/// What `migrate` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// Versions that were applied just now; empty where the schema was up to date.
    pub applied: Vec<u32>,
    /// The schema's version now.
    pub version: u32,
}

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
        "database '{database}' has schema version {found}, but migration {missing} was never applied to it: \
         its schema_migrations table is damaged; restore it, or point clickhouse.database elsewhere"
    )]
    Gap { database: String, missing: u32, found: u32 },
    /// An applied migration is not the one that this program has under its number.
    #[error(
        "migration {version} of database '{database}' was applied from another file than this program's {name}: \
         run the seatmeter that made the schema, or point clickhouse.database elsewhere"
    )]
    Changed { database: String, version: u32, name: String },
    /// The schema is older than this program.
    #[error(
        "database '{database}' has schema version {found}, and this program needs {needed}: run `seatmeter migrate`"
    )]
    Outdated { database: String, found: u32, needed: u32 },
    /// A statement failed.
    #[error("migration {version} ({name}) failed: {source}")]
    Statement { version: u32, name: String, source: StoreError },
    /// The state of the schema cannot be read or recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Row, Deserialize)]
struct AppliedRow {
    version: u32,
    name: String,
    checksum: String,
}

impl Store {
    /// Creates the database if there is none, and applies what is missing, in order.
    ///
    /// # Errors
    /// Where the schema is newer than this program, has a gap, or was made from other files; nothing is applied then.
    pub async fn migrate(&self) -> Result<MigrationReport, MigrateError> {
        self.migrate_to(&migrations()).await
    }

    /// [`Self::migrate`] with a list of migrations of the caller's.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn migrate_to(&self, known: &[Migration]) -> Result<MigrationReport, MigrateError> {
        self.execute_ddl(&self.database_statement("CREATE DATABASE IF NOT EXISTS", ""), false).await?;
        let present = self.verify(&self.applied().await?, known)?;
        let mut applied = Vec::new();
        for migration in &known[present..] {
            self.apply(migration).await?;
            applied.push(migration.version);
        }
        Ok(MigrationReport { applied, version: known.last().map_or(0, |last| last.version) })
    }

    /// Makes sure that the schema is exactly the one that this program knows.
    ///
    /// # Errors
    /// As [`Self::migrate`], and where a migration is still to be applied.
    pub async fn check_schema(&self) -> Result<(), MigrateError> {
        let known = migrations();
        let present = self.verify(&self.applied().await?, &known)?;
        if present < known.len() {
            let found = present.checked_sub(1).map_or(0, |last| known[last].version);
            let needed = known.last().map_or(0, |last| last.version);
            return Err(MigrateError::Outdated { database: self.database(), found, needed });
        }
        Ok(())
    }

    /// Drops the database with all that is in it and makes an empty one. For `demo`, whose broker starts empty too, and
    /// never for a cluster.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn reset_database(&self) -> Result<(), StoreError> {
        self.execute_ddl(&self.database_statement("DROP DATABASE IF EXISTS", "SYNC"), false).await?;
        self.execute_ddl(&self.database_statement("CREATE DATABASE", ""), false).await
    }

    /// Compares what has been applied with what is known; answers how many of the known ones have been.
    fn verify(
        &self,
        applied: &BTreeMap<u32, Vec<(String, String)>>,
        known: &[Migration],
    ) -> Result<usize, MigrateError> {
        let database = self.database();
        let Some(&found) = applied.keys().next_back() else {
            return Ok(0);
        };
        let newest = known.last().map_or(0, |last| last.version);
        if found > newest {
            return Err(MigrateError::Newer { database, found, known: newest });
        }
        for (index, migration) in known.iter().enumerate() {
            if migration.version > found {
                return Ok(index);
            }
            let version = migration.version;
            let Some(records) = applied.get(&version) else {
                return Err(MigrateError::Gap { database, missing: version, found });
            };
            let checksum = migration.checksum();
            if records.iter().any(|(name, sum)| *name != migration.name || *sum != checksum) {
                return Err(MigrateError::Changed { database, version, name: migration.name.clone() });
            }
        }
        Ok(known.len())
    }

    /// Names and checksums of all recorded migrations by version. Two of one version mean that two different programs
    /// migrated.
    async fn applied(&self) -> Result<BTreeMap<u32, Vec<(String, String)>>, StoreError> {
        let query = self.query("SELECT DISTINCT version, name, checksum FROM schema_migrations");
        let rows: Vec<AppliedRow> = match self.fetch_all(query).await {
            // The first migration makes the table.
            Err(StoreError::NotMigrated { .. }) => Vec::new(),
            rows => rows?,
        };
        let mut applied: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
        for row in rows {
            applied.entry(row.version).or_default().push((row.name, row.checksum));
        }
        Ok(applied)
    }

    async fn apply(&self, migration: &Migration) -> Result<(), MigrateError> {
        let Migration { version, name, .. } = migration;
        self.execute_ddl(&migration.statement(self.cluster()), true)
            .await
            .map_err(|source| MigrateError::Statement { version: *version, name: name.clone(), source })?;
        let query = self
            .query(
                "INSERT INTO schema_migrations (version, name, checksum) \
                 SELECT {version:UInt32}, {name:String}, {checksum:String}",
            )
            .param("version", version)
            .param("name", name)
            .param("checksum", migration.checksum());
        self.within(query.execute()).await?;
        Ok(())
    }

    fn database_statement(&self, verb: &str, end: &str) -> String {
        let cluster = self.cluster().map(on_cluster).unwrap_or_default();
        format!("{verb} {} {cluster} {end}", quoted(&self.target().database))
    }

    fn database(&self) -> String {
        self.target().database.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps_and_match_the_directory() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/clickhouse");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".sql").expect("only .sql files").to_owned())
            .collect();
        files.sort();
        assert_eq!(files, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (migration, number) in migrations().iter().zip(1..) {
            assert_eq!(migration.version, number, "{}", migration.name);
        }
    }

    #[test]
    fn every_statement_is_idempotent_and_can_be_run_on_a_cluster() {
        for migration in migrations() {
            let name = &migration.name;
            assert!(["IF NOT EXISTS", "OR REPLACE"].iter().any(|words| migration.sql.contains(words)), "{name}");
            assert_eq!(migration.sql.matches(ON_CLUSTER).count(), 1, "{name}");
            let engines = migration.sql.matches("ENGINE =").count();
            assert_eq!(migration.sql.matches(REPLICATED).count(), engines, "{name}");
            let rendered = migration.statement(Some("m`1"));
            assert!(rendered.contains("ON CLUSTER `m\\`1`"), "{rendered}");
            assert_eq!(rendered.matches("ENGINE = Replicated").count(), engines, "{rendered}");
        }
    }
}
