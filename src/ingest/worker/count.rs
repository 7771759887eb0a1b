//! Decoding and applying of a batch.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Worker;
use crate::core::continuity::Verdict;
use crate::core::decode::decode;
use crate::core::event::{Decoded, Record};
use crate::core::lane::{AHEAD_RECORDS, Ahead, Step};
use crate::ingest::batch::Group;
use crate::ingest::librdkafka::{Batch, Message};
use crate::ingest::messages::ToConsumer;
use crate::ingest::rebalance::Tenure;
use crate::telemetry::metrics::SeekCause;

/// A batch that is being applied.
struct Pass<'b> {
    batch: &'b Batch<'b>,
    began: Instant,
    /// The lanes that the batch is for: while the worker waits for room, others may be opened.
    tenures: BTreeSet<Tenure>,
    has_waited: bool,
    /// How much more may wait for a flush, bytes.
    room_bytes: usize,
    /// Lanes that wait for a load, each with the records that do.
    blocked: Vec<Group<'b>>,
}

/// Messages of a batch that are next, side by side, so that large ones are not moved about.
#[derive(Default)]
struct Next<'b> {
    messages: Vec<(usize, Message<'b>)>,
    /// What they say, where a lane applies records; else a tombstone,
    decoded: Vec<Decoded<'b>>,
    /// and nothing here.
    ahead: Vec<Option<Ahead>>,
}

impl Worker {
    /// Decodes and applies a batch, some records at a time, while the decoded events are still in
    /// the processor's cache. Returns the lanes that reached a record which needs a load, each with
    /// that record and its later ones. Records without a reading lane are dropped.
    pub(super) fn count<'b>(&mut self, batch: &'b Batch<'b>) -> Vec<Group<'b>> {
        let mut pass = Pass {
            batch,
            began: Instant::now(),
            tenures: self.state.slots.values().map(|slot| slot.tenure).collect(),
            has_waited: false,
            room_bytes: self.room_bytes(),
            blocked: Vec::new(),
        };
        let mut messages = batch.messages().enumerate();
        let mut next = Next::default();
        loop {
            next.messages.extend(messages.by_ref().take(AHEAD_RECORDS));
            if next.messages.is_empty() {
                return pass.blocked;
            }
            self.look_ahead(&mut next);
            for (at, (index, message)) in next.messages.drain(..).enumerate() {
                self.wait_if_full(&mut pass);
                match message {
                    Message::Record { partition, leader_epoch, record } => {
                        let place = (index, partition, leader_epoch);
                        let prepared = (&mut next.decoded[at], next.ahead[at]);
                        self.count_record(&mut pass, place, record, prepared);
                    }
                    Message::Event(event) => self.partition_event(&event),
                }
            }
        }
    }

    /// Decodes the next messages, and has the processor bring in what they need.
    fn look_ahead(&mut self, next: &mut Next<'_>) {
        next.decoded.clear();
        next.ahead.clear();
        for (_, message) in &next.messages {
            if let Message::Record { partition, record, .. } = message
                && let Some(slot) = self.state.slots.get_mut(partition)
                && slot.takes_records()
                && !slot.is_warming()
            {
                next.decoded.push(decode(record));
                next.ahead.push(next.decoded.last().map(|event| slot.lane.look_ahead(event)));
            } else {
                next.decoded.push(Decoded::Tombstone);
                next.ahead.push(None);
            }
        }
    }

    fn wait_if_full(&mut self, pass: &mut Pass<'_>) {
        if pass.room_bytes == 0 {
            pass.has_waited = true;
            self.remember_last(pass.batch);
            self.wait_for_room();
            pass.room_bytes = self.room_bytes();
        }
    }

    fn count_record<'b>(
        &mut self,
        pass: &mut Pass<'b>,
        (index, partition, leader_epoch): (usize, u32, i32),
        record: Record<'b>,
        (decoded, ahead): (&mut Decoded<'b>, Option<Ahead>),
    ) {
        let slot = self.state.slots.get_mut(&partition).filter(|slot| slot.takes_records());
        let Some(slot) = slot else { return };
        if pass.has_waited && !pass.tenures.contains(&slot.tenure) {
            return;
        }
        match slot.judge(&record, leader_epoch) {
            Verdict::Same => {}
            Verdict::Unrecognized => slot.tell_unrecognized(),
            // This record and the lane's later ones are dropped: the seek delivers them again.
            Verdict::LookBack => {
                slot.remember_last(pass.batch);
                slot.look_back(leader_epoch, pass.began);
                return;
            }
            Verdict::Different(difference) => {
                self.consumer.send(ToConsumer::Differs(slot.tenure, slot.refuse(difference)));
                return;
            }
        }
        if slot.take_warming(&record, pass.began) {
            return;
        }
        if ahead.is_none() {
            *decoded = decode(&record);
        }
        let blocked = pass.blocked.iter_mut().find(|group| group.tenure == slot.tenure);
        if let Some(group) = blocked {
            let decoded = std::mem::replace(decoded, Decoded::Tombstone);
            group.records.push((record, decoded));
            return;
        }
        let (next_offset, bytes_before) = (slot.lane.next_offset(), slot.lane.pending_bytes());
        match slot.lane.apply_one(&record, decoded, ahead.unwrap_or_default()) {
            Step::Passed if record.offset < next_offset => {}
            Step::Passed => {
                slot.passed(index);
                let bytes = slot.lane.pending_bytes() - bytes_before;
                pass.room_bytes = pass.room_bytes.saturating_sub(bytes);
            }
            // The later records lie beyond the gap too, and are dropped: the seek delivers them
            // again.
            Step::Gap => {
                slot.seek_due = Some((slot.headway.not_before(pass.began), SeekCause::Gap));
            }
            Step::Blocked => {
                let decoded = std::mem::replace(decoded, Decoded::Tombstone);
                pass.blocked.push(Group::new(slot.tenure, (record, decoded)));
            }
        }
    }
}
