//! The permissions of this client in its group, checked without being a member: nothing is
//! rebalanced.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::description::DescribeError;
use super::values::{text_of, timeout_ms};
use crate::ingest::client::Client;

/// Whether the brokers allow this client to be a member of the group and commit; `None` from
/// brokers older than 2.3, which do not say. Waits for the answer for at most `timeout`.
pub(in crate::ingest) fn may_read_with_group(
    client: &Client,
    group_id: &str,
    timeout: Duration,
) -> Result<Option<bool>, DescribeError> {
    let name = CString::new(group_id)?;
    let request = Request::new(client, timeout)?;
    let mut names = [name.as_ptr()];
    // SAFETY: all pointers are valid; librdkafka copies what it needs of names and options. The
    // reply comes to the queue that `request` holds.
    let event = unsafe {
        native::rd_kafka_DescribeConsumerGroups(
            request.client,
            names.as_mut_ptr(),
            names.len(),
            request.options,
            request.reply_to,
        );
        // The request ends by itself at `timeout`; the extra second lets its own, more specific
        // error arrive.
        native::rd_kafka_queue_poll(request.reply_to, timeout_ms(timeout + Duration::from_secs(1)))
    };
    let Some(event) = NonNull::new(event) else {
        let text = format!("no answer within {} s", timeout.as_secs_f32());
        return Err(DescribeError::Failed { code: RDKafkaErrorCode::OperationTimedOut, text });
    };
    Reply(event).may_read()
}

/// The native parts of a request, freed on drop.
struct Request {
    client: *mut native::rd_kafka_t,
    options: *mut native::rd_kafka_AdminOptions_t,
    reply_to: *mut native::rd_kafka_queue_t,
}

impl Request {
    fn new(client: &Client, timeout: Duration) -> Result<Self, DescribeError> {
        let client = client.client().native_ptr();
        // SAFETY: the client is valid; each constructor allocates or aborts.
        let request = unsafe {
            let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
            Self {
                client,
                options: native::rd_kafka_AdminOptions_new(client, operation),
                reply_to: native::rd_kafka_queue_new(client),
            }
        };
        let mut text = [0; 256];
        // SAFETY: the options are valid, and the buffer is as long as said; the error is null or
        // ours to destroy.
        let set = unsafe {
            let error =
                native::rd_kafka_AdminOptions_set_include_authorized_operations(request.options, 1);
            if !error.is_null() {
                native::rd_kafka_error_destroy(error);
            }
            native::rd_kafka_AdminOptions_set_request_timeout(
                request.options,
                timeout_ms(timeout),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        if set == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(request);
        }
        // SAFETY: librdkafka has written a text into the buffer.
        Err(DescribeError::Failed { code: set.into(), text: unsafe { text_of(text.as_ptr()) } })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: each is ours, made by `new`, and destroyed once. A reply that comes later finds
        // its queue gone and is dropped by librdkafka.
        unsafe {
            native::rd_kafka_queue_destroy(self.reply_to);
            native::rd_kafka_AdminOptions_destroy(self.options);
        }
    }
}

/// The answer to a request.
struct Reply(NonNull<native::rd_kafka_event_t>);

impl Reply {
    fn may_read(&self) -> Result<Option<bool>, DescribeError> {
        let event = self.0.as_ptr();
        // SAFETY: the event is valid until `self` is dropped, and every pointer below belongs to it
        // and is read before.
        unsafe {
            let code = native::rd_kafka_event_error(event);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let text = text_of(native::rd_kafka_event_error_string(event));
                return Err(DescribeError::Failed { code: code.into(), text });
            }
            let result = native::rd_kafka_event_DescribeConsumerGroups_result(event);
            let mut count = 0;
            let groups = if result.is_null() {
                ptr::null_mut()
            } else {
                native::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count)
            };
            if groups.is_null() || count != 1 {
                let text = format!("asked for one group, the answer holds {count}");
                return Err(DescribeError::Failed { code: RDKafkaErrorCode::BadMessage, text });
            }
            let group = *groups;
            let error = native::rd_kafka_ConsumerGroupDescription_error(group);
            if !error.is_null()
                && native::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                let text = text_of(native::rd_kafka_error_string(error));
                return Err(DescribeError::Failed {
                    code: native::rd_kafka_error_code(error).into(),
                    text,
                });
            }
            let mut operations = 0;
            let first = native::rd_kafka_ConsumerGroupDescription_authorized_operations(
                group,
                &mut operations,
            );
            if first.is_null() || operations == 0 {
                return Ok(None);
            }
            let allowed = std::slice::from_raw_parts(first, operations);
            Ok(Some(
                allowed.contains(&native::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ),
            ))
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: the event is ours and destroyed once.
        unsafe { native::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}
