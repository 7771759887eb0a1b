//! The coordinator: drains all lanes at each tick, and makes their rows durable.
//!
//! Flushes never overlap. One flush is this sequence:
//!
//! ```text
//! drain every lane -> is it still the topic they were counted from? -> claim the days
//!     for the zone data -> write every row -> record the progress, alone
//!     -> commit Kafka's offsets -> tell the lanes
//! ```
//!
//! So always `committed <= progress <= applied`. A step that fails is retried with the same rows
//! until it succeeds; a step that succeeded is not undone. Nothing is dropped, except the rows of a
//! topic that turns out to be recreated: they may have been read from either incarnation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

use super::commit::Committer;
use super::headway::Teller;
use super::librdkafka::TopicDescription;
use super::messages::{
    ConsumerHandle, DrainedLane, FlushHints, FlushRequest, LaneReport, ToConsumer, ToWorker,
    WorkerHandle,
};
use super::rebalance::Tenure;
use super::retry::{Dependency, Wait};
use super::tail::Stalled;
use super::topic::{AskError, Topic};
use super::touched::SourceFlushes;
use crate::alerts::AlertWatch;
use crate::core::rollup::{LaneRows, Progress};
use crate::core::takeover::Claim;
use crate::store::{ProgressRow, Store, ZoneClaim};
use crate::telemetry::metrics;

/// A stalled lane is probed no more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The least time that a recorded end of a log is valid.
const END_VALID_MIN: Duration = Duration::from_secs(30);

/// Rows that the last flush left unwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// Lanes whose last events will be counted again.
    pub(super) lanes: BTreeSet<Tenure>,
    /// What the flush waited for, if anything.
    pub(super) reason: Option<String>,
}

/// Drains, writes and commits.
pub(super) struct Coordinator {
    pub(super) store: Store,
    pub(super) clickhouse: Arc<Dependency>,
    pub(super) kafka: Arc<Dependency>,
    pub(super) topic: Topic,
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) consumer: ConsumerHandle,
    pub(super) tails: mpsc::Sender<Vec<Stalled>>,
    pub(super) committer: Committer,
    pub(super) intervals: Intervals,
    pub(super) hints: Arc<FlushHints>,
    pub(super) headway: Teller,
    pub(super) books: Books,
    /// The release of the zone data.
    pub(super) zone_release: Arc<str>,
    /// Where alerts are on, who judges them.
    pub(super) alerts: Option<AlertWatch>,
}

/// Times between flushes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    pub(super) usual: Duration,
    /// The interval while a backlog is read.
    pub(super) catch_up: Duration,
    /// The interval for a lane that has nothing new.
    pub(super) idle: Duration,
}

impl Intervals {
    /// Validity of a recorded end of a log: until an idle lane should have recorded a few more.
    fn end_valid_for(&self) -> Duration {
        (self.idle * 3).max(END_VALID_MIN)
    }

    /// The time from a flush that was drained at `now_ms` to the next. In a backlog a longer
    /// interval is harmless, and each seat, counter and bitmap that changes a hundred times is
    /// written once.
    fn after(&self, now_ms: i64, newest_record_ms: Option<i64>) -> Duration {
        let age_ms = newest_record_ms.map_or(0, |newest_ms| now_ms.saturating_sub(newest_ms));
        let is_backlog =
            u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > 2 * self.catch_up.as_millis());
        if is_backlog { self.catch_up.max(self.usual) } else { self.usual }
    }
}

/// The lanes' last flushes.
#[derive(Default)]
pub(super) struct Books {
    lanes: BTreeMap<Tenure, Book>,
    /// Lanes of the flush in progress.
    unwritten: BTreeSet<Tenure>,
}

/// What is recorded for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A completed flush.
    Flush,
    /// Only the end of its log.
    End,
}

/// A lane's last flush.
struct Book {
    /// The durable progress, for the counting metrics.
    counted: Progress,
    /// The last progress recorded in this tenure.
    recorded: Option<Progress>,
    recorded_at: Instant,
    /// A flush was completed in this tenure.
    is_flushed: bool,
    looked_at: Option<Instant>,
    /// The claim of its zone data, as opened, is recorded.
    has_claimed: bool,
}

