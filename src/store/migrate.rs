//! How the schema is applied, and whether a database has the one that this program knows.
//!
//! Every file holds one idempotent statement. A migration or a view is recorded after it has been
//! applied, so a crash between the two applies it twice, and two processes that migrate at once do
//! each other no harm.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::deployment::with_seed;
use super::error::StoreError;
use super::migrate_error::MigrateError;
use super::placement::{Shards, Statement, on_cluster, quoted};
use super::schema::{Migration, View, migrations, views};

/// The user lacks a right.
const CODE_ACCESS_DENIED: i32 = 497;

/// A table that with several shards is distributed.
const TABLE_OF_ACCOUNTS: &str = "account_progress";

/// Outcome of `migrate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// Versions that were applied just now; empty where the schema was up to date.
    pub applied: Vec<u32>,
    /// Views that were made just now, because they were missing or their text has changed.
    pub views: Vec<String>,
    /// The schema's version now.
    pub version: u32,
}

/// What [`Store::migrate`] would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationPlan {
    /// The schema's version as it is; 0 where there is none.
    pub version: u32,
    /// Migrations that would be applied, in their order.
    pub migrations: Vec<Migration>,
    /// Views that would be made, because they are missing or their text has changed.
    pub views: Vec<String>,
}

#[derive(Row, Deserialize)]
struct AppliedRow {
    version: u32,
    name: String,
    checksum: String,
}

#[derive(Row, Deserialize)]
struct ViewRow {
    name: String,
    checksum: String,
}

/// True if the view was made from the text that this program has.
fn is_current(present: &BTreeMap<String, String>, view: &View) -> bool {
    present.get(&view.name).is_some_and(|checksum| *checksum == view.checksum())
}

impl Store {
    /// Creates the databases where they are missing, applies what is missing, in order, and
    /// makes the seed for the keys of users if there is none.
    ///
    /// # Errors
    /// Where the schema is newer than this program, has a gap, was made from other files, is of the
    /// old layout or was made for another number of shards; nothing is applied then.
    pub async fn migrate(&self) -> Result<MigrationReport, MigrateError> {
        let report = self.migrate_to(&migrations(), &views()).await?;
        self.ensure_seed().await?;
        Ok(report)
    }

