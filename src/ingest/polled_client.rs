//! A client outside the group, for those who ask and read without counting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::client::{Client, Context};
use crate::config::Kafka;

/// Longest wait of one poll.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// A client, and a thread that serves its callbacks until this is dropped.
pub(super) struct PolledClient {
    pub(super) client: Arc<Client>,
    is_over: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl PolledClient {
    /// Connects.
    ///
    /// # Errors
    /// Where librdkafka refuses the properties.
    pub(super) fn new(kafka: &Kafka, properties: &ClientConfig) -> Result<Self, KafkaError> {
        let client = Client::from_config_and_context(properties, Context::of(kafka))?;
        // Closing must never wait for an answer to a rebalance.
        client.context().close();
        let client = Arc::new(client);
        let is_over = Arc::new(AtomicBool::new(false));
        let (polled, end) = (Arc::clone(&client), Arc::clone(&is_over));
        let polling = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                // Errors go to the context. Records, if any, go to queues of their own.
                drop(polled.poll(POLL_WAIT));
            }
        });
        Ok(Self { client, is_over, polling: Some(polling) })
    }
}

impl Drop for PolledClient {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(polling) = self.polling.take() {
            // The thread cannot panic: it only polls.
            let _ = polling.join();
        }
    }
}
