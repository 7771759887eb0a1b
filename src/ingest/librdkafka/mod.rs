//! The calls of librdkafka that rdkafka does not wrap: batches from a queue of our own, a
//! partition's queue forwarded to it; in `ask`, the id of a topic, and commits that are answered;
//! and in `ends`, where logs end.
//!
//! This is the only module of the worker with `unsafe` code. It keeps pointers alive exactly as
//! long as librdkafka requires, and decides nothing: no retry, no log line, no policy.
//!
//! librdkafka waits, in its destructor, for every message and every queue that is still alive. So a
//! [`Queue`] and its [`QueueTarget`]s hold their client, a [`Batch`] borrows its queue, and nothing
//! else here outlives the call that made it.
#![allow(
    unsafe_code,
    reason = "the batch queue, queue forwarding, DescribeTopics and ListOffsets exist only in \
        librdkafka's C interface"
)]

mod ask;
mod description;
mod ends;
mod group;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::CString;
use std::os::raw::c_int;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

pub(super) use self::ask::{cached_high_watermark, commit, describe_topic};
pub(super) use self::description::{DescribeError, TopicDescription};
pub(super) use self::ends::{EndOf, LogEnd, list_ends};
pub(super) use self::group::may_read_with_group;
use self::values::{text_of, timeout_ms};
use super::client::Client;
use crate::core::event::Record;

/// Ends the process at once. Its threads still run or hang: destructors of an orderly exit would
/// free what running threads use, or wait for a lock that hanging threads hold.
pub(super) fn end_process(status: c_int) -> ! {
    // SAFETY: `_exit` takes any status, runs no code of this process any more, and does not return.
    unsafe { libc::_exit(status) }
}

/// A native queue, destroyed with its last user.
struct NativeQueue {
    pointer: NonNull<native::rd_kafka_queue_t>,
    /// Keeps the client alive as long as its queue.
    _client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread, and by several at once.
unsafe impl Send for NativeQueue {}
// SAFETY: as above.
unsafe impl Sync for NativeQueue {}

impl Drop for NativeQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and not used after this. Partitions that are still forwarded to
        // it hold their own reference inside librdkafka until they are unassigned.
        unsafe { native::rd_kafka_queue_destroy(self.pointer.as_ptr()) };
    }
}

/// A queue of fetched messages, into which the queues of any number of partitions are forwarded.
pub(super) struct Queue {
    queue: Arc<NativeQueue>,
    /// Room for the pointers of one batch; empty between batches.
    messages: Vec<NonNull<native::rd_kafka_message_t>>,
}

// SAFETY: the message pointers belong to this queue alone, and messages may be read and destroyed
// by any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// An empty queue of this client.
    pub(super) fn new(client: Arc<Client>) -> Self {
        // SAFETY: the client's pointer is valid for as long as the client, which the queue holds.
        let pointer = unsafe { native::rd_kafka_queue_new(client.client().native_ptr()) };
        let pointer = NonNull::new(pointer)
            .expect("rd_kafka_queue_new allocates or aborts, it never answers null");
        Self { queue: Arc::new(NativeQueue { pointer, _client: client }), messages: Vec::new() }
    }

    /// A handle by which another thread may forward partitions to this queue.
    pub(super) fn target(&self) -> QueueTarget {
        QueueTarget(Arc::clone(&self.queue))
    }

    /// Messages that wait in the queue, about.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is valid.
        unsafe { native::rd_kafka_queue_length(self.queue.pointer.as_ptr()) }
    }

    /// Takes up to `records_max` messages, waiting at most `wait` for the batch to fill.
    pub(super) fn take(&mut self, records_max: usize, wait: Duration) -> Batch<'_> {
        self.messages.clear();
        self.messages.reserve(records_max);
        // SAFETY: the array has room for `records_max` pointers. `NonNull` has the layout of a
        // pointer, and librdkafka fills the array from its start with valid, non-null messages that
        // we then own.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(
                self.queue.pointer.as_ptr(),
                timeout_ms(wait),
                self.messages.as_mut_ptr().cast::<*mut native::rd_kafka_message_t>(),
                records_max,
            )
        };
        // A negative count is an error, which a queue without a topic never returns.
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: librdkafka has written `count` pointers, at most `records_max`.
        unsafe { self.messages.set_len(count) };
        Batch { queue: self }
    }
}

/// Target to forward a partition's messages to.
#[derive(Clone)]
pub(super) struct QueueTarget(Arc<NativeQueue>);

/// Messages taken from a queue. They are given back to librdkafka when the batch is dropped.
pub(super) struct Batch<'q> {
    queue: &'q mut Queue,
}

