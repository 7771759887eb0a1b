//! librdkafka properties that pass through, and those that may not.

use figment::value::Value;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

/// What to do instead of setting the property here; `None` if it may be set.
pub(super) fn refusal(name: &str, value: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "set kafka.brokers instead",
        "group.id" => "set kafka.group_id instead",
        "session.timeout.ms" => "set kafka.session_timeout_ms instead",
        "partition.assignment.strategy" => "set kafka.assignor instead",
        "queued.max.messages.kbytes" => "set ingest.queue_kbytes_max instead",
        "auto.offset.reset" => {
            "where to start is decided by the progress in ClickHouse alone, or records would be \
            skipped"
        }
        "enable.auto.commit" | "auto.commit.enable" | "enable.auto.offset.store" => {
            "offsets are committed only after the flush that covers them"
        }
        "enable.partition.eof" => "librdkafka resumes from a wrong offset with it",
        "isolation.level" if value != "read_committed" => {
            "records of an aborted transaction must not be counted; only read_committed is allowed"
        }
        "check.crcs" if value != "true" => {
            "a record that was damaged on the way or on a disk would be counted as if it were what \
            was sent"
        }
        "group.protocol" if value != "classic" => "only the classic group protocol is supported",
        "allow.auto.create.topics" => "a mistyped topic would be an empty one instead of an error",
        "partitioner" => "records are placed by murmur2_random, as Java clients place them",
        "enable.idempotence" => "records would be written twice or out of order without it",
        "log_level" => "set log.filter instead",
        // Callbacks and the like, which cannot be set by text.
        _ if name.contains('_') => "it is not a property for configuration files",
        _ => return None,
    })
}

/// True for what tells how an authorization server is asked for tokens, where one is
/// (`sasl.oauthbearer.method` = `oidc`). librdkafka takes none of it where it is built without
/// libcurl, as here: the program asks itself.
pub(super) fn is_of_server(name: &str) -> bool {
    name.starts_with("https.ca.")
        || (name.starts_with("sasl.oauthbearer.") && name != "sasl.oauthbearer.config")
}

/// True if the value of this librdkafka property is to be masked.
pub fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 7] =
        ["password", "secret", "pem", "oauthbearer.config", "jaas", "token", "passphrase"];
    name != "sasl.oauthbearer.token.endpoint.url" && SECRET.iter().any(|part| name.contains(part))
}

/// Asks librdkafka whether it knows the property and takes the value.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        // The description quotes a bad value, which may be a secret.
        Err(KafkaError::ClientConfig(_, description, ..)) if !is_secret(name) => Err(description),
        Err(KafkaError::ClientConfig(_, description, ..)) if description.starts_with("No such") => {
            Err(description)
        }
        Err(_) => Err("librdkafka does not take this value".to_owned()),
    }
}

/// A property's value as text.
pub(super) fn text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(_, text) => Ok(text.clone()),
        Value::Bool(_, flag) => Ok(flag.to_string()),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128()) {
            (Some(number), _) => Ok(number.to_string()),
            (None, Some(number)) => Ok(number.to_string()),
            (None, None) => Err("expected a string, found a number with a fraction"),
        },
        // TOML reads an unquoted `sasl.username = "x"` as nested tables.
        Value::Dict(..) => {
            Err("expected a string, found a table; write the whole property name in quotes")
        }
        Value::Char(..) | Value::Empty(..) | Value::Array(..) => Err("expected a string"),
    }
}
