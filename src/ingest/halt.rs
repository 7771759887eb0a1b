//! Why a lane stands still.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::client_errors::name_of;

/// Why a lane stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halt {
    /// The next offset to read.
    pub(super) offset: u64,
    /// The end of its log, if known.
    pub(super) end: Option<u64>,
    pub(super) cause: HaltCause,
}

/// Cause of a lane's halt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HaltCause {
    /// The client reported this about the partition, and there was no progress since.
    Reported { code: RDKafkaErrorCode, text: Arc<str> },
    /// The log's end cannot be requested; the code is the last refusal, if there is one.
    EndUnknown(Option<RDKafkaErrorCode>),
    /// A transaction is open from the lane's next offset on.
    OpenTransaction,
    /// No records come, and no error is reported.
    Silence,
}

impl HaltCause {
    /// Its name, for a metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Reported { code, .. } => name_of(Some(*code)),
            Self::EndUnknown(Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                name_of(Some(*code))
            }
            Self::EndUnknown(_) => "end_unknown",
            Self::OpenTransaction => "open_transaction",
            Self::Silence => "silence",
        }
    }
}
