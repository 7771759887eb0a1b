//! `seatmeter check-config`.

use std::io::Write as _;

use anyhow::bail;

use super::output::written;
use super::progress::say;
use super::topic_sample;
use super::topic_settings::{self, Finding};
use super::within_runtime;
use crate::config::{self, Config};
use crate::http::Auth;
use crate::store::{MigrateError, Store, StoreError};

/// Validate the configuration and print what is in effect, secrets masked
///
/// Kafka and ClickHouse are looked at too: what a worker needs is tried (nothing is counted or
/// committed, the group is not joined), and the topic's settings, its newest records' keys, the
/// server's version and the schema are judged. What is refused is an error; what cannot be reached
/// is named as not checked, and is no failure.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print every option with its default and a comment instead
    #[arg(long)]
    defaults: bool,

    /// Do not look at Kafka and ClickHouse
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(
    args: &Args,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    if args.defaults {
        return written(std::io::stdout().lock().write_all(config::DEFAULTS.as_bytes()));
    }
    let config = load()?;
    // The files of public keys are read now, as the API would.
    Auth::new(&config.auth)?;
    written(std::io::stdout().lock().write_all(config.to_string().as_bytes()))?;
    if args.offline {
        return Ok(());
    }
    let store = Store::connect(&config.clickhouse)?;
    within_runtime(async {
        let mut findings = topic_settings::look(&config).await;
        findings.extend(topic_sample::look(&config.kafka).await);
        findings.push(look_at_store(&store).await);
        findings.iter().for_each(|finding| say(&finding.to_string()));
        let errors = findings.iter().filter(|finding| matches!(finding, Finding::Error(_))).count();
        match errors {
            0 => Ok(()),
            1 => bail!("1 error, see above"),
            errors => bail!("{errors} errors, see above"),
        }
    })
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
        Ok(_) => Finding::Good(format!("ClickHouse {version} has the schema")),
        Err(
            error @ (MigrateError::Outdated { .. }
            | MigrateError::OutdatedView { .. }
            | MigrateError::NoSeed { .. }),
        ) => Finding::Warning(error.to_string()),
        Err(error) => Finding::Error(error.to_string()),
    }
}
