//! The calls of librdkafka that rdkafka does not wrap: batches from a queue of our own, a partition's queue forwarded to
//! it, and the id of a topic.
//!
//! This is the only module of the worker with `unsafe` code. It keeps pointers alive exactly as long as librdkafka asks
//! for and decides nothing: no retry, no log line, no policy.
//!
//! librdkafka waits, in its destructor, for every message and every queue that is still alive. So a [`Queue`] and its
//! [`QueueTarget`]s hold their client, a [`Batch`] borrows its queue, and nothing else here outlives the call that made it.
#![allow(
    unsafe_code,
    reason = "the batch queue, queue forwarding and DescribeTopics exist only in librdkafka's C interface"
)]

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::client::Client;
use super::topic::{DescribeError, TopicDescription};
use crate::core::event::Record;

/// A native queue, destroyed when the last who uses it lets go.
struct NativeQueue {
    pointer: NonNull<native::rd_kafka_queue_t>,
    /// Keeps the client alive for as long as its queue.
    _client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread, and by several at once.
unsafe impl Send for NativeQueue {}
// SAFETY: as above.
unsafe impl Sync for NativeQueue {}

impl Drop for NativeQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and not used after this. Partitions that are still forwarded to it hold a reference
        // of their own inside librdkafka, until they are unassigned.
        unsafe { native::rd_kafka_queue_destroy(self.pointer.as_ptr()) };
    }
}

/// A queue of fetched messages, into which the queues of any number of partitions are forwarded.
pub(super) struct Queue {
    queue: Arc<NativeQueue>,
    /// Room for the pointers of one batch; empty between batches.
    messages: Vec<NonNull<native::rd_kafka_message_t>>,
}

// SAFETY: the message pointers belong to this queue alone, and messages may be read and destroyed by any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// An empty queue of this client.
    pub(super) fn new(client: Arc<Client>) -> Self {
        // SAFETY: the client's pointer is valid for as long as the client, which the queue holds.
        let pointer = unsafe { native::rd_kafka_queue_new(client.client().native_ptr()) };
        let pointer = NonNull::new(pointer).expect("rd_kafka_queue_new allocates or aborts, it never answers null");
        Self { queue: Arc::new(NativeQueue { pointer, _client: client }), messages: Vec::new() }
    }

    /// A handle by which another thread may forward partitions to this queue.
    pub(super) fn target(&self) -> QueueTarget {
        QueueTarget(Arc::clone(&self.queue))
    }

    /// Takes up to `records_max` messages, waiting at most `wait` for the batch to fill.
    pub(super) fn take(&mut self, records_max: usize, wait: Duration) -> Batch<'_> {
        self.messages.clear();
        self.messages.reserve(records_max);
        // SAFETY: the array has room for `records_max` pointers. `NonNull` has the layout of a pointer, and librdkafka
        // fills the array from its start with valid, non-null messages that we then own.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(
                self.queue.pointer.as_ptr(),
                timeout_ms(wait),
                self.messages.as_mut_ptr().cast::<*mut native::rd_kafka_message_t>(),
                records_max,
            )
        };
        // A negative count is an error, of which a queue without a topic of its own knows none.
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: librdkafka has written `count` pointers, at most `records_max`.
        unsafe { self.messages.set_len(count) };
        Batch { queue: self }
    }
}

/// Where a partition's messages can be sent.
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
    /// The offset that it happened at, where there is one.
    pub(super) offset: Option<u64>,
    /// librdkafka's own words.
    pub(super) text: String,
}

impl Batch<'_> {
    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.queue.messages.len()
    }

    /// The messages in the order in which they were fetched; those of one partition are in the order of its log.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.queue.messages.iter().map(|&message| {
            // SAFETY: the message stays valid and unchanged until the batch is dropped, and `self` is borrowed meanwhile.
            unsafe { read_message(message) }
        })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.queue.messages.drain(..) {
            // SAFETY: the message came from `rd_kafka_consume_batch_queue`, is ours, and is destroyed once.
            unsafe { native::rd_kafka_message_destroy(message.as_ptr()) };
        }
    }
}

