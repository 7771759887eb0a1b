//! Kafka's committed offsets: they serve lag monitors only.
//!
//! One commit is in flight at a time; the next one covers everything recorded meanwhile. A failed
//! commit is not retried: the next flush commits more, and no count depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaResult;
use tokio::task::JoinHandle;

use super::client::Client;
use super::librdkafka::commit;
use super::seek::partition_list;
use crate::telemetry::{events, metrics};

/// Time limit for the group's coordinator to answer a commit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Commits offsets whose progress is recorded.
pub(super) struct Committer {
    client: Arc<Client>,
    topic: Arc<str>,
    /// Next offsets to commit, by partition.
    recorded: BTreeMap<u32, u64>,
    running: Option<JoinHandle<KafkaResult<()>>>,
}

impl Committer {
    pub(super) fn new(client: Arc<Client>, topic: Arc<str>) -> Self {
        Self { client, topic, recorded: BTreeMap::new(), running: None }
    }

    /// The progress of these partitions is recorded; commits it now, or after the commit in flight.
    pub(super) async fn recorded(&mut self, offsets: impl IntoIterator<Item = (u32, u64)>) {
        self.recorded.extend(offsets);
        if self.running.as_ref().is_none_or(JoinHandle::is_finished) {
            self.finish_running().await;
            self.start();
        }
    }

    /// Waits until everything is committed or has failed.
    pub(super) async fn settle(&mut self) {
        self.finish_running().await;
        self.start();
        self.finish_running().await;
    }

    fn start(&mut self) {
        let recorded = std::mem::take(&mut self.recorded);
        if recorded.is_empty() {
            return;
        }
        let (client, topic) = (Arc::clone(&self.client), Arc::clone(&self.topic));
        self.running = Some(tokio::task::spawn_blocking(move || {
            commit(&client, &partition_list(&topic, recorded)?, ANSWER_TIMEOUT)
        }));
    }

    async fn finish_running(&mut self) {
        let Some(running) = &mut self.running else { return };
        let failure = match running.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.running = None;
        if let Some(failure) = failure {
            metrics::commit_failed();
            events::commit_failed(&failure);
        }
    }
}
