//! Turns signals into a stop request, and forces the end of the process.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::embedded::libchdb::end_process;

/// Exit status after a second signal: 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

/// Exit status of a process that could not end by itself; `EX_SOFTWARE` of sysexits, as the
/// watchdog has it.
const STUCK: i32 = 70;

/// A token that SIGINT and SIGTERM cancel. The first signal asks for an orderly end; the second
/// ends the process at once, which loses only time: what was not flushed is read again.
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
        end_process(INTERRUPTED);
    });
    Ok(token)
}

/// Ends the process when `limit` has passed since `stop` was cancelled, whatever its threads wait
/// for. It does not log or clean up: what blocks the process might block that too. Only time is
/// lost.
///
/// # Errors
///
/// Where no thread can be started.
pub(super) fn end_within(limit: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    let (told, is_told) = std::sync::mpsc::channel::<()>();
    tokio::spawn(async move {
        stop.cancelled().await;
        drop(told);
    });
    // Started now, because it may be impossible later.
    let last_resort = std::thread::Builder::new().name("last-resort".to_owned());
    last_resort
        .spawn(move || {
            // Nothing is ever sent: the call returns when the sender is dropped.
            let _ = is_told.recv();
            std::thread::sleep(limit);
            end_process(STUCK);
        })
        .context("cannot start a thread")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    const VARIABLE: &str = "SEATMETER_TEST_STUCK";

    #[test]
    fn a_process_that_does_not_end_is_ended() {
        let began = Instant::now();
        let mut process = Command::new(std::env::current_exe().unwrap());
        process
            .args(["--exact", "app::shutdown::tests::as_process", "--ignored"])
            .env(VARIABLE, "1");
        let ended = process.output().unwrap().status;
        assert_eq!(ended.code(), Some(STUCK));
        assert!(began.elapsed() >= Duration::from_millis(300), "not before its time");
    }

    #[test]
    #[ignore = "no test, but a process that does not end by itself"]
    fn as_process() {
        if std::env::var_os(VARIABLE).is_none() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let stop = CancellationToken::new();
        runtime.block_on(async {
            end_within(Duration::from_millis(300), stop.clone()).unwrap();
            stop.cancel();
        });
        std::thread::sleep(Duration::from_secs(60));
    }
}