    /// What [`Self::migrate`] would do; nothing is changed.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn migration_plan(&self) -> Result<MigrationPlan, MigrateError> {
        let mut known = migrations();
        let present = self.verify(&known).await?;
        let version = present.checked_sub(1).map_or(0, |last| known[last].version);
        let made = match self.applied_views().await {
            // A migration makes the table of views.
            Err(StoreError::NotMigrated { .. }) => BTreeMap::new(),
            made => made?,
        };
        let views = views().into_iter().filter(|view| !is_current(&made, view));
        let views = views.map(|view| view.name).collect();
        Ok(MigrationPlan { version, migrations: known.split_off(present), views })
    }

    /// [`Self::migrate`] with migrations and views of the caller's.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn migrate_to(
        &self,
        known: &[Migration],
        views: &[View],
    ) -> Result<MigrationReport, MigrateError> {
        let present = self.verify(known).await?;
        for database in self.databases() {
            self.ensure_database(database).await?;
        }
        let mut applied = Vec::new();
        for migration in &known[present..] {
            self.apply(migration).await?;
            applied.push(migration.version);
        }
        let mut made = Vec::new();
        if !views.is_empty() {
            let present = self.applied_views().await?;
            for view in views.iter().filter(|view| !is_current(&present, view)) {
                self.make_view(view).await?;
                made.push(view.name.clone());
            }
        }
        Ok(MigrationReport {
            applied,
            views: made,
            version: known.last().map_or(0, |last| last.version),
        })
    }

    /// Makes sure that the schema is exactly the one that this program knows.
    ///
    /// # Errors
    /// As [`Self::migrate`], and where a migration is still to be applied.
    pub async fn check_schema(&self) -> Result<(), MigrateError> {
        let known = migrations();
        let present = self.verify(&known).await?;
        if present < known.len() {
            let found = present.checked_sub(1).map_or(0, |last| known[last].version);
            let needed = known.last().map_or(0, |last| last.version);
            return Err(MigrateError::Outdated { database: self.database(), found, needed });
        }
        let present = self.applied_views().await?;
        match views().into_iter().find(|view| !is_current(&present, view)) {
            Some(view) => {
                Err(MigrateError::OutdatedView { database: self.database(), view: view.name })
            }
            None => Ok(()),
        }
    }

    /// Drops the databases with all that is in them and makes empty ones. For `demo`, whose broker
    /// starts empty too, and never for a cluster.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn reset_database(&self) -> Result<(), StoreError> {
        for database in self.databases() {
            let drop = self.database_statement("DROP DATABASE IF EXISTS", database, "SYNC");
            self.execute_ddl(&drop, None).await?;
            let create = self.database_statement("CREATE DATABASE", database, "");
            self.execute_ddl(&create, None).await?;
        }
        Ok(())
    }

    /// Compares what has been applied with what is known; answers how many of the known ones have
    /// been.
    async fn verify(&self, known: &[Migration]) -> Result<usize, MigrateError> {
        let applied = self.applied().await?;
        let database = self.database();
        let Some(&found) = applied.keys().next_back() else {
            return match self.has_old_layout().await? {
                true => Err(MigrateError::OldLayout { database }),
                false => Ok(0),
            };
        };
        let newest = known.last().map_or(0, |last| last.version);
        if found > newest {
            return Err(MigrateError::Newer { database, found, known: newest });
        }
        self.check_shards().await?;
        for (index, migration) in known.iter().enumerate() {
            if migration.version > found {
                return Ok(index);
            }
            let version = migration.version;
            let Some(records) = applied.get(&version) else {
                let database = self.internal_database().to_owned();
                return Err(MigrateError::Gap { database, missing: version, found });
            };
            let checksum = migration.checksum();
            if records.iter().any(|(name, sum)| *name != migration.name || *sum != checksum) {
                return Err(MigrateError::Changed {
                    database,
                    version,
                    name: migration.name.clone(),
                });
            }
        }
        Ok(known.len())
    }

    /// Makes sure that the tables were made for the configured number of shards: with another one
    /// an account would be on two of them, and its rows would not be merged.
    async fn check_shards(&self) -> Result<(), MigrateError> {
        let query = self
            .server_query(
                "SELECT t.engine_full FROM system.tables AS t \
                 WHERE t.database = {database:String} AND t.name = {table:String}",
            )
            .param("database", self.internal_database())
            .param("table", TABLE_OF_ACCOUNTS);
        let engines: Vec<String> = self.fetch_all(query).await?;
        let configured = self.placement().shards().map_or(1, |shards| shards.count);
        match engines.first().map(|engine| Shards::count_in(engine)) {
            Some(found) if found != configured => {
                Err(MigrateError::OtherShards { database: self.database(), found, configured })
            }
            // Without the table, nothing lies anywhere.
            _ => Ok(()),
        }
    }

    /// Names and checksums of all recorded migrations by version. Two of one version mean that two
    /// different programs migrated.
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

    /// Whether tables lie beside the documented views.
    async fn has_old_layout(&self) -> Result<bool, StoreError> {
        let query = self
            .server_query(
                "SELECT toUInt64(count()) FROM system.tables AS t \
                 WHERE t.database = {database:String} AND t.name = 'schema_migrations'",
            )
            .param("database", &self.target().database);
        let tables: u64 = self.within(query.fetch_one()).await?;
        Ok(tables > 0)
    }

    async fn apply(&self, migration: &Migration) -> Result<(), MigrateError> {
        let Migration { version, name, .. } = migration;
        for Statement { is_of_shard, sql } in migration.statements(self.placement()) {
            let database = match (is_of_shard, self.placement().shards()) {
                (true, Some(shards)) => &shards.database,
                _ => self.internal_database(),
            };
            self.execute_ddl(&with_seed(&sql)?, Some(database)).await.map_err(|source| {
                MigrateError::Statement { version: *version, name: name.clone(), source }
            })?;
        }
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

    /// The checksum of each view as it was made last, by name.
    async fn applied_views(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let query = self.query(
            "SELECT name, argMax(v.checksum, v.applied_at) AS checksum FROM schema_views AS \
                v GROUP BY name",
        );
        let rows: Vec<ViewRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(|row| (row.name, row.checksum)).collect())
    }

    async fn make_view(&self, view: &View) -> Result<(), MigrateError> {
        let placement = self.placement();
        let for_analysts = view.statement_for_analysts(&self.target().database, placement);
        for statement in [view.statement(placement)].into_iter().chain(for_analysts) {
            self.execute_ddl(&statement, Some(self.internal_database()))
                .await
                .map_err(|source| MigrateError::View { view: view.name.clone(), source })?;
        }
        let query = self
            .query(
                "INSERT INTO schema_views (name, checksum) SELECT {name:String}, {checksum:String}",
            )
            .param("name", &view.name)
            .param("checksum", view.checksum());
        self.within(query.execute()).await?;
        Ok(())
    }

    /// Creates the database where it is missing. A user who may not create one can use one that is
    /// there.
    async fn ensure_database(&self, database: &str) -> Result<(), MigrateError> {
        let create = self.database_statement("CREATE DATABASE IF NOT EXISTS", database, "");
        let message = match self.execute_ddl(&create, None).await {
            Err(StoreError::Server { code: CODE_ACCESS_DENIED, message, .. }) => message,
            done => return Ok(done?),
        };
        let query = self
            .server_query(
                "SELECT toUInt64(count()) FROM system.databases AS d \
                 WHERE d.name = {database:String}",
            )
            .param("database", database);
        let databases: u64 = self.within(query.fetch_one()).await?;
        if databases > 0 {
            return Ok(());
        }
        let user = self.target().user.clone();
        Err(MigrateError::NoDatabase { database: database.to_owned(), user, message })
    }

    fn database_statement(&self, verb: &str, database: &str, end: &str) -> String {
        let cluster = self.cluster().map(on_cluster).unwrap_or_default();
        format!("{verb} {} {cluster} {end}", quoted(database))
    }

    /// That of the tables, that of the documented views, and with several shards that of their
    /// rows.
    fn databases(&self) -> Vec<&str> {
        let of_shards = self.placement().shards().map(|shards| shards.database.as_str());
        [self.internal_database(), &self.target().database].into_iter().chain(of_shards).collect()
    }

    fn database(&self) -> String {
        self.target().database.clone()
    }
}
