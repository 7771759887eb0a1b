//! `seatmeter migrate`.

use std::io::Write as _;

use super::output::written;
use crate::config::Config;
use crate::store::Store;

/// Create or upgrade the ClickHouse schema; safe to run again
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = Store::connect(&config.clickhouse)?;
    store.check_server().await?;
    let report = store.migrate().await?;
    let database = &config.clickhouse.database;
    let applied = match (report.applied.len(), report.views.len()) {
        (0, 0) => "nothing to do".to_owned(),
        (migrations, views) => format!("migrations applied: {migrations}, views made: {views}"),
    };
    let summary = format!("database {database:?} has schema version {}: {applied}", report.version);
    written(writeln!(std::io::stdout().lock(), "{summary}"))
}
