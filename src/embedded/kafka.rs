//! librdkafka's own mock cluster, for `demo` and for tests where no real broker can run.
//!
//! It lives in this process, keeps records in memory (5 MiB a partition, then the oldest go), and starts empty each time.

use anyhow::{Context as _, Result};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A cluster of one broker on a free loopback port; gone when dropped.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl std::fmt::Debug for MockBroker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MockBroker").field("bootstrap_servers", &self.bootstrap_servers()).finish()
    }
}

impl MockBroker {
    /// Starts it with one topic.
    ///
    /// # Errors
    ///
    /// librdkafka cannot start it: no free port, no memory.
    pub fn start(topic: &str, partitions: i32) -> Result<MockBroker> {
        let cluster = MockCluster::new(1).context("cannot start the embedded Kafka broker")?;
        let broker = MockBroker { cluster };
        broker.create_topic(topic, partitions)?;
        Ok(broker)
    }

    /// Adds a topic.
    ///
    /// # Errors
    ///
    /// librdkafka refuses: the topic exists, or the name or number is not valid.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        self.cluster
            .create_topic(topic, partitions, 1)
            .with_context(|| format!("cannot create the topic {topic} in the embedded Kafka broker"))
    }

    /// `host:port` of the broker.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
