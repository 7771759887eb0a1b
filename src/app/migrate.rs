//! `seatmeter migrate`.

use std::io::Write as _;

use super::output::written;
use crate::config::Config;
use crate::store::{Migration, MigrationPlan, Store};

/// Create or upgrade the ClickHouse schema; safe to run again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say what would be applied; nothing is changed
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    let store = Store::connect(&config.clickhouse)?;
    store.check_server().await?;
    let database = &config.clickhouse.database;
    if args.dry_run {
        return planned(database, &store.migration_plan().await?);
    }
    let report = store.migrate().await?;
    let applied = match (report.applied.len(), report.views.len()) {
        (0, 0) => "nothing to do".to_owned(),
        (migrations, views) => format!("migrations applied: {migrations}, views made: {views}"),
    };
    let summary = format!("database {database:?} has schema version {}: {applied}", report.version);
    written(writeln!(std::io::stdout().lock(), "{summary}"))
}

/// One line on the whole, and one for each statement file that would be applied.
fn planned(database: &str, plan: &MigrationPlan) -> anyhow::Result<()> {
    let MigrationPlan { version, migrations, views } = plan;
    let mut text = format!("database {database:?} has schema version {version}: ");
    text += &match (migrations.len(), views.len()) {
        (0, 0) => "nothing to do\n".to_owned(),
        (tables, views) => format!("migrations to apply: {tables}, views to make: {views}\n"),
    };
    for Migration { version, name, .. } in migrations {
        text += &format!("migration {version:04}_{name}\n");
    }
    for view in views {
        text += &format!("view {view}\n");
    }
    written(std::io::stdout().lock().write_all(text.as_bytes()))
}
