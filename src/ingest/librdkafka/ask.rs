//! Requests to brokers, each with its own queue for the answer.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::description::{DescribeError, TopicDescription};
use super::values::{text_of, timeout_ms};
use crate::ingest::client::Client;

/// The high watermark that came with the last fetch; `None` before the first.
pub(in crate::ingest) fn cached_high_watermark(
    client: &Client,
    topic: &CStr,
    partition: u32,
) -> Option<u64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client and the name are valid during the call, the out pointers point to local
    // variables.
    let error = unsafe {
        native::rd_kafka_get_watermark_offsets(
            client.client().native_ptr(),
            topic.as_ptr(),
            i32::try_from(partition).ok()?,
            &mut low,
            &mut high,
        )
    };
    (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        .then(|| u64::try_from(high).ok())
        .flatten()
}

/// Commits offsets for the group and waits for the answer, for at most `timeout`. (rdkafka's own
/// asynchronous commit never reports its result: librdkafka passes it only to a callback that
/// rdkafka no longer sets.)
pub(in crate::ingest) fn commit(
    client: &Client,
    offsets: &TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<()> {
    let timed_out = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
    let pointer = client.client().native_ptr();
    // SAFETY: the client is valid, and the call allocates or aborts.
    let reply_to = unsafe { native::rd_kafka_queue_new(pointer) };
    // SAFETY: client, list and queue are valid; librdkafka copies the list; without a callback
    // there is no opaque value. The queue is destroyed once, after the last use; an answer that
    // comes later is dropped with it.
    unsafe {
        let sent =
            native::rd_kafka_commit_queue(pointer, offsets.ptr(), reply_to, None, ptr::null_mut());
        let answer = match sent {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let event =
                    NonNull::new(native::rd_kafka_queue_poll(reply_to, timeout_ms(timeout)))
                        .map(ReplyEvent);
                event.ok_or(timed_out).and_then(|event| {
                    match native::rd_kafka_event_error(event.0.as_ptr()) {
                        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
                        error => Err(KafkaError::ConsumerCommit(error.into())),
                    }
                })
            }
            error => Err(KafkaError::ConsumerCommit(error.into())),
        };
        native::rd_kafka_queue_destroy(reply_to);
        answer
    }
}

/// Asks a broker for a topic's id and partitions, and waits for the answer for at most `timeout`.
/// The broker is named, because librdkafka would use the controller, which may be down (and which
/// its mock cluster does not have).
pub(in crate::ingest) fn describe_topic(
    client: &Client,
    broker: i32,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, DescribeError> {
    let name = CString::new(topic)?;
    let request = DescribeRequest::new(client, broker, &name, timeout)?;
    // SAFETY: all four pointers are valid; librdkafka copies what it needs of topics and options.
    // The reply comes to the queue that `request` holds.
    unsafe {
        native::rd_kafka_DescribeTopics(
            request.client,
            request.topics,
            request.options,
            request.reply_to,
        );
    }
    // The request ends by itself at `timeout`; the extra second lets its own, more specific error
    // arrive. SAFETY: the queue is valid; the event is ours and destroyed by `ReplyEvent`.
    let event = unsafe {
        native::rd_kafka_queue_poll(request.reply_to, timeout_ms(timeout + Duration::from_secs(1)))
    };
    let Some(event) = NonNull::new(event) else {
        return Err(DescribeError::Failed {
            code: RDKafkaErrorCode::OperationTimedOut,
            text: format!("no answer within {} s", timeout.as_secs_f32()),
        });
    };
    ReplyEvent(event).description(topic)
}

/// The native parts of a request, freed on drop.
struct DescribeRequest {
    client: *mut native::rd_kafka_t,
    topics: *mut native::rd_kafka_TopicCollection_t,
    options: *mut native::rd_kafka_AdminOptions_t,
    reply_to: *mut native::rd_kafka_queue_t,
}

impl DescribeRequest {
    fn new(
        client: &Client,
        broker: i32,
        name: &CStr,
        timeout: Duration,
    ) -> Result<Self, DescribeError> {
        let client = client.client().native_ptr();
        let mut names = [name.as_ptr()];
        let mut text = [0; 256];
        // SAFETY: the client is valid; the names are copied; each constructor allocates or aborts.
        let request = unsafe {
            let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            Self {
                client,
                topics: native::rd_kafka_TopicCollection_of_topic_names(
                    names.as_mut_ptr(),
                    names.len(),
                ),
                options: native::rd_kafka_AdminOptions_new(client, operation),
                reply_to: native::rd_kafka_queue_new(client),
            }
        };
        // SAFETY: the options are valid, and the buffer is as long as said.
        let set = unsafe {
            let (options, timeout) = (request.options, timeout_ms(timeout));
            match native::rd_kafka_AdminOptions_set_broker(
                options,
                broker,
                text.as_mut_ptr(),
                text.len(),
            ) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    native::rd_kafka_AdminOptions_set_request_timeout(
                        options,
                        timeout,
                        text.as_mut_ptr(),
                        text.len(),
                    )
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
        // SAFETY: each is ours, made by `new`, and destroyed once. A reply that comes later finds
        // its queue gone and is dropped by librdkafka.
        unsafe {
            native::rd_kafka_queue_destroy(self.reply_to);
            native::rd_kafka_AdminOptions_destroy(self.options);
            native::rd_kafka_TopicCollection_destroy(self.topics);
        }
    }
}

/// The answer to a request.
pub(super) struct ReplyEvent(pub(super) NonNull<native::rd_kafka_event_t>);

impl ReplyEvent {
    fn description(&self, topic: &str) -> Result<TopicDescription, DescribeError> {
        let event = self.0.as_ptr();
        // SAFETY: the event is valid until `self` is dropped, and every pointer below belongs to it
        // and is read before.
        unsafe {
            let code = native::rd_kafka_event_error(event);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(describe_error(
                    topic,
                    code,
                    text_of(native::rd_kafka_event_error_string(event)),
                ));
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
            if !error.is_null()
                && native::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
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
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            DescribeError::Missing(topic.to_owned())
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE => DescribeError::Unsupported,
        code => DescribeError::Failed { code: code.into(), text },
    }
}

/// The id as Kafka's own tools print it (librdkafka's text has `+` and `/` in it); empty for the
/// zero id that old brokers answer.
///
/// # Safety
///
/// The pointer is null or points to a valid id.
unsafe fn topic_id(id: *const native::rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: the caller guarantees it.
    let halves = unsafe {
        [
            native::rd_kafka_Uuid_most_significant_bits(id),
            native::rd_kafka_Uuid_least_significant_bits(id),
        ]
    };
    if halves == [0, 0] {
        String::new()
    } else {
        URL_SAFE_NO_PAD.encode(halves.map(i64::to_be_bytes).as_flattened())
    }
}
