//! Tokens, and the keys that they are signed with.

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

pub(super) const SECRET: &str = "a secret of at least thirty-two bytes";
pub(super) const NEXT_SECRET: &str = "the secret that replaces it some day";

pub(super) fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys").join(name)
}

pub(super) fn key_bytes(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// A token signed with the first secret, with these claims and an expiry in the future.
pub(super) fn token(claims: Value) -> String {
    signed(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

pub(super) fn signed(header: &Header, claims: Value, key: &EncodingKey) -> String {
    let mut all = json!({"sub": "test", "exp": now() + 600});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    encode(header, &all, key).unwrap()
}

pub(super) fn grants(account: &str, organization: Option<&str>, role: &str) -> Value {
    match organization {
        Some(organization) => {
            json!({"grants": [{"account": account, "organization": organization, "role": role}]})
        }
        None => json!({"grants": [{"account": account, "role": role}]}),
    }
}

pub(super) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

pub(super) fn unsigned(claims: &Value) -> String {
    use base64::Engine as _;
    let part =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}
