//! Judges what gives the tokens of OAUTHBEARER.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use super::check::Check;
use crate::config::token::{AuthorizationServer, CA_FILE, CA_PEM, TokenSource, UnsecuredToken};

impl Check<'_> {
    /// The source of OAUTHBEARER's tokens, where it is the mechanism.
    pub(super) fn token_source(
        &mut self,
        properties: &BTreeMap<String, SecretString>,
    ) -> Option<TokenSource> {
        const KEY: &str = "kafka.properties.sasl.oauthbearer.config";
        let value = |name: &str| properties.get(name).map(|value| value.expose_secret());
        let protocol = value("security.protocol").unwrap_or_default().to_ascii_lowercase();
        let mechanism = value("sasl.mechanism").or_else(|| value("sasl.mechanisms"));
        if self.problems.iter().any(|problem| problem.key.starts_with("kafka.propert")) {
            return None;
        }
        let asks_server = value("sasl.oauthbearer.method") == Some("oidc");
        if !protocol.starts_with("sasl") || mechanism != Some("OAUTHBEARER") {
            if asks_server {
                let reason = ": oidc goes with security.protocol = SASL_SSL and sasl.mechanism = \
                    OAUTHBEARER";
                self.problem("kafka.properties.sasl.oauthbearer.method", reason.to_owned());
            }
            return None;
        }
        if asks_server {
            return self.authorization_server(properties);
        }
        if value("enable.sasl.oauthbearer.unsecure.jwt") != Some("true") {
            let reason = ": OAUTHBEARER needs sasl.oauthbearer.method = oidc, for tokens of an \
                authorization server, or this \
                          to be true, for unsecured tokens, which only test brokers accept";
            self.problem(
                "kafka.properties.enable.sasl.oauthbearer.unsecure.jwt",
                reason.to_owned(),
            );
            return None;
        }
        UnsecuredToken::parse(value("sasl.oauthbearer.config").unwrap_or_default())
            .map_err(|problem| self.problem(KEY, format!(": {problem}")))
            .ok()
            .map(TokenSource::Unsecured)
    }

    fn authorization_server(
        &mut self,
        properties: &BTreeMap<String, SecretString>,
    ) -> Option<TokenSource> {
        let value = |name: &str| properties.get(name).map(|value| value.expose_secret());
        let ca_pem = match (value(CA_FILE), value(CA_PEM)) {
            (Some(path), None) => {
                Some(self.secret_file(&format!("kafka.properties.{}", CA_FILE), path)?)
            }
            (_, pem) => pem.map(str::to_owned),
        };
        match AuthorizationServer::of(properties, ca_pem) {
            Ok(server) => Some(TokenSource::Server(server)),
            Err(problems) => {
                for (name, reason) in problems {
                    self.problem(format!("kafka.properties.{name}"), format!(": {reason}"));
                }
                None
            }
        }
    }
}
