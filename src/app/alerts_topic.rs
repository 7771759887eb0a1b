//! Whether the topic that alerts go to is there.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::topic_settings::Finding;
use crate::config::{self, Config};
use crate::ingest::probe_properties;
use crate::kafka::{Causes, Operation, Resource};

/// Time limit for the brokers to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks `alerts.topic`, where alerts are sent to one. Nothing is sent, and no topic is made.
pub(super) async fn look(config: &Config) -> Option<Finding> {
    let topic = config.alerts.topic.clone().filter(|_| config.alerts.enabled)?;
    let kafka = config.kafka.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let trouble = trouble_of(&kafka, &topic);
        judge(&topic, trouble, &Causes::new(&kafka))
    });
    Some(looked.await.unwrap_or_else(|error| Finding::NotChecked(error.to_string())))
}

/// What the brokers say of the topic; `None` where they know it.
fn trouble_of(kafka: &config::Kafka, topic: &str) -> Result<Option<RDKafkaRespErr>, KafkaError> {
    // A consumer: the question of a producer may make the topic.
    let consumer: BaseConsumer = probe_properties(kafka).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    Ok(metadata.topics().iter().find_map(|topic| topic.error()))
}

fn judge(
    topic: &str,
    trouble: Result<Option<RDKafkaRespErr>, KafkaError>,
    causes: &Causes,
) -> Finding {
    match trouble {
        Ok(None) => Finding::Good(format!("topic {topic:?} of alerts.topic is there")),
        Ok(Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)) => {
            let denied = causes.denied(Operation::Write, Resource::Topic(topic));
            Finding::Error(format!("alerts.topic = {topic:?} gets no alert: {denied}"))
        }
        Ok(Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)) => {
            Finding::Warning(format!(
                "alerts.topic = {topic:?} does not exist: create it; an alert that cannot be sent \
                is tried again for three days"
            ))
        }
        Ok(Some(code)) => not_checked(topic, &KafkaError::MetadataFetch(code.into()), causes),
        Err(error) => not_checked(topic, &error, causes),
    }
}

fn not_checked(topic: &str, error: &KafkaError, causes: &Causes) -> Finding {
    let cause = causes.of_error(error);
    Finding::NotChecked(format!("the brokers do not tell whether topic {topic:?} exists: {cause}"))
}
