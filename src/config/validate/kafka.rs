//! `[kafka]`.

use std::collections::BTreeMap;

use figment::value::Dict;
use secrecy::SecretString;

use super::check::Check;
use crate::config::options::Kafka;
use crate::config::raw::RawKafka;
use crate::config::{properties, token};

impl Check<'_> {
    pub(super) fn topic_name(&mut self, key: &str, topic: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty() || topic.len() > 249 || !topic.chars().all(legal) {
            let reason = "allowed are 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`";
            self.refuse(key, topic, reason);
        } else if matches!(topic, "." | "..") {
            self.refuse(key, topic, "Kafka does not allow this name");
        }
    }

    pub(super) fn kafka(&mut self, raw: RawKafka) -> Kafka {
        self.brokers(&raw.brokers);
        self.topic_name("kafka.topic", &raw.topic);
        if raw.group_id.is_empty()
            || raw.group_id.len() > 255
            || raw.group_id.chars().any(char::is_control)
        {
            self.refuse(
                "kafka.group_id",
                &raw.group_id,
                "allowed are 1 to 255 bytes without control characters",
            );
        }
        if !matches!(raw.assignor.as_str(), "cooperative-sticky" | "range" | "roundrobin") {
            self.refuse(
                "kafka.assignor",
                &raw.assignor,
                "allowed are cooperative-sticky, range and roundrobin",
            );
        }
        let properties = self.properties(&raw.properties, &raw.property_files);
        Kafka {
            session_timeout: self.milliseconds(
                "kafka.session_timeout_ms",
                raw.session_timeout_ms,
                1_000..=1_800_000,
            ),
            token_source: self.token_source(&properties),
            properties,
            brokers: raw.brokers,
            topic: raw.topic,
            group_id: raw.group_id,
            assignor: raw.assignor,
        }
    }

    /// Validates the broker list. An entry with an `@` may hold a password, and is not quoted.
    fn brokers(&mut self, brokers: &str) {
        const KEY: &str = "kafka.brokers";
        if brokers.contains('@') {
            let way_out =
                "user and password are sasl.username and sasl.password in [kafka.properties]";
            return self.problem(
                KEY,
                format!(
                    ": holds an `@`; expected host:port, with commas between several; {way_out}"
                ),
            );
        }
        for broker in brokers.split(',') {
            if let Err(expected) = broker_address(broker.trim()) {
                self.refuse(KEY, brokers, format!("{:?}: {expected}", broker.trim()));
            }
        }
    }

    fn properties(&mut self, values: &Dict, files: &Dict) -> BTreeMap<String, SecretString> {
        let mut all = BTreeMap::new();
        let is_oidc = values.get("sasl.oauthbearer.method").and_then(|method| method.as_str())
            == Some("oidc");
        for (name, value) in values {
            let key = format!("kafka.properties.{name}");
            match properties::text(value) {
                Ok(value) => self.property(&mut all, &key, name, value, is_oidc),
                Err(message) => self.problem(key, format!(": {message}")),
            }
        }
        for (name, path) in files {
            let key = format!("kafka.property_files.{name}");
            match path.as_str() {
                Some(_) if values.contains_key(name) => {
                    self.problem(
                        key,
                        format!(": kafka.properties.{name} is set too; keep one of them"),
                    );
                }
                Some(path) => {
                    if let Some(value) = self.secret_file(&key, path) {
                        self.property(&mut all, &key, name, value, is_oidc);
                    }
                }
                None => self.problem(key, ": expected the path of a file, in quotes".to_owned()),
            }
        }
        all
    }

    fn property(
        &mut self,
        all: &mut BTreeMap<String, SecretString>,
        key: &str,
        name: &str,
        value: String,
        is_oidc: bool,
    ) {
        let is_of_server =
            properties::is_of_server(name) && (is_oidc || name != "sasl.oauthbearer.method");
        let check = |value: &str| match is_of_server {
            true if is_oidc => token::check_of_server(name, value).map_err(str::to_owned),
            true => Err("goes with \"sasl.oauthbearer.method\" = \"oidc\"".to_owned()),
            false => properties::check(name, value),
        };
        if let Some(reason) = properties::refusal(name, &value) {
            self.problem(key, format!(": cannot be set: {reason}"));
        } else if let Err(message) = check(&value) {
            self.problem(key, format!(": {message}"));
        } else {
            all.insert(name.to_owned(), SecretString::from(value));
        }
    }
}

/// Validates one entry of the broker list: `host`, `host:port` or `PROTOCOL://host:port`.
fn broker_address(broker: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected host:port, with commas between several";
    let address = match broker.split_once("://") {
        Some(("PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL", address)) => address,
        Some(_) => return Err(EXPECTED),
        None => broker,
    };
    let (host, port) = match address.rsplit_once(':') {
        // An IPv6 address in brackets, without a port.
        Some((_, tail)) if tail.ends_with(']') => (address, None),
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains([' ', '/', '@']) || (host.contains(':') && !bracketed) {
        return Err(EXPECTED);
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => Err("the port must be 1 to 65535"),
    }
}
