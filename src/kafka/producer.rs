//! The properties of producers.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use secrecy::ExposeSecret as _;

use crate::config;

/// The properties of a client that sends records.
pub fn producer_properties(kafka: &config::Kafka) -> ClientConfig {
    let mut properties = ClientConfig::new();
    // The end of a connection is logged at this level, and sometimes nowhere else.
    properties.set_log_level(RDKafkaLogLevel::Info);
    // Our defaults, which a user may change.
    properties
        .set("client.id", "seatmeter")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.kbytes", "65536")
        // The broker decides which record is too large.
        .set("message.max.bytes", "16777216");
    for (name, value) in kafka.client_properties() {
        properties.set(name, value.expose_secret());
    }
    properties
        .set("bootstrap.servers", &kafka.brokers)
        .set("partitioner", "murmur2_random")
        // A retry must neither repeat nor reorder an account's events.
        .set("enable.idempotence", "true");
    properties
}
