//! The Kafka topic that gets every event.

use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::attempt::{CONTENT_TYPE, SendError};
use crate::config;
use crate::kafka::{Causes, Tokens, producer_properties};
use crate::telemetry::events;

/// Time limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A topic.
pub(super) struct KafkaTopic {
    producer: FutureProducer<AlertsContext>,
    topic: String,
    causes: Causes,
}

impl KafkaTopic {
    pub(super) fn new(kafka: &config::Kafka, topic: &str) -> anyhow::Result<Self> {
        let causes = Causes::new(kafka);
        let tokens = Tokens::new(kafka.token_source.clone(), events::token_changed);
        let mut properties = producer_properties(kafka);
        properties.set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        let producer = properties
            .create_with_context(AlertsContext { tokens, causes: causes.clone() })
            .map_err(|error: KafkaError| anyhow::anyhow!("{}", causes.of_error(&error)))
            .context("alerts.topic cannot be used")?;
        Ok(Self { producer, topic: topic.to_owned(), causes })
    }

    /// Sends an event, keyed by its account.
    pub(super) async fn send(&self, account: &str, event: &str) -> Result<(), SendError> {
        let content_type = Header { key: "content-type", value: Some(CONTENT_TYPE) };
        let record = FutureRecord::to(&self.topic)
            .key(account)
            .payload(event)
            .headers(OwnedHeaders::new().insert(content_type));
        let sent = self.producer.send(record, TIMEOUT).await;
        let failed = |(error, _)| SendError(self.causes.of_error(&error).to_string());
        sent.map(drop).map_err(failed)
    }
}

/// The client's context.
struct AlertsContext {
    tokens: Tokens,
    causes: Causes,
}

impl ClientContext for AlertsContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(self.tokens.next()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        events::sender_log(level, facility, &self.causes.mask(message));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        events::sender_error(&self.causes.mask(&text));
    }
}
