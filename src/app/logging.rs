//! Where logs go: standard error, as text or as JSON lines.

use std::io::IsTerminal as _;

use anyhow::{Context as _, anyhow};
use tracing_subscriber::EnvFilter;

use super::progress::StandardError;
use crate::config::Log;

/// Installs the process-wide subscriber; librdkafka's log lines come through it too.
///
/// # Errors
///
/// Where the filter is wrong, which validation has ruled out for a configured one, or a subscriber is already there.
pub(super) fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter = {:?}", log.filter))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| StandardError);
    let installed =
        if log.json { logs.json().try_init() } else { logs.with_ansi(std::io::stderr().is_terminal()).try_init() };
    installed.map_err(|error| anyhow!("cannot start logging: {error}"))
}
