//! An authorization server that is asked for a token by client credentials (RFC 6749, section 4.4),
//! as librdkafka does where it is built with libcurl.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rdkafka::client::OAuthToken;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::{AuthorizationServer, MASK};

/// Time limit of the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The largest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// The longest text of the server's that is repeated, characters.
const TOLD_CHARS_MAX: usize = 200;

/// Asks for a token at `now_ms`, milliseconds since 1970. Blocks for 20 s at most.
///
/// # Errors
///
/// Why there is none, with the endpoint and without the client's secret.
pub(super) fn ask(server: &AuthorizationServer, now_ms: i64) -> Result<OAuthToken, String> {
    let endpoint = &server.endpoint;
    let secret = server.client_secret.expose_secret();
    // A server may repeat what it was told.
    let failed = |reason: String| {
        format!("the token endpoint {endpoint} gives none: {}", reason.replace(secret, MASK))
    };
    let agent = agent(server.ca_pem.as_deref()).map_err(failed)?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let credentials = format!("{}:{}", encoded(&server.client_id), encoded(secret));
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(server.scope.as_deref().map(|scope| ("scope", scope)));
    let request = agent
        .post(endpoint.as_str())
        .header("authorization", format!("Basic {}", STANDARD.encode(credentials)))
        .header("accept", "application/json");
    let mut answer = request.send_form(form).map_err(|error| failed(unanswered(&error)))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let body = body.map_err(|error| failed(error.to_string()))?;
    if !status.is_success() {
        return Err(failed(refusal(status.as_u16(), &body, &server.client_id)));
    }
    token(&body, &server.client_id, now_ms).map_err(|reason| failed(reason.to_owned()))
}

/// Redirects are not followed: the secret is for the endpoint alone.
fn agent(ca_pem: Option<&str>) -> Result<ureq::Agent, String> {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = ca_pem {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates =
            certificates.map_err(|error| format!("https.ca.location or https.ca.pem: {error}"))?;
        if certificates.is_empty() {
            return Err("https.ca.location or https.ca.pem holds no certificate in PEM".to_owned());
        }
        let trusted = certificates
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        tls = tls.root_certs(RootCerts::Specific(Arc::new(trusted)));
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .tls_config(tls.build());
    Ok(config.build().new_agent())
}

/// Why there is no answer.
fn unanswered(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            format!("{io}; see https.ca.location in [kafka.properties]")
        }
        error => error.to_string(),
    }
}

/// Why the server refuses, in its own words where it has any (RFC 6749, section 5.2).
fn refusal(status: u16, body: &str, client_id: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let words = ["error", "error_description"].iter().filter_map(|name| answer[name].as_str());
    let words: Vec<String> = words.map(printable).collect();
    let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join(": ")) };
    let hint = match status {
        400 | 401 | 403 => {
            "; see sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret in \
            [kafka.properties]"
        }
        _ => "",
    };
    format!("it answers client {client_id:?} with status {status}{words}{hint}")
}

fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(TOLD_CHARS_MAX).collect()
}

/// The token in an answer. Its life is what the token says where it is a JWT, else what the answer
/// says.
fn token(body: &str, client_id: &str, now_ms: i64) -> Result<OAuthToken, &'static str> {
    let answer: Value = serde_json::from_str(body).map_err(|_| "the answer is not JSON")?;
    let token = answer["access_token"]
        .as_str()
        .filter(|token| !token.is_empty())
        .ok_or("it holds no access_token")?;
    let claims = claims(token).unwrap_or_default();
    let expires_in_ms = || now_ms.checked_add(answer["expires_in"].as_i64()?.checked_mul(1_000)?);
    let lifetime_ms = claims["exp"]
        .as_i64()
        .and_then(|seconds| seconds.checked_mul(1_000))
        .or_else(expires_in_ms);
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: claims["sub"].as_str().unwrap_or(client_id).to_owned(),
        lifetime_ms: lifetime_ms
            .ok_or("neither the token nor the answer says when the token ends (exp, expires_in)")?,
    })
}

/// The claims of a JWT; `None` where the token is none.
fn claims(token: &str) -> Option<Value> {
    let claims = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_as_long_as_it_says() {
        let jwt =
            format!("e30.{}.", URL_SAFE_NO_PAD.encode(r#"{"sub":"worker","exp":1700003600}"#));
        let jwt = token(
            &format!(r#"{{"access_token":"{jwt}","expires_in":5}}"#),
            "id",
            1_700_000_000_500,
        )
        .unwrap();
        assert_eq!((jwt.principal_name.as_str(), jwt.lifetime_ms), ("worker", 1_700_003_600_000));
        let opaque =
            token(r#"{"access_token":"x","expires_in":5}"#, "id", 1_700_000_000_500).unwrap();
        assert_eq!((opaque.principal_name.as_str(), opaque.lifetime_ms), ("id", 1_700_000_005_500));
    }

    #[test]
    fn an_answer_without_a_token_is_told() {
        let problem = |body: &str| token(body, "id", 0).err().unwrap();
        assert_eq!(problem("<html>"), "the answer is not JSON");
        assert_eq!(problem(r#"{"token_type":"Bearer"}"#), "it holds no access_token");
        assert!(problem(r#"{"access_token":"x"}"#).contains("expires_in"));
        let body = r#"{"error":"invalid_client","error_description":"no\nsuch client"}"#;
        let told = refusal(401, body, "id");
        assert!(
            told.starts_with(
                "it answers client \"id\" with status 401 (invalid_client: nosuch client); see"
            ),
            "{told}"
        );
        assert_eq!(refusal(503, "<html>", "id"), "it answers client \"id\" with status 503");
    }
}
