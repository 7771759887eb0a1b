//! A worker thread: it owns its lanes by value, applies the batches of its queue to them, and
//! always serves its inbox, even while a lane waits for a load or reading is paused.
//!
//! It writes nothing itself and decides about no partition: rows leave through [`ToWorker::Drain`],
//! lanes come and go by message.

mod backpressure;
mod count;
mod holding;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rdkafka::error::RDKafkaErrorCode;

use super::batch::Group;
use super::client::Client;
use super::ends::Ends;
use super::headway::{Headway, Sight, is_data_error};
use super::held_budget::HeldBudget;
use super::librdkafka::{Batch, PartitionEvent, Queue, cached_high_watermark};
use super::load::Loader;
use super::messages::{
    ConsumerHandle, DrainedLane, Fatal, FatalSender, FlushHints, LaneReport, ToConsumer, ToWorker,
};
use super::opening::Opening;
use super::positions::Positions;
use super::rebalance::Tenure;
use super::seek::{partition_list, pause, seek};
use super::slot::Slot;
use super::watchdog::Heartbeat;
use crate::config;
use crate::core::id::UserKeySeed;
use crate::core::lane::Applied;
use crate::telemetry::metrics::{SeekCause, WorkerState};
use crate::telemetry::{events, metrics};

/// Longest wait of a worker that does not read for a message before its next heartbeat.
const LISTEN_WAIT: Duration = Duration::from_millis(100);

/// The pause before a failed seek is retried.
const SEEK_RETRY: Duration = Duration::from_millis(200);

/// Records of a batch that are applied between two checks of the pending bytes.
const RECORDS_BETWEEN_LOOKS: usize = 64;

/// One worker thread's state.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) client: Arc<Client>,
    pub(super) topic: Arc<str>,
    pub(super) topic_c: CString,
    pub(super) inbox: Receiver<ToWorker>,
    pub(super) consumer: ConsumerHandle,
    pub(super) loader: Loader,
    pub(super) ends: Arc<Ends>,
    pub(super) positions: Arc<Positions>,
    /// Seed of the keys of users.
    pub(super) seed: UserKeySeed,
    pub(super) limits: config::Ingest,
    pub(super) budget: Arc<HeldBudget>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) fatal: FatalSender,
    pub(super) hints: Arc<FlushHints>,
    pub(super) state: State,
}

/// The worker's mutable state.
#[derive(Default)]
pub(super) struct State {
    slots: BTreeMap<u32, Slot>,
    /// Headway of partitions that were released because of unreadable data.
    failed: BTreeMap<u32, Headway>,
    /// Too many rows or bytes wait for a flush: nothing more is read.
    is_full: bool,
    /// Fetching is paused too, until the worker has room again.
    is_paused: bool,
    /// The coordinator was told that the log has ended, since the last drain.
    has_told_log_end: bool,
    is_over: bool,
}

impl Worker {
    /// Runs until it is asked to exit.
    pub(super) fn run(mut self, mut queue: Queue) {
        loop {
            self.heartbeat.beat();
            while let Ok(message) = self.inbox.try_recv() {
                self.handle(message);
            }
            if self.state.is_over {
                return;
            }
            self.update_fullness();
            self.fetch_again();
            self.retry_seeks();
            self.tell_reading();
            self.reopen_due();
            if self.state.is_full || self.state.slots.is_empty() {
                if self.state.is_full {
                    self.fetch_nothing();
                }
                self.listen();
                continue;
            }
            let batch = queue.take(self.limits.batch_records_max, self.limits.batch_wait);
            if batch.len() > 0 {
                self.process(&batch);
                self.tell_positions();
            } else {
                self.tell_log_end();
            }
        }
    }

    /// Waits a short time for one message.
    fn listen(&mut self) {
        match self.inbox.recv_timeout(LISTEN_WAIT) {
            Ok(message) => self.handle(message),
            Err(RecvTimeoutError::Timeout) => {}
            // All senders are gone.
            Err(RecvTimeoutError::Disconnected) => self.state.is_over = true,
        }
    }

    fn handle(&mut self, message: ToWorker) {
        match message {
            ToWorker::Open(tenure, opening) => self.open(tenure, &opening),
            ToWorker::Freeze(tenures) => {
                for slot in
                    self.state.slots.values_mut().filter(|slot| tenures.contains(&slot.tenure))
                {
                    slot.is_frozen = true;
                }
            }
            ToWorker::Doubt => self.state.slots.values_mut().for_each(|slot| slot.lane.doubt()),
            ToWorker::Forget(tenures) => self.forget(&tenures),
            ToWorker::Drain(reply) => {
                let reports = self.drain();
                // The coordinator is gone only when the process ends.
                let _ = reply.send(reports);
            }
            ToWorker::Flushed(tenures) => self.flushed(&tenures),
            ToWorker::Loaded(tenure, answer) => {
                if let Some(slot) = self.slot(tenure) {
                    let (missing, loaded) = *answer;
                    slot.lane.admit(&missing, loaded);
                    slot.end_load();
                }
            }
            ToWorker::SkipTo { tenure, from, to } => {
                if let Some(slot) = self.slot(tenure).filter(|slot| slot.lane.next_offset() == from)
                {
                    events::tail_skipped(slot.lane.source(), from, to);
                    slot.lane.skip_to(to);
                }
            }
            ToWorker::Reread(tenure) => {
                if let Some(slot) = self.slot(tenure).filter(|slot| !slot.is_frozen) {
                    slot.seek_due =
                        Some((slot.headway.not_before(Instant::now()), SeekCause::Stalled));
                }
            }
            ToWorker::Exit => self.state.is_over = true,
        }
    }

