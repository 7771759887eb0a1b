//! A topic as its brokers describe it, or why they do not.

use std::ffi::NulError;

use rdkafka::error::RDKafkaErrorCode;

/// Description of a topic by the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct TopicDescription {
    /// Kafka's id of this incarnation of the topic; empty if the brokers have no topic ids.
    pub(in crate::ingest) id: String,
    pub(in crate::ingest) partitions: u32,
}

/// Why a topic could not be described.
#[derive(Debug, thiserror::Error)]
pub(in crate::ingest) enum DescribeError {
    /// The brokers know no such topic.
    #[error("topic {0} does not exist")]
    Missing(String),
    /// The brokers are too old for this request.
    #[error("the brokers cannot describe topics")]
    Unsupported,
    /// Any other answer, or none in time.
    #[error("{text}")]
    Failed {
        /// librdkafka's or the broker's code.
        code: RDKafkaErrorCode,
        /// Its words.
        text: String,
    },
}

impl From<NulError> for DescribeError {
    fn from(error: NulError) -> Self {
        Self::Failed { code: RDKafkaErrorCode::InvalidTopic, text: error.to_string() }
    }
}
