//! The constants of a database, chosen once: the secret by which text ids of users are hashed.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::migrate_error::MigrateError;
use crate::core::id::UserKeySeed;

/// The table.
const TABLE: &str = "deployment";

/// Where its statement takes the seed. As it stands, any client can run it: each row has a seed of
/// its own then, and two of them are refused.
pub(super) const RANDOM_SEED: &str = "(rand64(1), rand64(2))";

/// The statement with a seed of its own, where it takes one.
///
/// The seed is the default of a column, since making a table is what ClickHouse does only once: of
/// two programs that migrate at the same time, the table of one stays, and it gives the same row to
/// whoever adds one.
pub(super) fn with_seed(sql: &str) -> Result<String, MigrateError> {
    if !sql.contains(RANDOM_SEED) {
        return Ok(sql.to_owned());
    }
    let (k0, k1) = (getrandom::u64()?, getrandom::u64()?);
    Ok(sql.replace(RANDOM_SEED, &format!("({k0}, {k1})")))
}

#[derive(Row, Deserialize)]
struct SeedRow {
    k0: u64,
    k1: u64,
}

impl Store {
    /// The secret of this deployment by which text ids of users are hashed.
    ///
    /// # Errors
    /// Where there is none, or more than one, or ClickHouse cannot be asked.
    pub async fn user_key_seed(&self) -> Result<UserKeySeed, MigrateError> {
        self.sync_table(TABLE).await?;
        match self.stored_seeds().await?[..] {
            [] => Err(MigrateError::NoSeed { database: self.target().database.clone() }),
            [SeedRow { k0, k1 }] => Ok(UserKeySeed { k0, k1 }),
            ref seeds => {
                let database = self.internal_database().to_owned();
                Err(MigrateError::ManySeeds { database, found: seeds.len() })
            }
        }
    }

    /// Adds the row that holds the seed, if it is not there.
    pub(super) async fn ensure_seed(&self) -> Result<(), MigrateError> {
        self.sync_table(TABLE).await?;
        if self.stored_seeds().await?.is_empty() {
            self.within(self.query("INSERT INTO deployment (made_at) SELECT now64(3)").execute())
                .await?;
        }
        Ok(())
    }

    async fn stored_seeds(&self) -> Result<Vec<SeedRow>, StoreError> {
        let query = self.read_only(
            "SELECT DISTINCT tupleElement(d.user_key_seed, 1) AS k0, tupleElement(d.user_key_seed, \
            2) AS k1 \
             FROM deployment AS d",
        );
        self.fetch_all(query).await
    }
}