/// Reads what librdkafka says about a message.
///
/// # Safety
///
/// The message is valid, and neither changed nor destroyed during `'b`.
unsafe fn read_message<'b>(message: NonNull<native::rd_kafka_message_t>) -> Message<'b> {
    // SAFETY: by the caller's promise.
    let fields = unsafe { message.as_ref() };
    // A partition is negative only where none is known, which a message of a partition's queue never is.
    let partition = u32::try_from(fields.partition).unwrap_or(u32::MAX);
    let offset = u64::try_from(fields.offset).ok();
    let (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, Some(offset)) = (fields.err, offset) else {
        // SAFETY: librdkafka answers a text that lives as long as the message, or null.
        let text = unsafe { text_of(native::rd_kafka_message_errstr(message.as_ptr())) };
        return Message::Event(PartitionEvent { partition, code: fields.err.into(), offset, text });
    };
    // SAFETY: key and value are `key_len` and `len` bytes inside the message, or null for absent ones.
    let (key, payload) =
        unsafe { (bytes(fields.key.cast(), fields.key_len), bytes(fields.payload.cast(), fields.len)) };
    let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is valid and the out pointer points to a local variable.
    let timestamp_ms = unsafe { native::rd_kafka_message_timestamp(message.as_ptr(), &mut kind) };
    let known = kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp_ms >= 0;
    let record = Record { offset, timestamp_ms: known.then_some(timestamp_ms), key, payload };
    Message::Record { partition, record }
}

/// `len` bytes at `start`; `None` where it is null.
///
/// # Safety
///
/// A `start` that is not null points to `len` bytes that are neither changed nor freed during `'b`.
unsafe fn bytes<'b>(start: *const u8, len: usize) -> Option<&'b [u8]> {
    // SAFETY: by the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, len) })
}

/// A copy of a C text; empty where it is null.
///
/// # Safety
///
/// A pointer that is not null points to a text that ends with a zero byte.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Forwards a partition's queue to `target`. librdkafka undoes it whenever the partition is unassigned, so it is to be done
/// anew before each assignment, and after the former one has really ended.
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
    let queue = unsafe { native::rd_kafka_queue_get_partition(client.client().native_ptr(), name.as_ptr(), number) };
    let queue = NonNull::new(queue).ok_or_else(failed)?;
    // SAFETY: both queues are valid; the reference that `get_partition` gave us is given back right away, and librdkafka
    // takes one of its own on the target.
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

/// The high watermark that came with the last fetch; `None` before the first.
pub(super) fn cached_high_watermark(client: &Client, topic: &CStr, partition: u32) -> Option<u64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client and the name are valid during the call, the out pointers point to local variables.
    let error = unsafe {
        native::rd_kafka_get_watermark_offsets(
            client.client().native_ptr(),
            topic.as_ptr(),
            i32::try_from(partition).ok()?,
            &mut low,
            &mut high,
        )
    };
    (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| u64::try_from(high).ok()).flatten()
}

/// Asks a broker for a topic's id and partitions, and waits for the answer for at most `timeout`. The broker is named,
/// because librdkafka would ask the controller, which may be away (and which its mock cluster does not have).
pub(super) fn describe_topic(
    client: &Client,
    broker: i32,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, DescribeError> {
    let name = CString::new(topic)?;
    let request = DescribeRequest::new(client, broker, &name, timeout)?;
    // SAFETY: all four pointers are valid; librdkafka copies what it needs of topics and options. The reply comes to the
    // queue that `request` holds.
    unsafe {
        native::rd_kafka_DescribeTopics(request.client, request.topics, request.options, request.reply_to);
    }
    // The request ends by itself at `timeout`; the second on top lets its own, more telling error arrive.
    // SAFETY: the queue is valid; the event is ours and destroyed by `ReplyEvent`.
    let event = unsafe { native::rd_kafka_queue_poll(request.reply_to, timeout_ms(timeout + Duration::from_secs(1))) };
    let Some(event) = NonNull::new(event) else {
        return Err(DescribeError::Failed {
            code: RDKafkaErrorCode::OperationTimedOut,
            text: format!("no answer within {} s", timeout.as_secs_f32()),
        });
    };
    ReplyEvent(event).description(topic)
}

/// The native parts of a request, which are freed however it ends.
struct DescribeRequest {
    client: *mut native::rd_kafka_t,
    topics: *mut native::rd_kafka_TopicCollection_t,
    options: *mut native::rd_kafka_AdminOptions_t,
    reply_to: *mut native::rd_kafka_queue_t,
}

impl DescribeRequest {
    fn new(client: &Client, broker: i32, name: &CStr, timeout: Duration) -> Result<Self, DescribeError> {
        let client = client.client().native_ptr();
        let mut names = [name.as_ptr()];
        let mut text = [0; 256];
        // SAFETY: the client is valid; the names are copied; each constructor allocates or aborts.
        let request = unsafe {
            let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            Self {
                client,
                topics: native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                options: native::rd_kafka_AdminOptions_new(client, operation),
                reply_to: native::rd_kafka_queue_new(client),
            }
        };
        // SAFETY: the options are valid, and the buffer is as long as said.
        let set = unsafe {
            let (options, timeout) = (request.options, timeout_ms(timeout));
            match native::rd_kafka_AdminOptions_set_broker(options, broker, text.as_mut_ptr(), text.len()) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    native::rd_kafka_AdminOptions_set_request_timeout(options, timeout, text.as_mut_ptr(), text.len())
                }
                refused => refused,
            }
        };
        if set == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(request);
        }
        // SAFETY: librdkafka has written a text into the buffer.
        Err(DescribeError::Failed { code: set.into(), text: unsafe { text_of(text.as_ptr()) } })
    }
}

