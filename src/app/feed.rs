//! The events of `demo`: the records of a file, or a generated history followed by live events.
//!
//! The embedded broker keeps only 5 MiB a partition, so records are sent as fast as the worker
//! reads them ([`Window`]). What was read and is not durable yet would be lost only with the
//! process, and nothing of a demo survives that anyway.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::extent::{Extents, Range, Sight};
use super::progress::{Progress, count_of, say};
use super::records::{Records, Taken};
use super::rejections::{Rejections, judge};
use super::sender::{PACED_BATCH_BYTES, Sender, key};
use super::window::{Window, weight};
use crate::config;
use crate::core::decode::PAYLOAD_BYTES_MAX;
use crate::core::rollup;
use crate::generate::{Generator, Load};
use crate::ingest::Positions;
use crate::store::Store;
use crate::telemetry::feeding::Feeding;

/// Bytes of a partition that may lie in the broker unread: what it keeps, less a batch that is read
/// in part. A single record may be larger: the broker keeps the last one whatever its size.
const UNREAD_BYTES_MAX: usize = 5 * 1024 * 1024 - PACED_BATCH_BYTES;

/// Time between checks of the progress.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait for the worker before other news are looked for.
const READ_WAIT: Duration = Duration::from_millis(10);

/// Time between updates of what is shown, and records between looks at the clock.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);
const SHOW_RECORDS: u64 = 256;

/// Days of generated history.
const HISTORY_DAYS: i64 = 92;

/// Time between live events.
const TRICKLE_INTERVAL: Duration = Duration::from_secs(1);

/// Where the events come from.
pub(super) enum Feed {
    File(Records),
    Generated { from_ms: i64, to_ms: i64 },
}

impl Feed {
    /// The records of the file, or generated ones if none is named.
    pub(super) fn open(events: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = events else {
            let to_ms = Utc::now().timestamp_millis();
            return Ok(Self::Generated { from_ms: to_ms - HISTORY_DAYS * 86_400_000, to_ms });
        };
        Ok(Self::File(Records::open(path)?))
    }

    /// What the dashboard is to open on, as far as the beginning of a file tells. A pipe is not
    /// inspected, because its first line may come late.
    pub(super) fn sight(&mut self) -> anyhow::Result<Option<Sight>> {
        match self {
            Self::File(records) if records.bytes_total().is_none() => Ok(None),
            Self::File(records) => {
                let bytes_total = records.bytes_total();
                let mut extents = Extents::default();
                let begun = records.beginning()?;
                let is_whole = u64::try_from(begun.len()).ok() == bytes_total;
                look_at_file(begun, &mut extents)?;
                // Where the data ends is known only at the end of the file.
                let sight = extents.sight();
                Ok(match is_whole {
                    true => sight,
                    false => sight.map(|sight| Sight { range: Range::Preset("all"), ..sight }),
                })
            }
            Self::Generated { from_ms, to_ms } => {
                let generator = Generator::new(&Load::demo(*from_ms, *to_ms));
                let mut extents = Extents::default();
                // The plans come among the first lines.
                for line in generator.take(1_000) {
                    look_at(&line.json, &mut extents);
                }
                let range = Range::Preset("90d");
                Ok(extents.sight().map(|sight| Sight { range, ..sight }))
            }
        }
    }
}

/// Notes the events at the beginning of a file, the last of which may be cut.
fn look_at_file(begun: Vec<u8>, extents: &mut Extents) -> anyhow::Result<()> {
    let mut records = Records::of(std::io::Cursor::new(begun), None);
    let mut record = Vec::new();
    while records.next(&mut record)?.is_some() {
        look_at(&record, extents);
    }
    Ok(())
}

/// Notes an event, if it is one.
fn look_at(payload: &[u8], extents: &mut Extents) {
    let Some(key) = key(payload) else { return };
    let taken = Taken { place: super::records::Place::Line(0), bytes: 0 };
    let now_ms = Utc::now().timestamp_millis();
    let mut unheard = Rejections::default();
    if let Some(event) = judge(&mut unheard, taken, payload, Some(key.as_bytes()), now_ms) {
        extents.note(&key, &event);
    }
}

/// The process that a feeder runs in, as far as the feeder needs it.
pub(super) struct Surroundings {
    pub(super) kafka: config::Kafka,
    pub(super) store: Store,
    /// The worker's positions.
    pub(super) positions: Arc<Positions>,
    /// Told when everything is handed over.
    pub(super) feeding: Arc<Feeding>,
    /// The dashboard's address, without a query.
    pub(super) dashboard: String,
    pub(super) stop: CancellationToken,
}

