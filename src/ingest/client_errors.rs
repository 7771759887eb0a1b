//! Error reports of the Kafka client: which of them gives the cause, its name, and the remedy.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode;

use crate::config;
use crate::kafka::{Cause, Causes, Operation, Resource};

/// The newest report that gives a cause. "All brokers down" follows the reports that say why and is
/// less specific, so it never replaces them.
#[derive(Debug, Default)]
pub(crate) struct NewestCause(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl NewestCause {
    /// The client reports an error.
    pub(crate) fn note(&self, code: Option<RDKafkaErrorCode>, text: String) {
        let mut kept = self.lock();
        if kept.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *kept = Some((code, text));
        }
    }

    /// Code and text of the newest report since the last [`Self::take`].
    pub(crate) fn complaint(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        self.lock().clone()
    }

    /// The name of the cause, for a metric.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.lock().as_ref().map(|(code, _)| name_of(*code))
    }

    /// Clears the report, and returns its text.
    pub(crate) fn take(&self) -> Option<String> {
        self.lock().take().map(|(_, text)| text)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Option<RDKafkaErrorCode>, String)>> {
        // The value is consistent between calls, so a panic elsewhere has not broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a cause, as metrics have it.
pub(super) fn name_of(code: Option<RDKafkaErrorCode>) -> &'static str {
    match code {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "topic_authorization",
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "group_authorization",
        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
            "authentication"
        }
        Some(RDKafkaErrorCode::SSL) => "tls",
        Some(RDKafkaErrorCode::Resolve) => "name_resolution",
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            "unreachable"
        }
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => "timeout",
        Some(RDKafkaErrorCode::BadCompression) => "decompression",
        Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => "corruption",
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => "message_size",
        _ => "other",
    }
}

/// True if the code says only that no answer came.
pub(super) fn is_silence(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        None | Some(
            RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
        )
    )
}

/// Names for the remedies in messages.
#[derive(Clone, Debug)]
pub(super) struct Names {
    topic: String,
    group: String,
    causes: Causes,
}

impl Names {
    pub(super) fn of(kafka: &config::Kafka) -> Self {
        Self {
            topic: kafka.topic.clone(),
            group: kafka.group_id.clone(),
            causes: Causes::new(kafka),
        }
    }

    /// Tells causes.
    pub(super) fn causes(&self) -> &Causes {
        &self.causes
    }

    /// Describing the topic is denied.
    pub(super) fn describe_denied(&self) -> String {
        waited_for(&self.causes.denied_describe(&self.topic))
    }

    fn denied_read(&self, resource: Resource<'_>) -> String {
        waited_for(&self.causes.denied(Operation::Read, resource))
    }

    /// The client's words with the remedy.
    pub(super) fn explain(&self, code: RDKafkaErrorCode, text: &str) -> String {
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                self.denied_read(Resource::Topic(&self.topic))
            }
            RDKafkaErrorCode::GroupAuthorizationFailed => {
                self.denied_read(Resource::Group(&self.group))
            }
            RDKafkaErrorCode::BadCompression => format!(
                "{text}; a batch that unpacks to more than receive.message.max.bytes of \
                [kafka.properties] cannot be read: raise it (to 2147483647 at most), or {}",
                PassBy(&self.topic)
            ),
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage => format!(
                "{text}; the batch is damaged where the broker keeps it: restore it from another \
                replica, or {}",
                PassBy(&self.topic)
            ),
            RDKafkaErrorCode::MessageSizeTooLarge => {
                format!(
                    "{text}; raise receive.message.max.bytes and fetch.max.bytes of \
                    [kafka.properties]"
                )
            }
            _ => self.causes.of(Some(code), text).to_string(),
        }
    }
}

/// A denial that is asked about again and again.
fn waited_for(denial: &Cause) -> String {
    format!("{denial}; counting then goes on by itself")
}

/// The way out for a batch that cannot be read.
struct PassBy<'a>(&'a str);

impl fmt::Display for PassBy<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "give its records up by `kafka-delete-records.sh` with an offset of topic {} behind \
            it; they are then counted as absent",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_brokers_down_hides_no_cause() {
        let newest = NewestCause::default();
        let text = || newest.complaint().map(|(_, text)| text);
        let down = || {
            newest.note(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down".to_owned())
        };
        down();
        assert_eq!(text().as_deref(), Some("1/1 brokers are down"), "better than nothing");
        newest.note(Some(RDKafkaErrorCode::Authentication), "invalid credentials".to_owned());
        down();
        assert_eq!(text().as_deref(), Some("invalid credentials"));
        assert_eq!(newest.name(), Some("authentication"));
        newest.note(Some(RDKafkaErrorCode::Resolve), "no such host".to_owned());
        assert_eq!(newest.take().as_deref(), Some("no such host"), "the newest cause counts");
        assert_eq!(text(), None);
    }

    #[test]
    fn a_denial_names_the_acl() {
        let environment = ["TOPIC", "GROUP_ID"]
            .map(|name| (format!("SEATMETER__KAFKA__{name}").into(), name.into()));
        let names = Names::of(&config::load(None, environment).unwrap().kafka);
        let check = |text: &str, start: &str, command: &str| {
            assert!(text.starts_with(start), "{text}");
            assert!(
                text.ends_with(&format!("{command}); counting then goes on by itself")),
                "{text}"
            );
        };
        let of_group = names.explain(
            RDKafkaErrorCode::GroupAuthorizationFailed,
            "Broker: Group authorization failed",
        );
        check(
            &of_group,
            "the brokers refuse Read on group \"GROUP_ID\": an ACL",
            "--operation Read --group GROUP_ID",
        );
        let of_topic = names.explain(RDKafkaErrorCode::TopicAuthorizationFailed, "");
        check(
            &of_topic,
            "the brokers refuse Read on topic \"TOPIC\": an ACL",
            "--operation Read --topic TOPIC",
        );
        let start = "the brokers refuse Describe, which Read includes, on topic \"TOPIC\": an ACL";
        check(&names.describe_denied(), start, "--operation Read --topic TOPIC");
    }
}
