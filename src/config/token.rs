//! Sources of OAUTHBEARER's tokens: an authorization server (`sasl.oauthbearer.method` =
//! `oidc`), or nowhere (`sasl.oauthbearer.config`): those are unsecured, and only test brokers
//! accept them.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// The source of tokens.
#[derive(Clone, Debug)]
pub enum TokenSource {
    Unsecured(UnsecuredToken),
    Server(AuthorizationServer),
}

/// An authorization server that gives tokens to a client with a secret (RFC 6749, section 4.4).
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    /// Its token endpoint, http or https, without user and password.
    pub endpoint: Url,
    pub client_id: String,
    pub client_secret: SecretString,
    /// The scope of the token, where one is configured.
    pub scope: Option<String>,
    /// Certificates in PEM of the authorities to trust instead of Mozilla's.
    pub ca_pem: Option<String>,
}

/// Properties of the certificates of an authorization server's authorities: a file, and PEM text.
pub(super) const CA_FILE: &str = "https.ca.location";
pub(super) const CA_PEM: &str = "https.ca.pem";

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: [&str; 2] =
    ["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"];
const CLIENT_SECRET: [&str; 2] =
    ["sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"];
const SCOPE: &str = "sasl.oauthbearer.scope";
const GRANT_TYPE: &str = "sasl.oauthbearer.grant.type";

/// The properties of `sasl.oauthbearer.method` = `oidc` that are supported.
const UNDERSTOOD: [&str; 9] = [
    "sasl.oauthbearer.method",
    ENDPOINT,
    CLIENT_ID[0],
    CLIENT_ID[1],
    CLIENT_SECRET[0],
    CLIENT_SECRET[1],
    SCOPE,
    CA_FILE,
    CA_PEM,
];

/// A wrong property: its name, and the expected form.
type Wrong = (&'static str, &'static str);

/// Whether this property of an authorization server is understood, with this value.
///
/// # Errors
///
/// What is, without the value.
pub(super) fn check_of_server(name: &str, value: &str) -> Result<(), &'static str> {
    match name {
        GRANT_TYPE if value == "client_credentials" => Ok(()),
        GRANT_TYPE => Err("only client_credentials is supported"),
        name if UNDERSTOOD.contains(&name) => Ok(()),
        _ => Err(
            "it is not supported; tokens are asked for with client.id, client.secret, scope and \
            token.endpoint.url",
        ),
    }
}

impl AuthorizationServer {
    /// The server that these properties name. `ca_pem` is what is trusted instead of Mozilla's
    /// authorities.
    ///
    /// # Errors
    ///
    /// All that is wrong with them, without a secret.
    pub(super) fn of(
        properties: &BTreeMap<String, SecretString>,
        ca_pem: Option<String>,
    ) -> Result<Self, Vec<Wrong>> {
        let value = |name: &str| {
            properties
                .get(name)
                .map(|value| value.expose_secret().to_owned())
                .filter(|value| !value.is_empty())
        };
        let one_of = |names: [&'static str; 2]| {
            let missing = || (names[0], "needed with sasl.oauthbearer.method = oidc");
            names.iter().find_map(|name| value(name)).ok_or_else(missing)
        };
        let (endpoint, id, secret) =
            (endpoint(value(ENDPOINT)), one_of(CLIENT_ID), one_of(CLIENT_SECRET));
        match (endpoint, id, secret) {
            (Ok(endpoint), Ok(client_id), Ok(secret)) => Ok(Self {
                endpoint,
                client_id,
                client_secret: secret.into(),
                scope: value(SCOPE),
                ca_pem,
            }),
            (endpoint, id, secret) => {
                Err([endpoint.err(), id.err(), secret.err()].into_iter().flatten().collect())
            }
        }
    }
}

fn endpoint(value: Option<String>) -> Result<Url, Wrong> {
    const EXPECTED: &str =
        "expected the token endpoint's URL, http or https, without user and password";
    let url = value.and_then(|value| Url::parse(&value).ok()).filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    });
    url.ok_or((ENDPOINT, EXPECTED))
}

/// Default lifetime of a token, as in librdkafka.
const LIFE: Duration = Duration::from_secs(3_600);

/// Input of an unsecured token, in librdkafka's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsecuredToken {
    /// The principal.
    pub principal: String,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// The scope, if any.
    pub scope: Option<Vec<String>>,
    /// The claim that holds the scope.
    pub scope_claim: String,
    /// Lifetime of a token.
    pub life: Duration,
}

/// librdkafka's own bound.
const LIFE_SECONDS_MAX: u32 = 2_147_483_647;

/// The form of `sasl.oauthbearer.config`.
const FORM: &str = "expected principal=NAME, and if wanted lifeSeconds=1 to 2147483647, \
    scope=NAME,…, principalClaimName=NAME, scopeClaimName=NAME, with a blank between two";

impl UnsecuredToken {
    /// Reads `sasl.oauthbearer.config`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, without quoting it: it may hold secrets.
    pub(super) fn parse(config: &str) -> Result<Self, &'static str> {
        let mut token = Self {
            principal: String::new(),
            principal_claim: "sub".to_owned(),
            scope: None,
            scope_claim: "scope".to_owned(),
            life: LIFE,
        };
        let mut seen = Vec::new();
        for entry in config.split(' ').filter(|entry| !entry.is_empty()) {
            let Some((name, value)) = entry.split_once('=').filter(|(_, value)| !value.is_empty())
            else {
                return Err(FORM);
            };
            if seen.contains(&name) {
                return Err("names something twice");
            }
            seen.push(name);
            match name {
                "principal" => token.principal = value.to_owned(),
                "principalClaimName" => token.principal_claim = value.to_owned(),
                "scopeClaimName" => token.scope_claim = value.to_owned(),
                "scope" => {
                    let names = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
                    token.scope = Some(names.collect());
                }
                "lifeSeconds" => {
                    let seconds = value
                        .parse::<u32>()
                        .ok()
                        .filter(|seconds| (1..=LIFE_SECONDS_MAX).contains(seconds));
                    token.life = Duration::from_secs(seconds.ok_or(FORM)?.into());
                }
                name if name.starts_with("extension_") => {
                    return Err("extensions are not supported");
                }
                _ => return Err(FORM),
            }
        }
        if token.principal.is_empty() { Err(FORM) } else { Ok(token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        let wrong = [
            "",
            "hunter2",
            "principal=",
            "scope=a",
            "principal=hunter2 lifeSeconds=0",
            "principal=hunter2 lifeSeconds=1.5",
            "principal=hunter2 password=x",
            "principal=hunter2 principal=b",
            "principal=hunter2 extension_a=b",
        ];
        for config in wrong {
            let problem = UnsecuredToken::parse(config).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