/// Feeds the topic until `stop` is cancelled; blocks.
fn run(feed: Feed, surroundings: Surroundings, runtime: Handle) -> anyhow::Result<()> {
    let window = Arc::new(Window::default());
    let sender = Sender::connect_paced(&surroundings.kafka, Arc::clone(&window))?;
    let mut feeder = Feeder { sender, window, surroundings, runtime, sent: 0, room: 0 };
    match feed {
        Feed::File(records) => feeder.count_file(records),
        Feed::Generated { from_ms, to_ms } => {
            let mut generator = Generator::new(&Load::demo(from_ms, to_ms));
            feeder.count_history(&mut generator, from_ms, to_ms)?;
            feeder.trickle(&mut generator)
        }
    }
}

/// Sends records, and waits until they are counted.
struct Feeder {
    sender: Sender,
    window: Arc<Window>,
    surroundings: Surroundings,
    runtime: Handle,
    /// Records sent so far.
    sent: u64,
    /// Bytes that may be sent before the window is looked at again.
    room: usize,
}

impl Feeder {
    fn count_file(&mut self, mut records: Records) -> anyhow::Result<()> {
        let mut progress = Progress::new("counting", records.bytes_total());
        let (mut rejections, mut extents) = (Rejections::default(), Extents::default());
        let mut record = Vec::new();
        let mut now_ms = Utc::now().timestamp_millis();
        let mut shown = Instant::now();
        while let Some(taken) = records.next(&mut record)? {
            // All of a record beyond the limit is one rejected record, however long it is.
            let end = if taken.is_cut() { PAYLOAD_BYTES_MAX + 1 } else { record.len() };
            let payload = &record[..end.min(record.len())];
            let key = key(payload);
            let key = key.as_deref();
            let event = judge(&mut rejections, taken, payload, key.map(str::as_bytes), now_ms);
            if let (Some(event), Some(account)) = (event, key) {
                extents.note(account, &event);
            }
            if !self.send(payload, key)? {
                return Ok(());
            }
            if self.sent.is_multiple_of(SHOW_RECORDS) && shown.elapsed() >= SHOW_INTERVAL {
                shown = Instant::now();
                now_ms = Utc::now().timestamp_millis();
                progress.set(records.position(), self.sent);
            }
        }
        progress.set(records.position(), self.sent);
        if let Some(counts) = self.finish(progress)? {
            self.tell(&counts, &rejections, extents.sight());
        }
        Ok(())
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
            if !self.send(&line.json, key(&line.json).as_deref())? {
                return Ok(());
            }
            if self.sent.is_multiple_of(SHOW_RECORDS) {
                progress.set(position(line.time_ms), self.sent);
            }
        }
        progress.set(position(to_ms), self.sent);
        if self.finish(progress)?.is_some_and(|counts| counts.rejected > 0) {
            say("duplicates and rejected records are made up too, to be looked at");
        }
        Ok(())
    }

    /// Sends live events until `stop` is cancelled.
    fn trickle(&mut self, generator: &mut Generator) -> anyhow::Result<()> {
        let mut next = Instant::now();
        while !self.surroundings.stop.is_cancelled() {
            // In short sleeps, so that it stops soon.
            if Instant::now() < next {
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            }
            next += TRICKLE_INTERVAL;
            for line in generator.live(Utc::now().timestamp_millis()) {
                self.send(&line.json, key(&line.json).as_deref())?;
            }
        }
        Ok(())
    }

    /// Sends a record when there is room; false if `stop` is cancelled.
    fn send(&mut self, payload: &[u8], key: Option<&str>) -> anyhow::Result<bool> {
        let weight = weight(payload, key.map(str::as_bytes));
        if self.room < weight && !self.wait_for_room(weight)? {
            return Ok(false);
        }
        self.room = self.room.saturating_sub(weight);
        self.sent += 1;
        let sent = self.sender.send(self.sent, payload, key, &self.surroundings.stop);
        sent.with_context(|| format!("record {}", self.sent))
    }

    /// Waits until so many bytes may be sent, or nothing is unread; false if `stop` is cancelled.
    fn wait_for_room(&mut self, weight: usize) -> anyhow::Result<bool> {
        let positions = Arc::clone(&self.surroundings.positions);
        while !self.surroundings.stop.is_cancelled() {
            let unread = self.window.bytes(|partition| positions.next_offset(partition));
            self.room = UNREAD_BYTES_MAX.saturating_sub(unread);
            if unread == 0 || self.room >= weight {
                return Ok(true);
            }
            self.check_deliveries()?;
            positions.wait(READ_WAIT);
        }
        Ok(false)
    }

    fn check_deliveries(&self) -> anyhow::Result<()> {
        if let Some((number, reason)) = self.sender.report().first_failure {
            bail!("the embedded broker did not take record {number}: {reason}");
        }
        Ok(())
    }

    /// Waits until everything that was sent is counted, and says so; `None` if `stop` is cancelled.
    fn finish(&mut self, mut progress: Progress) -> anyhow::Result<Option<rollup::Progress>> {
        while self.sender.wait(LOOK_INTERVAL) > 0 {
            if self.surroundings.stop.is_cancelled() {
                return Ok(None);
            }
        }
        self.check_deliveries()?;
        self.surroundings.feeding.ended(self.sent);
        let counts = loop {
            let counts = self.counted()?;
            if counts.passed() >= self.sent {
                break counts;
            }
            if self.surroundings.stop.is_cancelled() {
                return Ok(None);
            }
            progress.set_records(self.sent);
            std::thread::sleep(LOOK_INTERVAL);
        };
        self.surroundings.feeding.counted();
        ensure!(
            counts.absent == 0,
            "{} were lost before they were counted, as after a long sleep of this machine: start \
            the demo again",
            count_of(counts.absent, "record")
        );
        let seconds = progress.elapsed().as_secs_f64();
        let mut outcome = format!(
            "{} counted in {seconds:.1} s: {} accepted",
            count_of(self.sent, "record"),
            indicatif::HumanCount(counts.accepted)
        );
        if counts.duplicates > 0 {
            outcome.push_str(&format!(", {}", count_of(counts.duplicates, "duplicate")));
        }
        if counts.rejected > 0 {
            outcome.push_str(&format!(", {} rejected", indicatif::HumanCount(counts.rejected)));
        }
        progress.finish(&outcome);
        Ok(Some(counts))
    }

    /// Says why records were rejected, and where to look.
    fn tell(&self, counts: &rollup::Progress, rejections: &Rejections, sight: Option<Sight>) {
        if counts.rejected > 0 {
            say("rejected (the view rejected_events has each of them):");
            rejections.lines().iter().for_each(|line| say(line));
        }
        if let Some(sight) = sight {
            say(&format!("see {}?{}", self.surroundings.dashboard, sight.query()));
        }
    }

    /// Progress of all partitions together.
    fn counted(&self) -> anyhow::Result<rollup::Progress> {
        let Surroundings { store, kafka, .. } = &self.surroundings;
        let mut sum = rollup::Progress::default();
        let partitions = match self.runtime.block_on(store.progress(&kafka.topic)) {
            Ok(partitions) => partitions,
            // The worker waits for it too, and reports it.
            Err(error) if error.is_retryable() => return Ok(sum),
            Err(error) => return Err(error).context("cannot tell what is counted"),
        };
        for partition in partitions {
            sum.accepted += partition.progress.accepted;
            sum.rejected += partition.progress.rejected;
            sum.duplicates += partition.progress.duplicates;
            sum.skipped += partition.progress.skipped;
            sum.absent += partition.progress.absent;
        }
        Ok(sum)
    }
}

/// Feeds on a thread of its own; it ends only by an error, the end of a file, or `stop`.
pub(super) fn start(feed: Feed, surroundings: Surroundings) -> JoinHandle<anyhow::Result<()>> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || run(feed, surroundings, runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_lines_and_of_an_array_tells_the_same() {
        let login = |day: u32| {
            format!(
                r#"{{"id":"{day}","source":"/a","type":"user.login",
                "time":"2026-03-0{day}T09:00:00Z","data":{{"account_id":"a","user_id":1}}}}"#
            )
            .replace('\n', "")
        };
        let sight = |text: String| {
            let total = text.len() as u64;
            let records = Records::of(std::io::Cursor::new(text), Some(total));
            Feed::File(records).sight().unwrap().unwrap().query()
        };
        let expected = "account=a&from=2026-03-01&to=2026-03-03";
        assert_eq!(sight(format!("{}\n{}\n", login(1), login(3))), expected);
        assert_eq!(sight(format!("[\n{},\n{}\n]\n", login(1), login(3))), expected);
    }
}
