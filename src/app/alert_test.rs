//! `seatmeter alerts test`.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use chrono::Utc;
use serde_json::json;

use super::output::written;
use crate::alerts::targets;
use crate::config::Config;
use crate::report::alert::AlertEvent;

/// Send an event of the type seatmeter.alert.test to every webhook and to alerts.topic
///
/// Says of each whether it was taken. Exit status 1 where one was not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Sends it to each target once.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let targets = targets(config)?;
    if targets.is_empty() {
        bail!("there is nobody to tell: set alerts.webhooks or alerts.topic");
    }
    if !config.alerts.enabled {
        say_line("alerts.enabled is false: this event is sent all the same, and no other one")?;
    }
    let number = getrandom::u64().context("no random number is to be had")?;
    let id = format!("test-{number:016x}");
    let data = json!({"state": "test", "message": "seatmeter reaches this target"});
    let about = (config.clickhouse.database.as_str(), "test".to_owned());
    let event = AlertEvent::new("test", &id, about, Utc::now().timestamp_millis(), &data);
    let event = serde_json::to_string(&event)?;
    let mut failed = 0;
    for target in &targets {
        match target.send("test", &id, &event).await {
            Ok(()) => say_line(&format!("{}: taken", target.name()))?,
            Err(error) => {
                failed += 1;
                say_line(&format!("{}: not taken: {error}", target.name()))?;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} targets did not take the event", targets.len());
    }
    Ok(())
}

fn say_line(line: &str) -> anyhow::Result<()> {
    written(writeln!(std::io::stdout().lock(), "{line}"))
}
