//! Why a Kafka client fails: librdkafka's messages, mapped to a named cause with its remedy.
//!
//! The messages are those of librdkafka 2.12; an unknown one is passed on unchanged.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use secrecy::ExposeSecret as _;

use crate::config::{self, TokenSource};
use crate::kafka::acl::{self, Operation, Resource};
use crate::kafka::certificate::{self, Fault, Trusted};
use crate::kafka::files;
use crate::kafka::secrets::Secrets;
use crate::kafka::token::NO_TOKEN;

/// Interval at which a certificate is fetched again; it may have been replaced.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);

/// Whether waiting helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No answer: a broker that is down may come back.
    Unreachable,
    /// The brokers or the client refuse: waiting does not help, the configuration has to change.
    Refused,
    /// Anything else, which may be temporary.
    Other,
}

/// Why a Kafka client fails: one sentence for an operator, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub kind: Kind,
    text: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cause {
    fn refused(text: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, text: text.into() }
    }
}

/// Determines causes for one configuration. Cheap to clone; clones share what they find.
#[derive(Clone, Debug)]
pub struct Causes(Arc<Facts>);

/// Input of the sentences.
#[derive(Debug)]
struct Facts {
    brokers: String,
    /// librdkafka's properties, without the secret ones.
    properties: BTreeMap<String, String>,
    trusted: Trusted,
    principal: Option<String>,
    secrets: Secrets,
    /// When a certificate was checked last, and its fault, by `host:port`.
    found: Mutex<BTreeMap<String, (Instant, Option<Fault>)>>,
}

impl Causes {
    /// Causes of this configuration.
    pub fn new(kafka: &config::Kafka) -> Self {
        let value =
            |name: &str| kafka.properties.get(name).map(|value| value.expose_secret().to_owned());
        let trusted = match (value("ssl.ca.location"), value("ssl.ca.pem")) {
            (Some(path), _) if path != "probe" => Trusted::File(path),
            (_, Some(pem)) => Trusted::Pem(pem),
            _ => Trusted::System,
        };
        let plain = kafka.properties.iter().filter(|(name, _)| !config::is_secret_property(name));
        let properties: BTreeMap<String, String> =
            plain.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        let principal = principal(&properties, kafka.token_source.as_ref());
        Self(Arc::new(Facts {
            brokers: kafka.brokers.clone(),
            properties,
            trusted,
            principal,
            secrets: Secrets::of(&kafka.properties),
            found: Mutex::default(),
        }))
    }

    /// librdkafka's words without the secrets that it may quote.
    pub fn mask(&self, text: &str) -> String {
        self.0.secrets.mask(text)
    }

    /// The cause behind an error that librdkafka reports with these words. Never waits;
    /// [`Causes::look`] finds why a certificate is not accepted.
    pub fn of(&self, code: Option<Code>, text: &str) -> Cause {
        let facts = &self.0;
        let known = match code {
            Some(Code::Authentication) => facts.authentication(text),
            Some(Code::SSL) => facts.tls(text),
            Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown) => {
                facts.tls(text).or_else(|| facts.transport(text))
            }
            Some(Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism) => {
                facts.authentication(text)
            }
            _ => None,
        };
        known.unwrap_or_else(|| Cause {
            kind: kind_of(code),
            text: facts.secrets.mask(without_state(text)),
        })
    }

    /// The cause behind an error that rdkafka returns.
    pub fn of_error(&self, error: &KafkaError) -> Cause {
        match error {
            KafkaError::ClientCreation(text) | KafkaError::ClientConfig(_, text, ..) => {
                self.of_creation(text)
            }
            error => self.of(error.rdkafka_error_code(), &error.to_string()),
        }
    }

    /// Why librdkafka cannot create a client.
    fn of_creation(&self, text: &str) -> Cause {
        Cause::refused(files::cause(text, &self.0.properties).unwrap_or_else(|| self.mask(text)))
    }

    /// The cause in a line of librdkafka's log, if librdkafka reports it in no other way: it
    /// considers the end of a connection normal.
    pub fn complaint<'t>(&self, facility: &str, line: &'t str) -> Option<&'t str> {
        // `[thrd:NAME]: NAME: …`
        let text = line.split_once("]: ").map_or(line, |(_, text)| text);
        let is_telling = facility == "FAIL"
            && self.of(Some(Code::BrokerTransportFailure), text).kind == Kind::Refused;
        is_telling.then_some(text)
    }

    /// An operation that the brokers do not allow.
    pub fn denied(&self, operation: Operation, resource: Resource<'_>) -> Cause {
        let missing = acl::missing(operation, resource, self.0.principal.as_deref());
        Cause::refused(format!("the brokers refuse {operation} on {resource}: {missing}"))
    }

    /// A topic that must not be described by one who is to read it.
    pub fn denied_describe(&self, topic: &str) -> Cause {
        let missing =
            acl::missing(Operation::Read, Resource::Topic(topic), self.0.principal.as_deref());
        Cause::refused(format!(
            "the brokers refuse Describe, which Read includes, on topic {topic:?}: {missing}"
        ))
    }

    /// A topic that the brokers do not show. A client without Describe is not told whether a topic
    /// exists.
    pub fn hidden(&self, topic: &str, operation: Operation) -> Cause {
        let is_open = self.0.security_protocol() == "PLAINTEXT";
        let missing =
            match acl::missing(operation, Resource::Topic(topic), self.0.principal.as_deref()) {
                // Without a login, ACLs are unlikely.
                _ if is_open => String::new(),
                missing => format!("; or {missing}"),
            };
        Cause::refused(format!(
            "topic {topic:?} does not exist on Kafka at {}, or this user lacks Describe on it: \
            create it, or set kafka.topic to the one that holds the events{missing}",
            self.0.brokers
        ))
    }

    /// Finds why a certificate is not accepted, if the message says that one is not; [`Causes::of`]
    /// reports it from then on. Blocks for a few seconds at most.
    pub fn look(&self, text: &str) {
        if let Some(broker) = self.0.to_look_at(text) {
            let found = certificate::look(&broker, &self.0.trusted);
            self.0.keep(broker, found);
        }
    }

    /// Like [`Causes::look`], on its own thread.
    pub fn look_aside(&self, text: &str) {
        if let Some(broker) = self.0.to_look_at(text) {
            let facts = Arc::clone(&self.0);
            std::thread::spawn(move || {
                let found = certificate::look(&broker, &facts.trusted);
                facts.keep(broker, found);
            });
        }
    }
}

