//! Requests the ends of logs from the leaders of partitions.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::ask::ReplyEvent;
use super::description::DescribeError;
use super::values::{text_of, timeout_ms};
use crate::ingest::client::Client;

/// Which end of a log is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) enum LogEnd {
    /// The high watermark: the offset that the next record gets.
    High,
    /// The last stable offset: the first one that belongs to an open transaction, or the high
    /// watermark.
    Stable,
}

/// The answer for one partition: its end, or the error code of its leader or of librdkafka.
pub(in crate::ingest) type EndOf = (u32, Result<u64, RDKafkaErrorCode>);

/// Requests the ends of the partitions in `list`, whose offsets must be `Offset::End`, with one
/// request to each leader, and waits for the answers for at most `timeout`.
pub(in crate::ingest) fn list_ends(
    client: &Client,
    list: &TopicPartitionList,
    end: LogEnd,
    timeout: Duration,
) -> Result<Vec<EndOf>, DescribeError> {
    let request = EndsRequest::new(client, end, timeout)?;
    // SAFETY: all four pointers are valid; librdkafka copies what it needs of list and options. The
    // reply comes to the queue that `request` holds.
    unsafe {
        native::rd_kafka_ListOffsets(request.client, list.ptr(), request.options, request.reply_to)
    };
    // The request ends by itself at `timeout`; the extra second lets its own, more specific error
    // arrive. SAFETY: the queue is valid; the event is ours and destroyed by `ReplyEvent`.
    let event = unsafe {
        native::rd_kafka_queue_poll(request.reply_to, timeout_ms(timeout + Duration::from_secs(1)))
    };
    let Some(event) = NonNull::new(event) else {
        let text = format!("no answer within {} s", timeout.as_secs_f32());
        return Err(DescribeError::Failed { code: RDKafkaErrorCode::OperationTimedOut, text });
    };
    let event = ReplyEvent(event);
    // SAFETY: the event is valid until it is dropped at the end of this function, and every pointer
    // that is read belongs to it.
    unsafe { ends_of(&event) }
}

/// Reads an answer.
///
/// # Safety
///
/// The event is valid.
unsafe fn ends_of(event: &ReplyEvent) -> Result<Vec<EndOf>, DescribeError> {
    let event = event.0.as_ptr();
    // SAFETY: by the caller's promise; the infos and their partitions belong to the event.
    unsafe {
        let code = native::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            let text = text_of(native::rd_kafka_event_error_string(event));
            return Err(DescribeError::Failed { code: code.into(), text });
        }
        let result = native::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            let text = "the answer is none to this question".to_owned();
            return Err(DescribeError::Failed { code: RDKafkaErrorCode::BadMessage, text });
        }
        let mut count = 0;
        let infos = native::rd_kafka_ListOffsets_result_infos(result, &mut count);
        if infos.is_null() || count == 0 {
            return Ok(Vec::new());
        }
        let infos = slice::from_raw_parts(infos, count).iter();
        let ends = infos.map(|&info| {
            let partition = &*native::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
            let end = match partition.err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => u64::try_from(partition.offset)
                    .map_err(|_| RDKafkaErrorCode::OffsetNotAvailable),
                code => Err(code.into()),
            };
            (u32::try_from(partition.partition).unwrap_or(u32::MAX), end)
        });
        Ok(ends.collect())
    }
}

/// The native parts of a request, freed on drop.
struct EndsRequest {
    client: *mut native::rd_kafka_t,
    options: *mut native::rd_kafka_AdminOptions_t,
    reply_to: *mut native::rd_kafka_queue_t,
}

impl EndsRequest {
    fn new(client: &Client, end: LogEnd, timeout: Duration) -> Result<Self, DescribeError> {
        let client = client.client().native_ptr();
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        // SAFETY: the client is valid; each constructor allocates or aborts.
        let request = unsafe {
            Self {
                client,
                options: native::rd_kafka_AdminOptions_new(client, operation),
                reply_to: native::rd_kafka_queue_new(client),
            }
        };
        let isolation = match end {
            LogEnd::High => {
                native::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
            }
            LogEnd::Stable => {
                native::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
            }
        };
        let mut text = [0; 256];
        // SAFETY: the options are valid, and the buffer is as long as said. An error is ours and
        // destroyed once, after its text was copied.
        unsafe {
            let refused =
                native::rd_kafka_AdminOptions_set_isolation_level(request.options, isolation);
            if !refused.is_null() {
                let code = native::rd_kafka_error_code(refused).into();
                let text = text_of(native::rd_kafka_error_string(refused));
                native::rd_kafka_error_destroy(refused);
                return Err(DescribeError::Failed { code, text });
            }
            let (options, timeout) = (request.options, timeout_ms(timeout));
            match native::rd_kafka_AdminOptions_set_request_timeout(
                options,
                timeout,
                text.as_mut_ptr(),
                text.len(),
            ) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(request),
                refused => {
                    let text = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
                    Err(DescribeError::Failed { code: refused.into(), text })
                }
            }
        }
    }
}

impl Drop for EndsRequest {
    fn drop(&mut self) {
        // SAFETY: each is ours, made by `new`, and destroyed once. A reply that comes later finds
        // its queue gone and is dropped by librdkafka.
        unsafe {
            native::rd_kafka_queue_destroy(self.reply_to);
            native::rd_kafka_AdminOptions_destroy(self.options);
        }
    }
}
