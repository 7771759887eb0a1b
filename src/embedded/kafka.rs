//! librdkafka's own mock cluster, for `demo` and for tests where no real broker can run.
//!
//! It runs in this process, keeps records in memory (5 MiB a partition, then the oldest are
//! evicted), and starts empty each time.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A cluster of one broker on a free loopback port; gone when dropped.
///
/// The handle of librdkafka must not leave its thread, so a separate thread holds it.
#[derive(Debug)]
pub struct MockBroker {
    bootstrap_servers: String,
    requests: Option<SyncSender<CreateTopic>>,
    owner: Option<JoinHandle<()>>,
}

/// A topic to be created, and the sender for the result.
struct CreateTopic {
    topic: String,
    partitions: i32,
    reply: SyncSender<KafkaResult<()>>,
}

impl MockBroker {
    /// Starts it with one topic.
    ///
    /// # Errors
    ///
    /// librdkafka cannot start it: no free port, no memory; or it refuses the topic.
    pub fn start(topic: &str, partitions: i32) -> Result<MockBroker> {
        let (requests, inbox) = mpsc::sync_channel(1);
        let (started_sender, started) = mpsc::sync_channel(1);
        let owner = std::thread::Builder::new()
            .name("mock-broker".into())
            .spawn(move || own(&started_sender, &inbox))
            .context("cannot start a thread for the embedded Kafka broker")?;
        let bootstrap_servers = started
            .recv()
            .context("the embedded Kafka broker broke off")?
            .context("cannot start the embedded Kafka broker")?;
        let broker = MockBroker { bootstrap_servers, requests: Some(requests), owner: Some(owner) };
        broker.create_topic(topic, partitions)?;
        Ok(broker)
    }

    /// Adds a topic.
    ///
    /// # Errors
    ///
    /// The topic exists, or would have no partition.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        // librdkafka would accept it, and then not answer for the topic.
        ensure!(partitions > 0, "the topic {topic} needs at least one partition");
        let (reply, outcome) = mpsc::sync_channel(1);
        let request = CreateTopic { topic: topic.to_owned(), partitions, reply };
        let requests = self.requests.as_ref().context("the embedded Kafka broker has stopped")?;
        requests.send(request).ok().context("the embedded Kafka broker has stopped")?;
        outcome.recv().context("the embedded Kafka broker has stopped")?.with_context(|| {
            format!("cannot create the topic {topic} in the embedded Kafka broker")
        })
    }

    /// `host:port` of the broker.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers.clone()
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        // The owner ends when all senders of requests are dropped.
        drop(self.requests.take());
        if self.owner.take().is_some_and(|owner| owner.join().is_err()) {
            tracing::warn!("the thread of the embedded Kafka broker has panicked");
        }
    }
}

/// Holds the cluster as long as requests can come.
fn own(started: &SyncSender<KafkaResult<String>>, inbox: &Receiver<CreateTopic>) {
    let cluster = match MockCluster::<DefaultProducerContext>::new(1) {
        Ok(cluster) => cluster,
        // The starter waits for this; if it is gone, the result is not needed.
        Err(error) => return drop(started.send(Err(error))),
    };
    if started.send(Ok(cluster.bootstrap_servers())).is_err() {
        return;
    }
    while let Ok(request) = inbox.recv() {
        drop(request.reply.send(cluster.create_topic(&request.topic, request.partitions, 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_cannot_be_is_refused() {
        let broker = MockBroker::start("t", 4).unwrap();
        for (topic, partitions) in [("none", 0), ("t", 4)] {
            let error = broker.create_topic(topic, partitions).unwrap_err().to_string();
            assert!(error.contains(&format!("topic {topic}")), "{error}");
        }
        assert!(broker.bootstrap_servers().contains(':'));
    }
}
