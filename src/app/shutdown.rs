//! Signals to a request to stop.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after a second signal: 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

/// A token that SIGINT and SIGTERM cancel. The first signal asks for an orderly end; the second ends the process at once,
/// which loses nothing but time: whatever was not flushed is read again.
///
/// # Errors
///
/// Where the handlers cannot be installed. Must be called within a runtime.
pub(super) fn on_signals() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        stop.cancel();
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}
