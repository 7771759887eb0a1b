//! `seatmeter check-config`.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::alerts_topic;
use super::output::written;
use super::progress::say;
use super::runtime::within_runtime;
use super::topic_sample;
use super::topic_settings::{self, Finding};
use crate::config::{self, Config, ConfigError};
use crate::http::Authenticator;
use crate::store::{MigrateError, Store, StoreError};

/// Validate the configuration and print what is in effect, secrets masked
///
/// Kafka and ClickHouse are looked at too: what a worker needs is tried (nothing is counted or
/// committed, the group is not joined), and the topic's settings, its newest records' keys, whether
/// `alerts.topic` is there, the server's version and the schema are judged. What is refused is an
/// error; what cannot be reached is named as not checked, and is no failure.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print every option with its default and a comment instead
    #[arg(long)]
    defaults: bool,

    /// Do not look at Kafka and ClickHouse
    #[arg(long)]
    offline: bool,

    /// Print one JSON object instead: the configuration, or its problems, and what was found
    #[arg(long, conflicts_with = "defaults")]
    json: bool,
}

pub(super) fn run(
    args: &Args,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    if args.defaults {
        return written(std::io::stdout().lock().write_all(config::DEFAULTS.as_bytes()));
    }
    if args.json {
        return run_json(args, load);
    }
    let config = load()?;
    // The files of public keys are read now, as the API would.
    Authenticator::new(&config.auth)?;
    written(std::io::stdout().lock().write_all(config.to_string().as_bytes()))?;
    if args.offline {
        return Ok(());
    }
    let findings = look(&config)?;
    findings.iter().for_each(|finding| say(&finding.to_string()));
    judge(&findings)
}

/// As [`run`], in JSON.
fn run_json(args: &Args, load: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let print = |document: &Value| written(writeln!(std::io::stdout().lock(), "{document:#}"));
    let config = match load() {
        Ok(config) => config,
        Err(error) => {
            let problems = match error.downcast_ref::<ConfigError>() {
                Some(ConfigError { problems }) => problems
                    .iter()
                    .map(|problem| json!({"key": problem.key, "message": problem.to_string()}))
                    .collect(),
                None => vec![json!({"key": Value::Null, "message": format!("{error:#}")})],
            };
            print(&json!({"valid": false, "problems": problems}))?;
            return Err(error);
        }
    };
    Authenticator::new(&config.auth)?;
    let findings = if args.offline { Vec::new() } else { look(&config)? };
    let told: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"outcome": finding.outcome(), "message": finding.text()}))
        .collect();
    let config = config.to_json().context("cannot write the configuration as JSON")?;
    print(&json!({"valid": true, "config": config, "checks": told}))?;
    judge(&findings)
}

/// Looks at Kafka and ClickHouse.
fn look(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let store = Store::connect(&config.clickhouse)?;
    let mut findings = Vec::new();
    within_runtime(async {
        findings.extend(topic_settings::look(config).await);
        findings.extend(topic_sample::look(&config.kafka).await);
        findings.extend(alerts_topic::look(config).await);
        findings.push(look_at_store(&store).await);
        Ok(())
    })?;
    Ok(findings)
}

/// An error where there is one among the findings.
fn judge(findings: &[Finding]) -> anyhow::Result<()> {
    match findings.iter().filter(|finding| matches!(finding, Finding::Error(_))).count() {
        0 => Ok(()),
        1 => bail!("1 error, see above"),
        errors => bail!("{errors} errors, see above"),
    }
}

/// Checks the server and the schema.
async fn look_at_store(store: &Store) -> Finding {
    let version = match store.check_server().await {
        Ok(version) => version,
        // An untrusted certificate counts as an answer.
        Err(StoreError::Unreachable { url, reason })
            if reason.contains("invalid peer certificate") =>
        {
            return Finding::Error(format!(
                "ClickHouse at {url} is not trusted: {reason}; see clickhouse.ca_file"
            ));
        }
        Err(error @ (StoreError::Unreachable { .. } | StoreError::TimedOut { .. })) => {
            return Finding::NotChecked(error.to_string());
        }
        Err(error) => return Finding::Error(error.to_string()),
    };
    let checked = async {
        store.check_schema().await?;
        store.user_key_seed().await
    };
    match checked.await {
        Ok(_) => match version.known_fault() {
            Some(fault) => Finding::Warning(format!("ClickHouse {version} has a fault: {fault}")),
            None => Finding::Good(format!("ClickHouse {version} has the schema")),
        },
        Err(
            error @ (MigrateError::Outdated { .. }
            | MigrateError::OutdatedView { .. }
            | MigrateError::NoSeed { .. }),
        ) => Finding::Warning(error.to_string()),
        Err(error) => Finding::Error(error.to_string()),
    }
}
