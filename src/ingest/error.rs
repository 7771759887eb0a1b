//! Why a worker ends.

use super::messages::Fatal;

/// Why the worker ended. Nothing is lost in any case: what was not written is counted again by the
/// next start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The topic does not exist.
    #[error(
        "topic {topic:?} does not exist on Kafka at {brokers}; create it (`kafka-topics.sh \
        --create --topic {topic} --partitions 4 --bootstrap-server {brokers}`), or set kafka.topic \
        to the one that holds the events"
    )]
    TopicMissing { topic: String, brokers: String },
    /// librdkafka refuses the configuration.
    #[error("the Kafka client refuses its configuration: {0}; see [kafka] and [kafka.properties]")]
    ClientConfig(String),
    /// The topic's name is invalid.
    #[error("kafka.topic = {0:?} is no topic name: it contains a zero byte")]
    TopicName(String),
    /// Alerts have nowhere to go.
    #[error("alerts cannot be sent: {0}")]
    Alerts(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The Kafka client failed for good.
    #[error("the Kafka client failed for good: {reason}; restart to go on")]
    Client { reason: String },
    /// A log cannot be read outside the group.
    #[error("the topic cannot be read: {reason}")]
    Unreadable { reason: String },
    /// A thread shows no sign of life.
    #[error("thread {thread} has shown no sign of life for {seconds} s; restart to go on")]
    ThreadStuck { thread: String, seconds: u64 },
    /// A thread ended by a panic, which is a defect of this program.
    #[error("thread {thread} panicked, see above; this is a defect of seatmeter, please report it")]
    ThreadPanicked { thread: String },
    /// A lane requests the same loads again and again, which is a defect of this program.
    #[error(
        "offset {offset} of {source_name} cannot be judged however much is loaded; this is a \
        defect of seatmeter, please report it"
    )]
    LaneStuck { source_name: String, offset: u64 },
    /// ClickHouse did not take the last flush in time.
    #[error(
        "stopped before the last events of {partitions} partitions were written, because {reason}; \
        they are counted again by the next start, nothing is lost"
    )]
    NotWritten { partitions: usize, reason: String },
}

impl From<Fatal> for IngestError {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Client { reason } => Self::Client { reason },
            Fatal::ThreadStuck { thread, seconds } => Self::ThreadStuck { thread, seconds },
            Fatal::ThreadPanicked { thread } => Self::ThreadPanicked { thread },
            Fatal::LaneStuck { source, offset } => Self::LaneStuck { source_name: source, offset },
        }
    }
}
