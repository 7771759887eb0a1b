//! Ensures that nothing is acknowledged that was not written to the disk.
//!
//! chDB has removed the error from ClickHouse's file writes: if one fails (a full disk, a quota),
//! the engine goes on and commits a part with truncated files
//! (`WriteBufferFromFileDescriptor::nextImpl` in chdb-core 26.7). It still counts failed writes. So
//! before a statement that writes is acknowledged, this module reads the count. After one failed
//! write the statement fails and the process stops. At the next start, the engine checks the size
//! of every file, detaches broken parts, and restores the sources of a broken merge, so that
//! exactly the acknowledged data is there.

use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::engine::Engine;
use crate::embedded::libchdb::{Connection, EngineError};

/// Interval between checks for failed writes of merges.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Statements that wait for the same check.
const WAITING_MAX: usize = 256;

const FAILED_WRITES: &str = "SELECT toUInt8(count()) FROM system.events WHERE event = \
    'WriteBufferFromFileDescriptorWriteFailed'";

/// A thread that monitors the engine. Its connection is the first and the last one, so the engine
/// runs until this is dropped: it can start only once in a process.
#[derive(Debug)]
pub(super) struct Sentinel {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

type Request = SyncSender<Result<(), EngineError>>;

impl Sentinel {
    /// Starts the engine, and calls `on_failure` once if a write fails.
    ///
    /// # Errors
    ///
    /// The engine does not start, or could not write while it did.
    pub(super) fn start(
        engine: Engine,
        on_failure: impl FnOnce() + Send + 'static,
    ) -> Result<Sentinel, EngineError> {
        let (requests, inbox) = mpsc::sync_channel::<Request>(WAITING_MAX);
        let (started_sender, started) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let mut connection = match engine
                .connect()
                .and_then(|mut connection| look(&mut connection).map(|()| connection))
            {
                Ok(connection) => connection,
                // The caller waits for the answer.
                Err(error) => return drop(started_sender.send(Err(error))),
            };
            let mut on_failure = Some(on_failure);
            drop(started_sender.send(Ok(())));
            loop {
                let first = match inbox.recv_timeout(LOOK_INTERVAL) {
                    Ok(first) => Some(first),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                // One check answers all earlier requests.
                let waiting: Vec<Request> = first.into_iter().chain(inbox.try_iter()).collect();
                let outcome = look(&mut connection);
                if outcome.is_err()
                    && let Some(on_failure) = on_failure.take()
                {
                    on_failure();
                }
                for request in waiting {
                    drop(request.send(outcome.clone()));
                }
            }
        });
        let sentinel = Sentinel { requests: Some(requests), thread: Some(thread) };
        match started.recv() {
            Ok(outcome) => outcome.map(|()| sentinel),
            Err(_) => Err(gone()),
        }
    }

    /// Waits for the confirmation that all writes so far have succeeded.
    ///
    /// # Errors
    ///
    /// A write has failed.
    pub(super) fn confirm(&self) -> Result<(), EngineError> {
        let (reply, outcome) = mpsc::sync_channel(1);
        self.requests.as_ref().ok_or_else(gone)?.send(reply).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.requests.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that watches over the engine has panicked");
        }
    }
}

fn look(connection: &mut Connection) -> Result<(), EngineError> {
    let output = connection.query(FAILED_WRITES.as_bytes(), "RowBinary", &[])?;
    match output.bytes.as_slice() {
        [0] => Ok(()),
        _ => Err(EngineError::new(
            75,
            "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
            "The engine could not write to a file (is the disk full?) and stops; what was \
            acknowledged before is kept",
        )),
    }
}

fn gone() -> EngineError {
    EngineError::new(1001, "STD_EXCEPTION", "The engine is no longer watched over")
}
