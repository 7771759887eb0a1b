//! `seatmeter produce`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::progress::{Progress, count_of, say};
use super::sender::Sender;
use crate::config::Config;

/// Progress is shown after this many lines.
const SHOW_LINES: u64 = 1_024;

/// Time between complaints while nothing is acknowledged.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Send NDJSON events to the topic, one event a line
///
/// Each line is sent unchanged as one record, keyed by its account id and stamped with the time of sending; blank lines are
/// skipped. A line without an account id is sent without a key, and ends in rejected_events like any bad record.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of events; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Sends the file; blocks.
pub(super) fn run(args: &Args, config: &Config, stop: &CancellationToken) -> anyhow::Result<()> {
    let (mut lines, bytes_total) = open(&args.file)?;
    let mut sender = Sender::connect(&config.kafka)?;
    let mut progress = Progress::new("sending", bytes_total);
    let mut line = Vec::new();
    let (mut number, mut position, mut sent) = (0_u64, 0_u64, 0_u64);
    while !stop.is_cancelled() && read_line(&mut *lines, &mut line, &mut position)? {
        number += 1;
        let payload = trimmed(&line);
        if !payload.is_empty() && sender.send(number, payload, stop)? {
            sent += 1;
        }
        if sent.is_multiple_of(SHOW_LINES) {
            progress.set(position, sender.delivered());
        }
    }
    finish(&sender, progress, stop.is_cancelled().then_some(number))
}

/// Waits for the brokers to acknowledge what was sent, and says what became of it. `interrupted_at` is the line at which it
/// was told to stop.
pub(super) fn finish(sender: &Sender, progress: Progress, interrupted_at: Option<u64>) -> anyhow::Result<()> {
    let mut quiet = Duration::ZERO;
    let mut delivered = sender.delivered();
    const STEP: Duration = Duration::from_millis(100);
    while sender.poll(STEP) > 0 {
        quiet = if sender.delivered() == delivered { quiet + STEP } else { Duration::ZERO };
        delivered = sender.delivered();
        if quiet >= COMPLAIN_INTERVAL {
            quiet = Duration::ZERO;
            let reason = sender.last_error().unwrap_or_else(|| "they do not answer".to_owned());
            say(&format!("waiting for the brokers to acknowledge: {reason}"));
        }
    }
    let report = sender.report();
    let seconds = progress.elapsed().as_secs_f64();
    progress.finish(&format!("{} sent in {seconds:.1} s", count_of(report.delivered, "record")));
    if let Some((number, reason)) = report.first_failure {
        bail!("not delivered: {}; the first is record {number}: {reason}", count_of(report.failed, "record"));
    }
    if let Some(number) = interrupted_at {
        bail!("interrupted at record {number}");
    }
    Ok(())
}

/// The lines of the file, and its size where it has one.
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
pub(super) fn read_line(lines: &mut dyn BufRead, line: &mut Vec<u8>, position: &mut u64) -> anyhow::Result<bool> {
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