impl Book {
    /// A lane's progress is recorded when it has changed. Otherwise it is recorded right after the
    /// lane was opened and periodically: as a completed flush if it is known that there is nothing
    /// new, else to record how far the log has grown, if that is known.
    fn due(
        &self,
        lane: &DrainedLane,
        progress: Progress,
        now: Instant,
        idle_interval: Duration,
    ) -> Option<Entry> {
        if self.recorded.unwrap_or(self.counted) != progress {
            return Some(Entry::Flush);
        }
        let is_old = self.recorded.is_none()
            || now.saturating_duration_since(self.recorded_at) >= idle_interval;
        if lane.is_caught_up {
            (is_old || !self.is_flushed).then_some(Entry::Flush)
        } else {
            (is_old && lane.is_end_known).then_some(Entry::End)
        }
    }
}

impl Coordinator {
    /// Flushes at each tick and on request, until it is asked to finish; or until the instant in
    /// `deadline` has passed, in which case it returns what was not written.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<FlushRequest>,
        mut deadline: watch::Receiver<Option<Instant>>,
    ) -> Result<(), Unwritten> {
        let mut began = Instant::now();
        let mut next = began;
        loop {
            let request = tokio::select! {
                () = tokio::time::sleep_until(next.into()) => None,
                () = self.hints.rows_abound.notified() => None,
                () = self.hints.log_ended.notified() => {
                    next = next.min(began + self.intervals.usual);
                    continue;
                }
                request = requests.recv() => Some(request.unwrap_or(FlushRequest::Finish)),
            };
            let dependencies = [Arc::clone(&self.clickhouse), Arc::clone(&self.kafka)];
            began = Instant::now();
            let newest_record_ms = tokio::select! {
                biased;
                newest_record_ms = self.flush() => newest_record_ms,
                reason = reason_when_passed(&mut deadline, &dependencies) => {
                    let lanes = std::mem::take(&mut self.books.unwritten);
                    return Err(Unwritten { lanes, reason });
                }
            };
            next = began + self.intervals.after(now_ms(), newest_record_ms);
            match request {
                None => {}
                Some(FlushRequest::Release(release)) => {
                    self.committer.settle().await;
                    self.consumer.send(ToConsumer::Released(release));
                }
                Some(FlushRequest::Finish) => {
                    self.committer.settle().await;
                    return Ok(());
                }
            }
        }
    }

    /// One flush, from the drain to the lanes' acknowledgement. Returns Kafka's timestamp of the
    /// newest record in it.
    async fn flush(&mut self) -> Option<i64> {
        let began = Instant::now();
        let mut reports = self.drain().await;
        let record_times = reports.iter().flat_map(|report| &report.rows.record_times);
        let newest_record_ms = record_times.map(|(time_ms, _)| *time_ms).max();
        let drained: BTreeSet<Tenure> = reports.iter().map(|report| report.lane.tenure).collect();
        self.books.open(&reports, began);
        self.look_at_tails(&reports, began);
        self.headway.tell(&reports, began);
        let mut flushes = self.alerts.is_some().then(|| SourceFlushes::of(&reports));
        reports.retain_mut(|report| self.books.is_due(report, began, self.intervals.idle));
        self.books.unwritten = reports.iter().map(|report| report.lane.tenure).collect();
        self.drop_recreated(&mut reports).await;
        if !reports.is_empty() {
            let (lanes, rows): (Vec<DrainedLane>, Vec<LaneRows>) =
                reports.into_iter().map(|report| (report.lane, report.rows)).unzip();
            self.write(&lanes, &rows).await;
            self.commit(&lanes, &rows).await;
            self.books.close(&lanes, &rows, began);
            flushes.iter_mut().for_each(|flushes| flushes.stored(&rows));
            metrics::flush_finished(began.elapsed());
        }
        self.books.unwritten.clear();
        if let (Some(alerts), Some(flushes)) = (&self.alerts, flushes) {
            alerts.flushed(flushes.into_held());
        }
        self.tell_workers(|| ToWorker::Flushed(drained.clone()));
        newest_record_ms
    }

    async fn drain(&self) -> Vec<LaneReport> {
        let replies: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (reply, answer) = oneshot::channel();
                worker.send(ToWorker::Drain(reply));
                answer
            })
            .collect();
        let mut reports = Vec::new();
        for answer in replies {
            // A worker that is gone holds no lanes; its end is reported elsewhere.
            reports.extend(answer.await.unwrap_or_default());
        }
        reports
    }

    /// Removes the lanes whose topic is no longer the one that they were opened for. The client
    /// itself goes on reading a recreated topic as if nothing had happened, so a drain is valid
    /// only if the topic is still the same.
    ///
    /// Without an answer nothing is written: while the brokers are away the topic may be replaced,
    /// and a row under the wrong id can never be undone. Nothing new can be read meanwhile either,
    /// and callers that may not wait (a revocation, the end of the process) have a deadline.
    async fn drop_recreated(&self, reports: &mut Vec<LaneReport>) {
        if reports.iter().all(|report| report.rows.source.topic_id().is_empty()) {
            return;
        }
        let Some(description) = self.describe_topic().await else { return };
        reports.retain(|report| report.rows.source.topic_id() == description.id);
        self.consumer.send(ToConsumer::TopicSeen(description));
    }

    /// `None` if the topic does not exist: the drained rows were read before it was deleted.
    async fn describe_topic(&self) -> Option<TopicDescription> {
        let mut wait = Wait::new(Arc::clone(&self.kafka));
        loop {
            match self.topic.describe().await {
                Ok(description) => {
                    wait.succeeded();
                    return Some(description);
                }
                Err(AskError::Missing(_)) => return None,
                Err(error) => wait.after(&error).await,
            }
        }
    }

    /// Writes all rows, and once they are acknowledged, the progress.
    async fn write(&mut self, lanes: &[DrainedLane], rows: &[LaneRows]) {
        self.claim(lanes, rows).await;
        let written = self.clickhouse.until_ok(|| self.store.write_rows(rows)).await;
        let progress: Vec<ProgressRow> = lanes
            .iter()
            .zip(rows)
            .map(|(lane, rows)| ProgressRow {
                source: rows.source.clone(),
                progress: rows.progress,
                high_watermark: lane.high_watermark,
                end_valid_for: if lane.is_end_known {
                    self.intervals.end_valid_for()
                } else {
                    Duration::ZERO
                },
                completes_flush: lane.completes_flush,
            })
            .collect();
        self.clickhouse.until_ok(|| self.store.write_progress(&progress)).await;
        for table in written.tables {
            metrics::table_flushed(table.table, table.rows, table.bytes);
        }
        metrics::made_durable(
            now_ms(),
            rows.iter().flat_map(|rows| rows.record_times.iter().copied()),
        );
    }

    /// Claims the offsets of rows with days for the zone data that computed them. Before a lane's
    /// first claim of offsets, claims the turn that it was opened for, separately. See
    /// [`crate::core::takeover`].
    async fn claim(&mut self, lanes: &[DrainedLane], rows: &[LaneRows]) {
        let with_days = || lanes.iter().zip(rows).filter(|(_, rows)| rows.have_days());
        let row = |rows: &LaneRows, claim| {
            let (source, release) = (rows.source.clone(), Arc::clone(&self.zone_release));
            ZoneClaim { source, release, claim }
        };
        let new = with_days().filter(|(lane, _)| !self.books.has_claimed(lane.tenure));
        let opened: Vec<ZoneClaim> = new.map(|(lane, rows)| row(rows, lane.claim)).collect();
        let claims = with_days().map(|(lane, rows)| {
            let upto = rows.progress.next_offset.max(lane.claim.upto);
            row(rows, Claim { upto, ..lane.claim })
        });
        let claims: Vec<ZoneClaim> = claims.collect();
        self.clickhouse.until_ok(|| self.store.write_zone_claims(&opened)).await;
        self.clickhouse.until_ok(|| self.store.write_zone_claims(&claims)).await;
        for (lane, _) in with_days() {
            self.books.claimed(lane.tenure);
        }
    }

    /// Commits the recorded progress to Kafka.
    async fn commit(&mut self, lanes: &[DrainedLane], rows: &[LaneRows]) {
        let moved = lanes
            .iter()
            .zip(rows)
            .filter(|(lane, rows)| self.books.has_moved(lane.tenure, &rows.progress));
        let offsets = moved.map(|(lane, rows)| (lane.tenure.partition, rows.progress.next_offset));
        self.committer.recorded(offsets).await;
    }

    fn look_at_tails(&mut self, reports: &[LaneReport], now: Instant) {
        let stalled: Vec<Stalled> = reports
            .iter()
            .filter(|report| report.lane.is_stalled && self.books.may_look(report.lane.tenure, now))
            .map(|report| Stalled {
                tenure: report.lane.tenure,
                worker: report.lane.worker,
                next_offset: report.rows.progress.next_offset,
            })
            .collect();
        // If it is busy, the lanes are still stalled at the next flush.
        if !stalled.is_empty() && self.tails.try_send(stalled.clone()).is_ok() {
            self.books.looked(&stalled, now);
        }
    }

    fn tell_workers(&self, message: impl Fn() -> ToWorker) {
        for worker in &self.workers {
            worker.send(message());
        }
    }
}