impl Facts {
    fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    fn mechanism(&self) -> &str {
        // The two are one property.
        self.property("sasl.mechanism")
            .or_else(|| self.property("sasl.mechanisms"))
            .unwrap_or("GSSAPI")
    }

    fn security_protocol(&self) -> String {
        self.property("security.protocol").unwrap_or("plaintext").to_uppercase()
    }

    fn authentication(&self, text: &str) -> Option<Cause> {
        let mechanism = self.mechanism();
        if text.starts_with(NO_TOKEN) || text.contains("acquire SASL OAUTHBEARER token") {
            return Some(Cause::refused(self.secrets.mask(without_state(text))));
        }
        if text.contains("mechanism handshake failed")
            || text.contains("Unsupported SASL mechanism")
        {
            let offered = text
                .split_once("supported mechanisms: ")
                .map(|(_, offered)| without_state(offered));
            let offered = offered.map(|offered| format!(", but {offered}")).unwrap_or_default();
            return Some(Cause::refused(format!(
                "the brokers do not offer sasl.mechanism = {mechanism}{offered}: set one of theirs \
                in [kafka.properties]"
            )));
        }
        if mechanism == "OAUTHBEARER" {
            let reason = self.secrets.mask(without_state(text));
            return Some(Cause::refused(format!(
                "the brokers refuse the token of OAUTHBEARER: {reason}"
            )));
        }
        let user =
            self.property("sasl.username").map(|user| format!(" {user:?}")).unwrap_or_default();
        Some(Cause::refused(format!(
            "the brokers refuse user{user} by {mechanism}: wrong password, or no such user; see \
            sasl.username and sasl.password in [kafka.properties]"
        )))
    }

