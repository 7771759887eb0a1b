//! The events of `demo`: the lines of a file, or a generated history followed by live events.
//!
//! The embedded broker keeps only 5 MiB a partition, so a chunk of lines is sent, and the next one
//! only when all of it is counted: so no record is ever evicted unread, whatever partitions the
//! accounts are in.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::produce;
use super::progress::{Progress, count_of};
use super::sender::Sender;
use crate::config;
use crate::core::decode::account_key;
use crate::generate::{Generator, Load};
use crate::store::Store;

/// Payload bytes that may be in the broker and not counted. Half of what one partition keeps,
/// because the records' own overhead counts too. A single line may be larger: the broker keeps the
/// last record of a partition whatever its size.
const CHUNK_BYTES_MAX: usize = 5 * 1024 * 1024 / 2;

/// Time between checks of the progress.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Days of generated history.
const HISTORY_DAYS: i64 = 92;

/// Time between live events.
const TRICKLE_INTERVAL: Duration = Duration::from_secs(1);

/// Where the events come from.
pub(super) enum Feed {
    File { lines: Box<dyn BufRead + Send>, bytes: Option<u64> },
    Generated { from_ms: i64, to_ms: i64 },
}

impl Feed {
    /// The lines of the file, or generated ones if none is named.
    pub(super) fn open(events: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = events else {
            let to_ms = Utc::now().timestamp_millis();
            return Ok(Self::Generated { from_ms: to_ms - HISTORY_DAYS * 86_400_000, to_ms });
        };
        let (lines, bytes) = produce::open(path)?;
        Ok(Self::File { lines, bytes })
    }

    /// An account with data: that of the first line that names one. A pipe is not inspected,
    /// because its first line may come late.
    pub(super) fn account(&mut self) -> anyhow::Result<Option<String>> {
        let account = |line: &[u8]| account_key(line).map(|id| id.to_string());
        match self {
            Self::File { bytes: None, .. } => Ok(None),
            // Only the content of the buffer, which stays in it.
            Self::File { lines, .. } => {
                let begun = lines.fill_buf().context("cannot read the events")?;
                Ok(begun.split(|byte| *byte == b'\n').find_map(account))
            }
            Self::Generated { from_ms, to_ms } => {
                Ok(Generator::new(&Load::ordinary(*from_ms, *to_ms))
                    .find_map(|line| account(&line.json)))
            }
        }
    }
}

/// Feeds the topic until `stop` is cancelled; blocks.
pub(super) fn run(
    feed: Feed,
    kafka: &config::Kafka,
    store: Store,
    stop: CancellationToken,
    runtime: Handle,
) -> anyhow::Result<()> {
    let sender = Sender::connect(kafka)?;
    let mut chunks = Chunks {
        sender,
        store,
        topic: kafka.topic.clone(),
        stop,
        runtime,
        sent: 0,
        chunk_bytes: 0,
    };
    match feed {
        Feed::File { mut lines, bytes } => chunks.count_file(&mut *lines, bytes),
        Feed::Generated { from_ms, to_ms } => {
            let mut generator = Generator::new(&Load::ordinary(from_ms, to_ms));
            chunks.count_history(&mut generator, from_ms, to_ms)?;
            chunks.trickle(&mut generator)
        }
    }
}

/// Sends in chunks.
struct Chunks {
    sender: Sender,
    store: Store,
    topic: String,
    stop: CancellationToken,
    runtime: Handle,
    /// Records sent so far.
    sent: u64,
    /// Payload bytes sent since all was counted.
    chunk_bytes: usize,
}

impl Chunks {
    fn count_file(&mut self, lines: &mut dyn BufRead, bytes: Option<u64>) -> anyhow::Result<()> {
        let mut progress = Progress::new("counting", bytes);
        let mut line = Vec::new();
        let mut position = 0;
        while produce::read_line(lines, &mut line, &mut position)? {
            if !self.send(produce::trimmed(&line), position, &mut progress)? {
                return Ok(());
            }
        }
        self.finish(progress)
    }

    fn count_history(
        &mut self,
        generator: &mut Generator,
        from_ms: i64,
        to_ms: i64,
    ) -> anyhow::Result<()> {
        // The number of lines is known only at the end; the time reached is always known.
        let position = |time_ms: i64| u64::try_from(time_ms - from_ms).unwrap_or(0);
        let mut progress =
            Progress::new("counting three months of made-up history", Some(position(to_ms)));
        for line in generator {
            if !self.send(&line.json, position(line.time_ms), &mut progress)? {
                return Ok(());
            }
        }
        self.finish(progress)
    }

    /// Sends live events until `stop` is cancelled.
    fn trickle(&mut self, generator: &mut Generator) -> anyhow::Result<()> {
        let mut next = Instant::now();
        while !self.stop.is_cancelled() {
            // In short sleeps, so that it stops soon.
            if Instant::now() < next {
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            }
            next += TRICKLE_INTERVAL;
            for line in generator.live(Utc::now().timestamp_millis()) {
                self.sent += 1;
                self.sender.send(self.sent, &line.json, &self.stop)?;
            }
        }
        Ok(())
    }

    /// Sends a line; false if `stop` is cancelled. Blank lines are skipped.
    fn send(
        &mut self,
        payload: &[u8],
        position: u64,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        if payload.is_empty() {
            return Ok(true);
        }
        if self.chunk_bytes > 0 && self.chunk_bytes + payload.len() > CHUNK_BYTES_MAX {
            if !self.wait_until_counted()? {
                return Ok(false);
            }
            progress.set(position, self.sent);
        }
        self.chunk_bytes += payload.len();
        self.sent += 1;
        self.sender.send(self.sent, payload, &self.stop)
    }

    /// Waits until everything that was sent is counted; false if `stop` is cancelled.
    fn wait_until_counted(&mut self) -> anyhow::Result<bool> {
        while self.sender.wait(LOOK_INTERVAL) > 0 {
            if self.stop.is_cancelled() {
                return Ok(false);
            }
        }
        if let Some((number, reason)) = self.sender.report().first_failure {
            bail!("the embedded broker did not take record {number}: {reason}");
        }
        while self.counted()? < self.sent {
            if self.stop.is_cancelled() {
                return Ok(false);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.chunk_bytes = 0;
        Ok(true)
    }

    /// Records counted so far.
    fn counted(&self) -> anyhow::Result<u64> {
        match self.runtime.block_on(self.store.progress(&self.topic)) {
            Ok(partitions) => {
                Ok(partitions.iter().map(|partition| partition.progress.passed()).sum())
            }
            // The worker waits for it too, and reports it.
            Err(error) if error.is_retryable() => Ok(0),
            Err(error) => Err(error).context("cannot tell what is counted"),
        }
    }

    fn finish(&mut self, progress: Progress) -> anyhow::Result<()> {
        if self.wait_until_counted()? {
            let seconds = progress.elapsed().as_secs_f64();
            progress
                .finish(&format!("{} counted in {seconds:.1} s", count_of(self.sent, "record")));
        }
        Ok(())
    }
}

/// Runs [`run`] on its own thread; it ends only by an error, the end of a file, or `stop`.
pub(super) fn start(
    feed: Feed,
    kafka: config::Kafka,
    store: Store,
    stop: CancellationToken,
) -> JoinHandle<anyhow::Result<()>> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || run(feed, &kafka, store, stop, runtime))
}
