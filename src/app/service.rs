//! `seatmeter worker`: the long-running process that counts.
//!
//! What a person has got wrong is found first (password, schema), then the worker joins its group. At the end it drains,
//! flushes, commits and leaves.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ingest::{self, Dependency};
use crate::store::{MigrateError, Store, StoreError};
use crate::telemetry::health::Health;
use crate::telemetry::metrics;

/// Count the topic's events
///
/// Needs the schema: run `seatmeter migrate` first.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArgs {}

/// Runs until `stop` is cancelled or something fails for good.
pub(super) async fn run(config: &Config, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::install().context("cannot record metrics")?;
    let store = Store::connect(&config.clickhouse)?;
    let health = Arc::new(Health::new());
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ready = wait_for_schema(&store, &health) => ready?,
    }
    ingest::run(config, store, health, stop).await?;
    Ok(())
}

/// Waits until ClickHouse answers. Whatever waiting cannot heal (a wrong password, a missing schema) is an error at once.
async fn wait_for_schema(store: &Store, health: &Arc<Health>) -> anyhow::Result<()> {
    let clickhouse = Dependency::new("clickhouse", "cannot start without ClickHouse", Arc::clone(health));
    let look = || async {
        let looked = async {
            store.check_server().await?;
            store.check_schema().await
        };
        match looked.await {
            Err(MigrateError::Store(error)) if error.is_retryable() => Err(error),
            settled => Ok(settled),
        }
    };
    clickhouse.until_ok::<_, StoreError, _>(look).await?;
    Ok(())
}