    fn tls(&self, text: &str) -> Option<Cause> {
        let protocol = self.security_protocol();
        let broker = self.address(text).unwrap_or_else(|| self.brokers.clone());
        if is_certificate_failure(text) {
            return Some(self.certificate(&broker));
        }
        // A listener without TLS may close the connection before it has answered.
        let is_handshake =
            ["SSL_HANDSHAKE", "APIVERSION_QUERY"].iter().any(|state| text.contains(state));
        if text.contains("PLAINTEXT broker listener")
            || text.contains("wrong version number")
            || (is_handshake && text.contains("SSL connection closed by peer"))
        {
            let plain = if protocol == "SASL_SSL" { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
            return Some(Cause::refused(format!(
                "{broker} does not speak TLS, as security.protocol = {protocol} asks for: name its \
                TLS listener in kafka.brokers, or set security.protocol = {plain} in \
                [kafka.properties] if that is what you want"
            )));
        }
        let alerts = [
            "certificate required",
            "alert bad certificate",
            "alert certificate",
            "alert unknown ca",
        ];
        if !alerts.iter().any(|alert| text.contains(alert)) {
            return None;
        }
        let told = self.secrets.mask(without_state(text));
        Some(Cause::refused(match self.property("ssl.certificate.location") {
            Some(path) => {
                format!(
                    "{broker} does not accept the client's certificate, ssl.certificate.location = \
                    {path:?}: {told}"
                )
            }
            None if self.properties.contains_key("ssl.keystore.location") => {
                format!(
                    "{broker} does not accept the client's certificate of ssl.keystore.location: \
                    {told}"
                )
            }
            None => format!(
                "{broker} asks for a client's certificate: set ssl.certificate.location and \
                ssl.key.location in [kafka.properties] ({told})"
            ),
        }))
    }

    fn certificate(&self, broker: &str) -> Cause {
        let trusted = &self.trusted;
        let unless = "or, where you know why, set ssl.endpoint.identification.algorithm = none";
        Cause::refused(match self.finding(broker) {
            Some(Fault::UnknownAuthority) => {
                format!("the certificate of {broker} is signed by no authority of {trusted}")
            }
            Some(Fault::Expired(since)) => {
                let since = since.map(|since| format!(" on {since}")).unwrap_or_default();
                format!("the certificate of {broker} expired{since}: the broker needs a new one")
            }
            Some(Fault::NotValidYet(from)) => {
                let from = from.map(|from| format!(" before {from}")).unwrap_or_default();
                format!(
                    "the certificate of {broker} is not valid{from}: look at the clocks of both"
                )
            }
            Some(Fault::OtherHost(names)) => {
                let names =
                    if names.is_empty() { "another host".to_owned() } else { names.join(", ") };
                format!(
                    "the certificate of {broker} is for {names}: name the broker so in \
                    kafka.brokers and in its advertised.listeners, {unless}"
                )
            }
            Some(Fault::Other(text)) => {
                format!("the certificate of {broker} is not accepted: {text}")
            }
            None => format!(
                "the certificate of {broker} is not accepted: it is signed by no authority of \
                {trusted}, or it has expired, or it is for another host ({unless})"
            ),
        })
    }

    fn transport(&self, text: &str) -> Option<Cause> {
        let protocol = self.security_protocol();
        let broker = self.address(text).unwrap_or_else(|| self.brokers.clone());
        let speaks_tls = protocol.ends_with("SSL");
        let is_first_request =
            text.contains("in state APIVERSION_QUERY") && text.contains("Disconnected");
        if !speaks_tls && (is_first_request || text.contains("connecting to a SSL listener?")) {
            let tls = if protocol == "SASL_PLAINTEXT" { "SASL_SSL" } else { "SSL or SASL_SSL" };
            return Some(Cause::refused(format!(
                "{broker} closes the connection: with security.protocol = {protocol} this client \
                does not speak TLS, and the \
                 listener seems to ask for it; set security.protocol = {tls} in [kafka.properties]"
            )));
        }
        if text.contains("broker might require SASL") {
            return Some(Cause::refused(format!(
                "{broker} closes the connection: with security.protocol = {protocol} this client \
                does not log in, and the listener seems to ask for it; set security.protocol and \
                sasl.mechanism in [kafka.properties]"
            )));
        }
        None
    }

    /// The last result of checking a broker's certificate.
    fn finding(&self, broker: &str) -> Option<Fault> {
        let findings = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        findings.get(broker)?.1.clone()
    }

    /// The broker whose certificate is to be checked because of this message; one check at a time.
    fn to_look_at(&self, text: &str) -> Option<String> {
        let broker = self.address(text).filter(|_| is_certificate_failure(text))?;
        let mut findings = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match findings.get(&broker) {
            Some((at, _)) if at.elapsed() < LOOK_INTERVAL => return None,
            Some((_, before)) => before.clone(),
            None => None,
        };
        findings.insert(broker.clone(), (Instant::now(), before));
        Some(broker)
    }

    fn keep(&self, broker: String, found: Option<Fault>) {
        let mut findings = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        findings.insert(broker, (Instant::now(), found));
    }

    /// The broker that the message is about: `ssl://HOST:PORT/1: …`, or `GroupCoordinator:
    /// HOST:PORT: …`.
    fn address(&self, text: &str) -> Option<String> {
        let is_address = |part: &&str| {
            part.rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let named = match text.split_once("://") {
            Some((_, rest)) => rest.split(['/', ' ']).next(),
            None => {
                text.split(": ").map(|part| part.split('/').next().unwrap_or(part)).find(is_address)
            }
        };
        named.map(|named| named.trim_end_matches(':')).filter(is_address).map(str::to_owned)
    }
}

/// The principal of the client, if the configuration shows it.
fn principal(
    properties: &BTreeMap<String, String>,
    source: Option<&TokenSource>,
) -> Option<String> {
    if !properties.get("security.protocol")?.to_uppercase().starts_with("SASL") {
        // The subject of a certificate, by the brokers' rules.
        return None;
    }
    let mechanism =
        properties.get("sasl.mechanism").or_else(|| properties.get("sasl.mechanisms"))?;
    let name = match mechanism.as_str() {
        "OAUTHBEARER" => match source? {
            TokenSource::Unsecured(token) => token.principal.clone(),
            // What the token says, by the brokers' rules.
            TokenSource::Server(_) => return None,
        },
        "GSSAPI" => return None,
        _ => properties.get("sasl.username")?.clone(),
    };
    Some(format!("User:{name}"))
}

fn is_certificate_failure(text: &str) -> bool {
    text.contains("certificate could not be verified") || text.contains("certificate verify failed")
}

fn kind_of(code: Option<Code>) -> Kind {
    match code {
        Some(
            Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::AllBrokersDown,
        ) => Kind::Unreachable,
        Some(
            Code::Authentication
            | Code::SSL
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => Kind::Refused,
        _ => Kind::Other,
    }
}

/// The message without librdkafka's duration and state, which differ each time.
fn without_state(text: &str) -> &str {
    match text.rfind(" (after ") {
        Some(at) if text.ends_with(')') => &text[..at],
        _ => text,
    }
}