/// One message of a batch.
pub(super) enum Message<'b> {
    /// A record of the log.
    Record {
        /// The partition that it was read from.
        partition: u32,
        /// The epoch of the leader that appended it; -1 where the record carries none.
        leader_epoch: i32,
        /// The record; it borrows from the batch.
        record: Record<'b>,
    },
    /// Something that happened to a partition: an error, or its end.
    Event(PartitionEvent),
}

/// What librdkafka reports about one partition in place of a record.
#[derive(Clone, Debug)]
pub(super) struct PartitionEvent {
    pub(super) partition: u32,
    pub(super) code: RDKafkaErrorCode,
    /// The offset at which it happened, if there is one.
    pub(super) offset: Option<u64>,
    /// librdkafka's own words.
    pub(super) text: String,
}

impl Batch<'_> {
    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.queue.messages.len()
    }

    /// The message with this index.
    pub(super) fn message(&self, index: usize) -> Option<Message<'_>> {
        // SAFETY: as in `messages`.
        self.queue.messages.get(index).map(|&message| unsafe { read_message(message) })
    }

    /// The messages in the order in which they were fetched; those of one partition are in the
    /// order of its log.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.queue.messages.iter().map(|&message| {
            // SAFETY: the message stays valid and unchanged until the batch is dropped, and `self`
            // is borrowed meanwhile.
            unsafe { read_message(message) }
        })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.queue.messages.drain(..) {
            // SAFETY: the message came from `rd_kafka_consume_batch_queue`, is ours, and is
            // destroyed once.
            unsafe { native::rd_kafka_message_destroy(message.as_ptr()) };
        }
    }
}

/// Reads a native message.
///
/// # Safety
///
/// The message is valid, and neither changed nor destroyed during `'b`.
unsafe fn read_message<'b>(message: NonNull<native::rd_kafka_message_t>) -> Message<'b> {
    // SAFETY: the caller guarantees it.
    let fields = unsafe { message.as_ref() };
    // A partition is negative only where none is known, which a message of a partition's queue
    // never is.
    let partition = u32::try_from(fields.partition).unwrap_or(u32::MAX);
    let offset = u64::try_from(fields.offset).ok();
    let (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, Some(offset)) = (fields.err, offset) else {
        // SAFETY: librdkafka answers a text that lives as long as the message, or null.
        let text = unsafe { text_of(native::rd_kafka_message_errstr(message.as_ptr())) };
        return Message::Event(PartitionEvent { partition, code: fields.err.into(), offset, text });
    };
    // SAFETY: key and value are `key_len` and `len` bytes inside the message, or null for absent
    // ones.
    let (key, payload) = unsafe {
        (bytes(fields.key.cast(), fields.key_len), bytes(fields.payload.cast(), fields.len))
    };
    let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is valid and the out pointer points to a local variable.
    let timestamp_ms = unsafe { native::rd_kafka_message_timestamp(message.as_ptr(), &mut kind) };
    // SAFETY: the message is valid.
    let leader_epoch = unsafe { native::rd_kafka_message_leader_epoch(message.as_ptr()) };
    let known = kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        && timestamp_ms >= 0;
    let record = Record { offset, timestamp_ms: known.then_some(timestamp_ms), key, payload };
    Message::Record { partition, leader_epoch, record }
}

/// `len` bytes at `start`; `None` where it is null.
///
/// # Safety
///
/// A `start` that is not null points to `len` bytes that are neither changed nor freed during `'b`.
unsafe fn bytes<'b>(start: *const u8, len: usize) -> Option<&'b [u8]> {
    // SAFETY: the caller guarantees it.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, len) })
}

/// Forwards a partition's queue to `target`. librdkafka undoes it whenever the partition is
/// unassigned, so it has to be repeated before each assignment, after the former one has really
/// ended.
pub(super) fn forward_partition(
    client: &Client,
    topic: &str,
    partition: u32,
    target: &QueueTarget,
) -> Result<(), NoQueue> {
    let failed = || NoQueue { topic: topic.to_owned(), partition };
    let name = CString::new(topic).map_err(|_| failed())?;
    let number = i32::try_from(partition).map_err(|_| failed())?;
    // SAFETY: the client and the name are valid during the call.
    let queue = unsafe {
        native::rd_kafka_queue_get_partition(client.client().native_ptr(), name.as_ptr(), number)
    };
    let queue = NonNull::new(queue).ok_or_else(failed)?;
    // SAFETY: both queues are valid; the reference that `get_partition` gave us is given back right
    // away, and librdkafka takes one of its own on the target.
    unsafe {
        native::rd_kafka_queue_forward(queue.as_ptr(), target.0.pointer.as_ptr());
        native::rd_kafka_queue_destroy(queue.as_ptr());
    }
    Ok(())
}

/// librdkafka has no queue for a partition.
#[derive(Debug, thiserror::Error)]
#[error("librdkafka gave no queue for partition {partition} of topic {topic}")]
pub(super) struct NoQueue {
    topic: String,
    partition: u32,
}
