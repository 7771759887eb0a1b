//! The async runtime that a command runs in.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{logging, shutdown};
use crate::config::Config;

/// Loads the configuration, starts logging and runs the command to its end; the token asks it to
/// stop earlier.
pub(super) fn with_runtime(
    load: impl FnOnce() -> anyhow::Result<Config>,
    command: impl AsyncFnOnce(Config, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = load()?;
    let _last_lines = logging::init(&config.log)?;
    within_runtime(async { command(config, shutdown::on_signals()?).await })
}

/// Runs the future to its end. Threads that still run, possibly stuck ones, do not keep the process
/// from ending.
pub(super) fn within_runtime(
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// Runs blocking work while signals are handled.
pub(super) async fn blocking(
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(work).await.context("the command broke down")?
}
