//! Tokens for OAUTHBEARER: those of an authorization server, and unsecured ones.
//!
//! librdkafka has a maker of unsecured tokens, but it is called for the first one alone: rdkafka
//! takes the events that ask for the next ones, and answers them by its client's context. It asks
//! again after four fifths of a token's life, and 10 s after each failure.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use rdkafka::client::OAuthToken;
use rdkafka::error::RDKafkaErrorCode;
use serde_json::{Map, Value, json};

use super::authorization_server;
use crate::config::{AuthorizationServer, TokenSource, UnsecuredToken};

/// How long a client waits for an authorization server before it goes on with its other work. What
/// comes later serves the next time that it asks.
const WAIT: Duration = Duration::from_secs(2);

/// How it is said that there is no token.
pub(super) const NO_TOKEN: &str = "no token for OAUTHBEARER";

type Answer = Result<OAuthToken, String>;

/// Tells that there is no token, when that begins and when its reason changes, and that there is
/// one again.
type Tell = fn(Result<(), &str>);

/// A client's complaint: code and words.
type Complaint = (Option<RDKafkaErrorCode>, String);

/// Gives a client its tokens.
#[derive(Debug)]
pub struct Tokens {
    source: Option<TokenSource>,
    tell: Tell,
    /// The request that the authorization server has not answered yet. Locked during the wait for
    /// its answer.
    asked: Mutex<Option<Receiver<Answer>>>,
    /// Why there is no new token; `None` while there is one.
    failure: Mutex<Option<String>>,
}

impl Tokens {
    /// Tokens of this source; `tell` reports that there are none.
    pub fn new(source: Option<TokenSource>, tell: Tell) -> Self {
        Self { source, tell, asked: Mutex::default(), failure: Mutex::default() }
    }

    /// The next token, for the client's context. Waits for 2 s at most.
    ///
    /// # Errors
    ///
    /// Why there is none, without any secret of ours.
    pub fn next(&self) -> Result<OAuthToken, String> {
        let answer = match &self.source {
            Some(TokenSource::Unsecured(token)) => Ok(issue(token, Utc::now().timestamp_millis())),
            Some(TokenSource::Server(server)) => ask(server, &mut lock(&self.asked))
                .unwrap_or_else(|| {
                    // While it is asked again, why it gave none before is still what there is to
                    // say.
                    let known = lock(&self.failure).clone();
                    Err(known.unwrap_or_else(|| {
                        format!("the token endpoint {} has not answered yet", server.endpoint)
                    }))
                }),
            None => Err("nothing in [kafka.properties] tells where tokens come from".to_owned()),
        };
        let failure = answer.as_ref().err();
        let before = std::mem::replace(&mut *lock(&self.failure), failure.cloned());
        match failure {
            Some(reason) if Some(reason) != before.as_ref() => (self.tell)(Err(reason)),
            None if before.is_some() => (self.tell)(Ok(())),
            _ => {}
        }
        answer
    }

    /// The cause of a client's complaint: the lack of a new token, where there is none. Brokers end
    /// connections with their tokens, and refuse expired ones, without saying why there is no
    /// other.
    pub fn behind(&self, complaint: Complaint) -> Complaint {
        match &*lock(&self.failure) {
            Some(reason) => {
                (Some(RDKafkaErrorCode::Authentication), format!("{NO_TOKEN}: {reason}"))
            }
            None => complaint,
        }
    }
}

// The values are whole between any two calls, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the server, on a thread of its own, unless it has been asked already; `None` where it has
/// not answered yet.
fn ask(server: &AuthorizationServer, asked: &mut Option<Receiver<Answer>>) -> Option<Answer> {
    let receiver = asked.take().unwrap_or_else(|| {
        let (answer, receiver) = mpsc::sync_channel(1);
        let server = server.clone();
        std::thread::spawn(move || {
            // The answer is not needed once the client is gone.
            let _ = answer.send(authorization_server::ask(&server, Utc::now().timestamp_millis()));
        });
        receiver
    });
    match receiver.recv_timeout(WAIT) {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Timeout) => {
            *asked = Some(receiver);
            None
        }
        Err(RecvTimeoutError::Disconnected) => {
            Some(Err(format!("asking the token endpoint {} broke off", server.endpoint)))
        }
    }
}

/// A token that is made at `now_ms`, milliseconds since 1970.
fn issue(token: &UnsecuredToken, now_ms: i64) -> OAuthToken {
    let lifetime_ms =
        now_ms.saturating_add(i64::try_from(token.life.as_millis()).unwrap_or(i64::MAX));
    // Rounded to whole seconds like other implementations: a token must not be from the future, nor
    // expire later than stated.
    let (issued, expires) = (now_ms / 1_000, lifetime_ms / 1_000);
    let mut claims = Map::new();
    claims.insert(token.principal_claim.clone(), Value::from(token.principal.as_str()));
    claims.insert("iat".to_owned(), issued.into());
    claims.insert("exp".to_owned(), expires.into());
    if let Some(scope) = &token.scope {
        claims.insert(token.scope_claim.clone(), scope.clone().into());
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    OAuthToken {
        token: format!("{}.{}.", part(&json!({"alg": "none"})), part(&Value::Object(claims))),
        principal_name: token.principal.clone(),
        lifetime_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(config: &str) -> Value {
        let environment = [
            ("SECURITY_PROTOCOL", "SASL_SSL"),
            ("SASL_MECHANISM", "OAUTHBEARER"),
            ("ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT", "true"),
            ("SASL_OAUTHBEARER_CONFIG", config),
        ];
        let environment = environment
            .map(|(name, value)| (format!("SEATMETER__KAFKA__PROPERTIES__{name}"), value));
        let config =
            crate::config::load(None, environment.map(|(name, value)| (name.into(), value.into())))
                .unwrap();
        let Some(TokenSource::Unsecured(source)) = config.kafka.token_source else {
            panic!("it is one")
        };
        let token = issue(&source, 1_700_000_000_999);
        let parts: Vec<&str> = token.token.split('.').collect();
        assert_eq!((parts[0], parts[2]), ("eyJhbGciOiJub25lIn0", ""));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_who_and_for_how_long() {
        let expected = json!({"sub": "worker", "iat": 1_700_000_000, "exp": 1_700_003_600});
        assert_eq!(claims("principal=worker"), expected);
        let expected =
            json!({"who": "a=b", "iat": 1_700_000_000, "exp": 1_700_000_020, "groups": ["x", "y"]});
        assert_eq!(
            claims(
                " principal=a=b  principalClaimName=who lifeSeconds=20 scope=x,,y \
                scopeClaimName=groups"
            ),
            expected
        );
    }
}
