//! Tokens for OAUTHBEARER without an authorization server.
//!
//! librdkafka has a maker of them, but it is called for the first token alone: rdkafka takes the events that ask for the
//! next ones, and answers them by its client's context.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use rdkafka::client::OAuthToken;
use serde_json::{Map, Value, json};

use crate::config::UnsecuredToken;

/// The next token; for a client's context to answer with.
///
/// # Errors
///
/// Where the configuration has nothing to make tokens of.
pub fn next(token: Option<&UnsecuredToken>) -> Result<OAuthToken, &'static str> {
    let token = token.ok_or("OAUTHBEARER has no sasl.oauthbearer.config to make a token of")?;
    Ok(issue(token, Utc::now().timestamp_millis()))
}

/// A token that is made at `now_ms`, milliseconds since 1970.
fn issue(token: &UnsecuredToken, now_ms: i64) -> OAuthToken {
    let lifetime_ms = now_ms.saturating_add(i64::try_from(token.life.as_millis()).unwrap_or(i64::MAX));
    // Whole seconds, as others round them: a token must not be from the future, nor end later than said.
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
        let environment = environment.map(|(name, value)| (format!("SEATMETER__KAFKA__PROPERTIES__{name}"), value));
        let config = crate::config::load(None, environment.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let token = issue(&config.kafka.unsecured_token.unwrap(), 1_700_000_000_999);
        let parts: Vec<&str> = token.token.split('.').collect();
        assert_eq!((parts[0], parts[2]), ("eyJhbGciOiJub25lIn0", ""));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_who_and_for_how_long() {
        let expected = json!({"sub": "worker", "iat": 1_700_000_000, "exp": 1_700_003_600});
        assert_eq!(claims("principal=worker"), expected);
        let expected = json!({"who": "a=b", "iat": 1_700_000_000, "exp": 1_700_000_020, "groups": ["x", "y"]});
        assert_eq!(
            claims(" principal=a=b  principalClaimName=who lifeSeconds=20 scope=x,,y scopeClaimName=groups"),
            expected
        );
    }
}
