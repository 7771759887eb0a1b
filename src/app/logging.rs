//! Logs on standard error, as text or as JSON lines.
//!
//! Logging never waits for the reader of the log: a separate thread writes the lines, and if they
//! are not read for a while, some are lost, which is counted and logged. Otherwise a pipe that is
//! not read would block each logging thread, and with them the counting and the end of the process.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, Sender};
use tracing_subscriber::EnvFilter;

use super::progress::StandardError;
use crate::config::{Log, LogFormat};
use crate::telemetry::{events, metrics};

/// Lines that may wait to be written; about a MiB.
const WAITING_LINES_MAX: usize = 4_096;

/// Time limit for the last lines at the end of the process.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// Installs the process-wide subscriber; librdkafka's log lines come through it too.
///
/// # Errors
///
/// The filter is invalid, which validation excludes for a configured one, or a subscriber is
/// already installed.
pub(super) fn init(log: &Log) -> anyhow::Result<LastLines> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("log.filter = {:?}", log.filter))?;
    let (sender, receiver) = crossbeam_channel::bounded(WAITING_LINES_MAX);
    let lines = Lines { sender: sender.clone(), lost: Arc::default() };
    let lost = Arc::clone(&lines.lost);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, &lost, StandardError))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines.clone());
    let is_terminal = std::io::stderr().is_terminal();
    let is_text = match log.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let installed =
        if is_text { logs.with_ansi(is_terminal).try_init() } else { logs.json().try_init() };
    installed.map_err(|error| anyhow!("cannot start logging: {error}"))?;
    Ok(LastLines(sender))
}

enum Message {
    Line(Vec<u8>),
    /// Requests an answer once all earlier lines are written.
    Flush(Sender<()>),
}

/// Takes lines, each in one call, as `tracing_subscriber` writes them.
#[derive(Clone)]
struct Lines {
    sender: Sender<Message>,
    /// Lost lines that are not reported yet.
    lost: Arc<AtomicU64>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            metrics::log_line_lost();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(messages: &Receiver<Message>, lost: &AtomicU64, mut out: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                // If standard error is closed, there is no reader left.
                let _ = out.write_all(&line);
                match lost.swap(0, Ordering::Relaxed) {
                    0 => {}
                    lines => events::log_lines_lost(lines),
                }
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// When dropped, waits a bounded time until all lines are written.
#[must_use]
pub(super) struct LastLines(Sender<Message>);

impl Drop for LastLines {
    fn drop(&mut self) {
        let (done, is_done) = crossbeam_channel::bounded(1);
        if self.0.send_timeout(Message::Flush(done), LAST_LINES_TIMEOUT).is_ok() {
            let _ = is_done.recv_timeout(LAST_LINES_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that reads only on demand.
    struct Slow {
        may_go_on: Receiver<()>,
        read: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.may_go_on.recv();
            self.read.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_counted_and_keep_nobody_waiting() {
        let (sender, receiver) = crossbeam_channel::bounded(2);
        let (go_on, may_go_on) = crossbeam_channel::unbounded();
        let (read, lines_read) = crossbeam_channel::unbounded();
        let mut lines = Lines { sender: sender.clone(), lost: Arc::default() };
        for number in 0..5 {
            lines.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines.lost.load(Ordering::Relaxed), 3);

        let lost = Arc::clone(&lines.lost);
        std::thread::spawn(move || write_lines(&receiver, &lost, Slow { may_go_on, read }));
        drop(LastLines(sender.clone()));
        assert!(lines_read.is_empty(), "the end of the process has not waited for the reader");
        drop(go_on);
        drop(LastLines(sender));
        let read: Vec<String> = lines_read.try_iter().collect();
        assert_eq!(read, ["line 0\n", "line 1\n"]);
        assert_eq!(lines.lost.load(Ordering::Relaxed), 0, "told");
    }
}