    fn slot(&mut self, tenure: Tenure) -> Option<&mut Slot> {
        self.state.slots.get_mut(&tenure.partition).filter(|slot| slot.tenure == tenure)
    }

    fn forget(&mut self, tenures: &BTreeSet<Tenure>) {
        for (partition, slot) in
            self.state.slots.extract_if(.., |_, slot| tenures.contains(&slot.tenure))
        {
            if slot.headway.has_failed() {
                self.state.failed.insert(partition, slot.into_headway());
            }
        }
    }

    fn open(&mut self, tenure: Tenure, opening: &Opening) {
        let mut slot = Slot::new(tenure, opening, self.seed, Instant::now());
        if let Some(headway) = self.state.failed.remove(&tenure.partition) {
            slot.headway =
                headway.reopened(slot.lane.next_offset(), slot.read_from(), Instant::now());
        }
        self.ends.begin(tenure.partition, opening.marks.high, Instant::now());
        slot.seek_due = Some((Instant::now(), SeekCause::Start));
        events::lane_opened(
            slot.lane.source(),
            slot.lane.next_offset(),
            slot.read_from(),
            opening.marks.high,
        );
        if opening.lost() > 0 {
            metrics::offsets_lost(opening.lost());
            events::offsets_lost(&opening.source, opening.progress.next_offset, opening.marks.low);
        }
        self.state.slots.insert(tenure.partition, slot);
        self.retry_seeks();
    }

    /// Notifies the consumer thread of partitions that are read from: sought, and their first fetch
    /// answered.
    fn tell_reading(&mut self) {
        for slot in
            self.state.slots.values_mut().filter(|slot| !slot.is_read && slot.seek_due.is_none())
        {
            slot.is_read =
                cached_high_watermark(&self.client, &self.topic_c, slot.tenure.partition).is_some();
            if slot.is_read {
                self.consumer.send(ToConsumer::Reading(slot.tenure));
            }
        }
    }

    /// Requests that partitions with unreadable data be opened again, once the pause is over.
    fn reopen_due(&mut self) {
        let now = Instant::now();
        for slot in
            self.state.slots.values_mut().filter(|slot| slot.reopen_at.is_some_and(|at| at <= now))
        {
            slot.reopen_at = None;
            self.consumer.send(ToConsumer::Broken(slot.tenure));
        }
    }

    /// Seeks every partition whose seek is due, which also resumes it.
    fn retry_seeks(&mut self) {
        if self.state.is_paused {
            return;
        }
        let now = Instant::now();
        for slot in self.state.slots.values_mut() {
            let Some((due, cause)) = slot.seek_due else { continue };
            if due > now || slot.is_frozen || slot.reopen_at.is_some() {
                continue;
            }
            match seek(&self.client, &self.topic, slot.tenure.partition, slot.read_from()) {
                Ok(()) => {
                    metrics::sought(cause);
                    slot.seek_due = None;
                    match cause {
                        SeekCause::Gap => slot.lane.sought(),
                        SeekCause::Start
                        | SeekCause::Stalled
                        | SeekCause::Paused
                        | SeekCause::LeaderEpoch => {
                            slot.lane.doubt();
                        }
                    }
                }
                Err(error) => {
                    events::seek_failed(slot.lane.source(), slot.read_from(), &error.to_string());
                    slot.seek_due = Some((now + SEEK_RETRY, cause));
                }
            }
        }
    }

    fn process(&mut self, batch: &Batch<'_>) {
        let was_warming = self.is_warming();
        let mut groups = self.count(batch);
        self.remember_last(batch);
        for group in &mut groups {
            self.advance(group);
        }
        while groups.iter().any(|group| group.is_waiting) && !self.state.is_over {
            self.heartbeat.beat();
            self.listen();
            for group in groups.iter_mut().filter(|group| group.is_waiting) {
                if !self.slot(group.tenure).is_some_and(|slot| slot.is_loading()) {
                    self.advance(group);
                }
            }
        }
        // A gap within a batch is sought after the batch.
        self.retry_seeks();
        if was_warming && !self.is_warming() {
            // Rows that have waited this long should not wait for the next tick as well.
            self.hints.rows_abound.notify_one();
        }
    }

    /// Done before any wait, because a drain may come meanwhile.
    fn remember_last(&mut self, batch: &Batch<'_>) {
        self.state.slots.values_mut().for_each(|slot| slot.remember_last(batch));
    }

