//! `seatmeter produce`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio_util::sync::CancellationToken;

use super::progress::{Progress, count_of, say};
use super::records::{Place, Records, Taken};
use super::rejections::{Rejections, judge};
use super::sender::{Sender, key};
use crate::config::Config;

/// Time between two updates of the progress.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// Records that are read ahead.
const RECORDS_AHEAD_MAX: usize = 1_024;

/// Time limit for the brokers to acknowledge the last records after the stop request.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between warnings while nothing is acknowledged.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Send NDJSON events to the topic, one event a line
///
/// Each line is sent unchanged as one record, keyed by its account id and stamped with the time of
/// sending; blank lines are skipped. A line without an account id is sent without a key, and ends
/// in rejected_events like any bad record; how many will is told at the end. The elements of a JSON
/// array are records too, gzip and zstd are unpacked, and a byte order mark is skipped.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of events; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A record, where it lies, and the position in the file.
type Read = (Vec<u8>, Taken, u64);

/// Sends the file; blocks.
pub(super) fn run(args: &Args, config: &Config, stop: &CancellationToken) -> anyhow::Result<()> {
    let records = Records::open(&args.file)?;
    let mut sender = Sender::connect(&config.kafka)?;
    let mut progress = Progress::new("sending", records.bytes_total());
    let records = read_aside(records);
    let (mut place, mut position) = (Place::Line(0), 0_u64);
    let mut rejections = Rejections::default();
    let mut shown = Instant::now();
    let mut now_ms = Utc::now().timestamp_millis();
    while !stop.is_cancelled() {
        // Records may come slowly: progress is shown and `stop` is handled meanwhile.
        match records.recv_timeout(SHOW_INTERVAL) {
            Ok(read) => {
                let (record, taken, end) = read?;
                (place, position) = (taken.place, end);
                if taken.is_cut() {
                    sender.refuse_large(place.number());
                    continue;
                }
                let key = key(&record);
                judge(&mut rejections, taken, &record, key.as_deref().map(str::as_bytes), now_ms);
                let sent = sender.send(place.number(), &record, key.as_deref(), stop);
                if !sent.with_context(|| format!("{} {}", place.noun(), place.number()))? {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if shown.elapsed() >= SHOW_INTERVAL {
            shown = Instant::now();
            now_ms = Utc::now().timestamp_millis();
            progress.set(position, sender.delivered());
        }
    }
    let interrupted_at = stop.is_cancelled().then_some(place.number());
    let outcome = finish(&sender, progress, stop, place.noun(), interrupted_at);
    let rejected = rejections.records();
    if rejected > 0 {
        say(&format!("{} will be rejected (see rejected_events):", count_of(rejected, "record")));
        rejections.lines().iter().for_each(|line| say(line));
    }
    outcome
}

/// Reads records on its own thread, which ends with them or when the receiver is dropped.
fn read_aside(mut records: Records) -> Receiver<anyhow::Result<Read>> {
    let (sender, receiver) = crossbeam_channel::bounded(RECORDS_AHEAD_MAX);
    std::thread::spawn(move || {
        loop {
            let mut record = Vec::new();
            let read = match records.next(&mut record) {
                Ok(Some(taken)) => Ok((record, taken, records.position())),
                Ok(None) => return,
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
/// cancelled they have [`LAST_ANSWERS_TIMEOUT`]. `noun` is what a number counts, and
/// `interrupted_at` the number at which the command was stopped.
pub(super) fn finish(
    sender: &Sender,
    mut progress: Progress,
    stop: &CancellationToken,
    noun: &str,
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
            "not delivered: {}; the first is {noun} {number}: {reason}",
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
        bail!("interrupted at {noun} {number}");
    }
    Ok(())
}