impl Books {
    /// Adds an entry for each new lane, and removes those of lanes that are gone.
    fn open(&mut self, reports: &[LaneReport], now: Instant) {
        let mut before = std::mem::take(&mut self.lanes);
        for report in reports {
            let book = before.remove(&report.lane.tenure).unwrap_or(Book {
                counted: report.lane.opened,
                recorded: None,
                recorded_at: now,
                is_flushed: false,
                looked_at: None,
                has_claimed: false,
            });
            self.lanes.insert(report.lane.tenure, book);
        }
        let is_held = |partition| self.lanes.keys().any(|held| held.partition == partition);
        for gone in before.keys().filter(|gone| !is_held(gone.partition)) {
            metrics::partition_gone(gone.partition);
        }
    }

    /// Decides whether to record something for a lane, and as what. For a lane that has nothing
    /// new, the lag is reported at once.
    fn is_due(&self, report: &mut LaneReport, now: Instant, idle_interval: Duration) -> bool {
        let (lane, progress) = (&mut report.lane, report.rows.progress);
        let Some(book) = self.lanes.get(&lane.tenure) else { return true };
        let entry = book.due(lane, progress, now, idle_interval);
        lane.completes_flush = entry != Some(Entry::End);
        if entry.is_none() {
            metrics::lag(lane.tenure.partition, lane.lag(progress.next_offset));
        }
        entry.is_some()
    }