    fn is_warming(&self) -> bool {
        self.state.slots.values().any(Slot::is_warming)
    }

    /// Applies the rest of a group, as far as possible.
    fn advance(&mut self, group: &mut Group<'_>) {
        group.is_waiting = false;
        while group.next < group.records.len() && !self.state.is_over {
            let Some(slot) = self.slot(group.tenure).filter(|slot| !slot.is_frozen) else { return };
            let end = group.records.len().min(group.next + RECORDS_BETWEEN_LOOKS);
            match slot.apply(&group.records[group.next..end]) {
                Applied::All => {
                    group.next = end;
                    self.wait_for_room();
                }
                // The rest of the lane's records are dropped: the seek delivers them again.
                Applied::Gap { .. } => {
                    slot.seek_due = Some((slot.headway.not_before(Instant::now()), SeekCause::Gap));
                    return;
                }
                Applied::Blocked { index } => {
                    group.next += index;
                    group.is_waiting = true;
                    return self.load(group);
                }
            }
        }
    }

    /// Requests the load for the next record of the group.
    fn load(&mut self, group: &Group<'_>) {
        let Some(slot) = self.slot(group.tenure) else { return };
        let missing = slot.lane.missing(&group.records[group.next..]);
        let source = slot.lane.source().clone();
        let offset = slot.lane.next_offset();
        let load = self.loader.load(group.tenure, source.clone(), missing);
        let is_hopeful = self.slot(group.tenure).is_some_and(|slot| slot.begin_load(load));
        if !is_hopeful {
            self.fatal.send(Fatal::LaneStuck { source: source.to_string(), offset });
            self.state.is_over = true;
        }
    }

    fn partition_event(&mut self, event: &PartitionEvent) {
        let Some(slot) = self.state.slots.get_mut(&event.partition) else { return };
        // After an error librdkafka may go on anywhere, so the next gap is not trusted without a
        // seek. The warming of the duplicate filter does not check gaps: reading goes back to its
        // position.
        slot.lane.doubt();
        if slot.is_warming() {
            slot.seek_due = Some((Instant::now(), SeekCause::Start));
        }
        let now = Instant::now();
        let is_new = slot.headway.reported(event, now);
        events::partition_error(slot.lane.source(), event.offset, &event.text, is_new);
        if is_data_error(event.code) {
            let list = partition_list(&self.topic, [(event.partition, 0)]);
            if let Err(error) = list.and_then(|list| pause(&self.client, &list)) {
                events::pause_failed(event.partition, &error.to_string());
            }
            slot.seek_due = Some((slot.headway.not_before(now), SeekCause::Stalled));
        }
        match event.code {
            // The client has given up the partition, and only a new assignment starts it again. A
            // truncation of the log is reported as the first of these; whether it removed counted
            // records is checked when the lane opens.
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
                if slot.headway.has_failed() =>
            {
                slot.reopen_at = Some(slot.headway.not_before(now));
            }
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                self.consumer.send(ToConsumer::Broken(slot.tenure));
            }
            _ => self.consumer.send(ToConsumer::LookAtTopic),
        }
    }

    fn drain(&mut self) -> Vec<LaneReport> {
        let now = Instant::now();
        let (client, topic) = (&self.client, &self.topic_c);
        let is_full = self.state.is_full;
        self.state.has_told_log_end = false;
        let mut state = WorkerState::default();
        let reports = self.state.slots.values_mut().map(|slot| {
            let seen = cached_high_watermark(client, topic, slot.tenure.partition);
            let answers = self.ends.of(slot.tenure.partition);
            let end = answers.end.filter(|end| end.is_known(now));
            let asked = end.map_or(0, |end| end.high);
            slot.high_watermark =
                slot.high_watermark.max(seen.unwrap_or(0)).max(asked).max(slot.lane.next_offset());
            let sight = Sight {
                next_offset: slot.lane.next_offset(),
                read_from: slot.read_from(),
                answers,
                is_wanted: !(is_full || slot.is_frozen || slot.is_loading()),
                is_fetched: seen.is_some(),
            };
            let halt = slot.headway.look(sight, now);
            let is_at_end = slot.read_from() >= asked.max(seen.unwrap_or(0))
                && end.is_some_and(|end| end.is_fresh(now));
            let rows = slot.drain();
            state.pending_rows += slot.waiting_rows();
            state.held_bytes += slot.lane.held_bytes();
            state.remembered_ids += slot.lane.remembered_ids();
            let lane = DrainedLane {
                tenure: slot.tenure,
                worker: self.number,
                opened: slot.opened(),
                claim: slot.claim,
                high_watermark: slot.high_watermark,
                is_stalled: !is_full && slot.is_stalled(now),
                is_end_known: end.is_some(),
                is_caught_up: is_at_end && halt.is_none(),
                halt,
                completes_flush: true,
            };
            LaneReport { lane, rows }
        });
        let reports = reports.collect();
        metrics::worker_state(self.number, state);
        reports
    }
}