impl Drop for DescribeRequest {
    fn drop(&mut self) {
        // SAFETY: each is ours, made by `new`, and destroyed once. A reply that comes later finds its queue gone and is
        // dropped by librdkafka.
        unsafe {
            native::rd_kafka_queue_destroy(self.reply_to);
            native::rd_kafka_AdminOptions_destroy(self.options);
            native::rd_kafka_TopicCollection_destroy(self.topics);
        }
    }
}

/// The answer to a request.
struct ReplyEvent(NonNull<native::rd_kafka_event_t>);

impl ReplyEvent {
    fn description(&self, topic: &str) -> Result<TopicDescription, DescribeError> {
        let event = self.0.as_ptr();
        // SAFETY: the event is valid until `self` is dropped, and every pointer below belongs to it and is read before.
        unsafe {
            let code = native::rd_kafka_event_error(event);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(describe_error(topic, code, text_of(native::rd_kafka_event_error_string(event))));
            }
            let result = native::rd_kafka_event_DescribeTopics_result(event);
            let mut count = 0;
            let topics = if result.is_null() {
                ptr::null_mut()
            } else {
                native::rd_kafka_DescribeTopics_result_topics(result, &mut count)
            };
            if topics.is_null() || count != 1 {
                let text = format!("asked for one topic, the answer holds {count}");
                return Err(DescribeError::Failed { code: RDKafkaErrorCode::BadMessage, text });
            }
            let description = *topics;
            let error = native::rd_kafka_TopicDescription_error(description);
            if !error.is_null() && native::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let text = text_of(native::rd_kafka_error_string(error));
                return Err(describe_error(topic, native::rd_kafka_error_code(error), text));
            }
            let mut partitions = 0;
            native::rd_kafka_TopicDescription_partitions(description, &mut partitions);
            Ok(TopicDescription {
                id: topic_id(native::rd_kafka_TopicDescription_topic_id(description)),
                partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            })
        }
    }
}

impl Drop for ReplyEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours and destroyed once.
        unsafe { native::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

fn describe_error(topic: &str, code: RDKafkaRespErr, text: String) -> DescribeError {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            DescribeError::Missing(topic.to_owned())
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE => DescribeError::Unsupported,
        code => DescribeError::Failed { code: code.into(), text },
    }
}

/// The id as Kafka's own tools print it (librdkafka's text has `+` and `/` in it); empty for the zero id that old brokers
/// answer.
///
/// # Safety
///
/// The pointer is null or points to a valid id.
unsafe fn topic_id(id: *const native::rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: by the caller's promise.
    let halves =
        unsafe { [native::rd_kafka_Uuid_most_significant_bits(id), native::rd_kafka_Uuid_least_significant_bits(id)] };
    if halves == [0, 0] { String::new() } else { URL_SAFE_NO_PAD.encode(halves.map(i64::to_be_bytes).as_flattened()) }
}

/// librdkafka's form of a timeout: milliseconds, 24 days at most.
fn timeout_ms(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests;