    fn has_claimed(&self, tenure: Tenure) -> bool {
        self.lanes.get(&tenure).is_some_and(|book| book.has_claimed)
    }

    fn claimed(&mut self, tenure: Tenure) {
        if let Some(book) = self.lanes.get_mut(&tenure) {
            book.has_claimed = true;
        }
    }

    fn has_moved(&self, tenure: Tenure, progress: &Progress) -> bool {
        let recorded = self.lanes.get(&tenure).and_then(|book| book.recorded);
        recorded.is_none_or(|recorded| recorded.next_offset != progress.next_offset)
    }

    fn may_look(&self, tenure: Tenure, now: Instant) -> bool {
        let looked_at = self.lanes.get(&tenure).and_then(|book| book.looked_at);
        looked_at.is_none_or(|looked_at| now.saturating_duration_since(looked_at) >= LOOK_INTERVAL)
    }

    fn looked(&mut self, stalled: &[Stalled], now: Instant) {
        for lane in stalled {
            if let Some(book) = self.lanes.get_mut(&lane.tenure) {
                book.looked_at = Some(now);
            }
        }
    }

    /// These lanes' progress is recorded.
    fn close(&mut self, lanes: &[DrainedLane], rows: &[LaneRows], now: Instant) {
        for (lane, rows) in lanes.iter().zip(rows) {
            let Some(book) = self.lanes.get_mut(&lane.tenure) else { continue };
            let progress = rows.progress;
            metrics::progress_recorded(&book.counted, &progress);
            metrics::lag(lane.tenure.partition, lane.lag(progress.next_offset));
            for rejected in &rows.rejected {
                metrics::rejected(rejected.reject.reason, 1);
            }
            book.counted = progress;
            book.recorded = Some(progress);
            book.recorded_at = now;
            book.is_flushed |= lane.completes_flush;
        }
    }
}

/// Waits until a deadline is set and has passed.
async fn passed(deadline: &mut watch::Receiver<Option<Instant>>) {
    let at = match deadline.wait_for(Option::is_some).await {
        Ok(at) => *at,
        // No deadline can be set any more.
        Err(_) => None,
    };
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits like [`passed`], and returns what the flush waits for at that moment.
async fn reason_when_passed(
    deadline: &mut watch::Receiver<Option<Instant>>,
    dependencies: &[Arc<Dependency>],
) -> Option<String> {
    passed(deadline).await;
    dependencies.iter().find_map(|dependency| dependency.reason())
}

/// Milliseconds since 1970 UTC, for the latency metric alone.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_flushed_less_often() {
        let [usual, catch_up, idle] = [1, 4, 10].map(Duration::from_secs);
        let intervals = Intervals { usual, catch_up, idle };
        for (newest_record_ms, interval) in [
            (None, usual),
            (Some(100_000), usual),
            (Some(92_000), usual),
            (Some(91_999), catch_up),
            (Some(i64::MAX), usual),
        ] {
            assert_eq!(
                intervals.after(100_000, newest_record_ms),
                interval,
                "{newest_record_ms:?}"
            );
        }
    }
}
