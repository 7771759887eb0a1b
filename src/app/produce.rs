//! `seatmeter produce`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio_util::sync::CancellationToken;

use super::progress::{Progress, count_of, say};
use super::sender::Sender;
use crate::config::Config;

/// Time between two updates of the progress.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// Lines that are read ahead.
const LINES_AHEAD_MAX: usize = 1_024;

/// How long the brokers may take to acknowledge the last records after the stop request.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between warnings while nothing is acknowledged.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Send NDJSON events to the topic, one event a line
///
/// Each line is sent unchanged as one record, keyed by its account id and stamped with the time of
/// sending; blank lines are skipped. A line without an account id is sent without a key, and ends
/// in rejected_events like any bad record.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of events; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A line, and the position of its end in the file.
type Line = (Vec<u8>, u64);

/// Sends the file; blocks.
pub(super) fn run(args: &Args, config: &Config, stop: &CancellationToken) -> anyhow::Result<()> {
    let (lines, bytes_total) = open(&args.file)?;
    let mut sender = Sender::connect(&config.kafka)?;
    let mut progress = Progress::new("sending", bytes_total);
    let lines = read_aside(lines);
    let (mut number, mut position) = (0_u64, 0_u64);
    let mut shown = Instant::now();
    while !stop.is_cancelled() {
        // Lines may come slowly: progress is shown and `stop` is handled meanwhile.
        match lines.recv_timeout(SHOW_INTERVAL) {
            Ok(read) => {
                let (line, end) = read?;
                position = end;
                number += 1;
                let payload = trimmed(&line);
                if !payload.is_empty() && !sender.send(number, payload, stop)? {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if shown.elapsed() >= SHOW_INTERVAL {
            shown = Instant::now();
            progress.set(position, sender.delivered());
        }
    }
    finish(&sender, progress, stop, stop.is_cancelled().then_some(number))
}

/// Reads lines on its own thread, which ends with the lines or when the receiver is dropped.
fn read_aside(mut lines: Box<dyn BufRead + Send>) -> Receiver<anyhow::Result<Line>> {
    let (sender, receiver) = crossbeam_channel::bounded(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        let mut position = 0;
        loop {
            let mut line = Vec::new();
            let read = match read_line(&mut *lines, &mut line, &mut position) {
                Ok(true) => Ok((line, position)),
                Ok(false) => return,
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Waits until the brokers acknowledge what was sent, and reports the outcome. After `stop` is
/// cancelled they have [`LAST_ANSWERS_TIMEOUT`]. `interrupted_at` is the line at which the command
/// was stopped.
pub(super) fn finish(
    sender: &Sender,
    mut progress: Progress,
    stop: &CancellationToken,
    interrupted_at: Option<u64>,
) -> anyhow::Result<()> {
    let mut quiet = Duration::ZERO;
    let mut delivered = sender.delivered();
    let mut patience = LAST_ANSWERS_TIMEOUT;
    const STEP: Duration = Duration::from_millis(100);
    let mut unanswered = sender.wait(STEP);
    while unanswered > 0 && !patience.is_zero() {
        if stop.is_cancelled() {
            patience = patience.saturating_sub(STEP);
        }
        quiet = if sender.delivered() == delivered { quiet + STEP } else { Duration::ZERO };
        delivered = sender.delivered();
        progress.set_records(delivered);
        if quiet >= COMPLAIN_INTERVAL {
            quiet = Duration::ZERO;
            let reason = sender
                .cause()
                .map_or_else(|| "they do not answer".to_owned(), |cause| cause.to_string());
            say(&format!("waiting for the brokers to acknowledge: {reason}"));
        }
        unanswered = sender.wait(STEP);
    }
    let report = sender.report();
    let seconds = progress.elapsed().as_secs_f64();
    progress.finish(&format!("{} sent in {seconds:.1} s", count_of(report.delivered, "record")));
    if let Some((number, reason)) = report.first_failure {
        bail!(
            "not delivered: {}; the first is record {number}: {reason}",
            count_of(report.failed, "record")
        );
    }
    if unanswered > 0 {
        let reason = sender
            .cause()
            .map_or_else(|| "they do not answer".to_owned(), |cause| cause.to_string());
        let records = count_of(u64::try_from(unanswered).unwrap_or(u64::MAX), "record");
        bail!(
            "interrupted, and {records} may be in the topic or not, because the brokers did not \
            acknowledge: {reason}"
        );
    }
    if let Some(number) = interrupted_at {
        bail!("interrupted at record {number}");
    }
    Ok(())
}

/// The lines of the file, and its size if it has one.
pub(super) fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    }
    let cannot_read = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    let metadata = file.metadata().with_context(cannot_read)?;
    if metadata.is_dir() {
        bail!("{} is a directory; name a file of events", path.display());
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(1 << 20, file)), bytes))
}

/// Reads the next line into `line`; false at the end.
pub(super) fn read_line(
    lines: &mut dyn BufRead,
    line: &mut Vec<u8>,
    position: &mut u64,
) -> anyhow::Result<bool> {
    line.clear();
    let bytes = lines.read_until(b'\n', line).context("cannot read the events")?;
    *position += u64::try_from(bytes).unwrap_or(0);
    Ok(bytes > 0)
}

/// The line without its end; empty for a blank one.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.trim_ascii().is_empty() { &[] } else { line }
}
