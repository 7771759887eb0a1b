//! Other people's ClickHouse clients, at their defaults, on the embedded engine: each makes a
//! table, inserts, reads every type of our views, passes parameters, keeps a temporary table in a
//! session, and gets an error with code and name. The scripts are in folders beside this file.

mod provision;

use std::process::Command;
use std::time::Duration;

use seatmeter::store::ProgressRow;

use self::provision::Client;
use crate::recipes::{acme, second_source};
use crate::store::{TestDatabase, source};
use crate::support::engine;
use crate::support::engine::PASSWORD;

/// Views that need no parameters; together they have every type of all views.
const VIEWS: &str = "accounts,daily_active_users,daily_active_users_by_account,ingest_progress,\
    license_assignments,license_intervals,license_purchases,organization_paths,organizations,\
    plans,projects,quota_usage,quota_usage_daily,rejected_events,test_executions_daily,users";

/// Runs a client on a database with the schema and some rows in it.
async fn check(client: Client) {
    let Some(mut command) = client.command() else { return };
    let database = TestDatabase::migrated().await;
    let seed = database.store().user_key_seed().await.unwrap();
    let lanes = [acme(&source(0), seed), second_source(&source(1))];
    database.store().write_rows(&lanes).await.unwrap();
    let progress = lanes.map(|lane| ProgressRow {
        high_watermark: lane.progress.next_offset,
        source: lane.source,
        progress: lane.progress,
        end_valid_for: Duration::from_secs(3600),
        completes_flush: true,
    });
    database.store().write_progress(&progress).await.unwrap();
    let engine = engine().url.clone();
    command
        .env("ENGINE", engine.strip_prefix("http://").unwrap())
        .env("PASSWORD", PASSWORD)
        .env("DATABASE", database.name())
        .env("VIEWS", VIEWS);
    run(&mut command);
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let is_done = output.status.success() && stdout.lines().last() == Some("done");
    assert!(is_done, "{command:?}: {}\n{stdout}\n{stderr}", output.status);
}

#[tokio::test]
async fn python() {
    check(Client::Python).await;
}

#[tokio::test]
async fn node() {
    check(Client::Node).await;
}

#[tokio::test]
async fn go() {
    check(Client::Go).await;
}

#[tokio::test]
async fn java() {
    check(Client::Java).await;
}

#[tokio::test]
async fn curl() {
    check(Client::Curl).await;
}
