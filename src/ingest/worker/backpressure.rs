//! Bounds of the rows, and their bytes, that wait for a flush, and hints on when to flush. A worker
//! at a bound neither reads nor fetches.

use std::time::Instant;

use super::Worker;
use crate::ingest::librdkafka::cached_high_watermark;
use crate::ingest::seek::{partition_list, pause};
use crate::ingest::slot::Slot;
use crate::telemetry::metrics::SeekCause;
use crate::telemetry::{events, metrics};

impl Worker {
    /// This worker's share of the bound on bytes that wait for a flush.
    fn bytes_max(&self) -> usize {
        self.limits.pending_bytes_max / self.limits.worker_threads.max(1)
    }

    /// Bytes left until the bound.
    pub(super) fn room_bytes(&self) -> usize {
        let waiting: usize = self.state.slots.values().map(Slot::waiting_bytes).sum();
        self.bytes_max().saturating_sub(waiting)
    }

    /// Checks whether the worker is full, and requests a flush before it is.
    pub(super) fn update_fullness(&mut self) {
        let slots = self.state.slots.values();
        let pending_rows: usize = slots.clone().map(|slot| slot.lane.pending_rows()).sum();
        let pending_bytes: usize = slots.clone().map(|slot| slot.lane.pending_bytes()).sum();
        if pending_rows >= self.limits.pending_rows_max / 2 || pending_bytes >= self.bytes_max() / 2
        {
            self.hints.rows_abound.notify_one();
        }
        let rows: usize = slots.map(Slot::waiting_rows).sum();
        let is_full = rows >= self.limits.pending_rows_max || self.room_bytes() == 0;
        if is_full != self.state.is_full {
            self.state.is_full = is_full;
            events::worker_fullness(self.number, is_full, rows);
            if is_full { metrics::worker_stopped_reading() } else { metrics::worker_reads_again() }
        }
    }

    /// Within a batch: waits until a flush has made room, if there is none.
    pub(super) fn wait_for_room(&mut self) {
        self.update_fullness();
        while self.state.is_full && !self.state.is_over {
            self.heartbeat.beat();
            self.fetch_nothing();
            self.listen();
            self.update_fullness();
        }
    }

    /// Called where no records came: tells the coordinator if rows wait, and the log holds nothing
    /// more.
    pub(super) fn tell_log_end(&mut self) {
        let slots = self.state.slots.values();
        let has_rows = slots.clone().any(|slot| slot.lane.pending_rows() > 0);
        if self.state.has_told_log_end || !has_rows {
            return;
        }
        let mut reading = slots.filter(|slot| !slot.is_frozen);
        self.state.has_told_log_end = reading.all(|slot| {
            let partition = slot.tenure.partition;
            let high = cached_high_watermark(&self.client, &self.topic_c, partition);
            high.is_some_and(|high| slot.read_from() >= high)
        });
        if self.state.has_told_log_end {
            self.hints.log_ended.notify_one();
        }
    }

    /// Tells a feeder in this process how far the lanes are, so that it does not run ahead.
    pub(super) fn tell_positions(&self) {
        let slots = self.state.slots.values();
        self.positions.moved(slots.map(|slot| (slot.tenure.partition, slot.lane.next_offset())));
    }

    /// A queue's bound counts bytes of values, not of keys, so a full worker has to pause fetching
    /// itself.
    pub(super) fn fetch_nothing(&mut self) {
        if std::mem::replace(&mut self.state.is_paused, true) {
            return;
        }
        let partitions = self.state.slots.values().map(|slot| (slot.tenure.partition, 0));
        let paused =
            partition_list(&self.topic, partitions).and_then(|list| pause(&self.client, &list));
        if let Err(error) = paused {
            for slot in self.state.slots.values() {
                events::pause_failed(slot.tenure.partition, &error.to_string());
            }
        }
    }

    /// Once there is room: seeks to the position of each lane, which resumes its partition.
    pub(super) fn fetch_again(&mut self) {
        if self.state.is_full || !std::mem::take(&mut self.state.is_paused) {
            return;
        }
        let now = Instant::now();
        for slot in self.state.slots.values_mut().filter(|slot| !slot.is_frozen) {
            slot.seek_due.get_or_insert((now, SeekCause::Paused));
        }
    }
}
