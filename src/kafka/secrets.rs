//! Removes secrets from texts.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{MASK, is_secret_property};

/// Shorter texts occur by chance, and masking them would garble the message.
const SECRET_CHARS_MIN: usize = 4;

/// The secrets of one configuration, longest first. librdkafka quotes values in some of its errors,
/// whole or in part.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(properties: &BTreeMap<String, SecretString>) -> Self {
        let values = properties
            .iter()
            .filter(|(name, _)| is_secret_property(name))
            .map(|(_, value)| value.expose_secret());
        let mut parts: Vec<String> = values.flat_map(parts).map(str::to_owned).collect();
        parts.retain(|part| part.chars().count() >= SECRET_CHARS_MIN);
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        Self(parts)
    }

    /// The text with every secret masked.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.0 {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), MASK);
            }
        }
        masked
    }
}

/// A secret and its parts: the lines of a key, or the settings of a list and their values.
fn parts(secret: &str) -> Vec<&str> {
    if secret.contains("-----BEGIN") {
        return secret.lines().filter(|line| !line.starts_with("-----")).collect();
    }
    if !secret.contains('=') {
        return vec![secret];
    }
    let settings = secret.split_ascii_whitespace();
    let values = settings.clone().filter_map(|setting| Some(setting.split_once('=')?.1));
    std::iter::once(secret).chain(settings).chain(values).collect()
}

// No secret is printed.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_whole_and_in_part() {
        let properties = [
            ("sasl.password", "hunter2"),
            ("sasl.username", "worker"),
            ("sasl.oauthbearer.config", "principal=worker7 extension_key=swordfish"),
            ("ssl.key.pem", "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----"),
        ];
        let properties =
            properties.map(|(name, value)| (name.to_owned(), SecretString::from(value)));
        let secrets = Secrets::of(&BTreeMap::from(properties));
        let check = |text: &str, expected: &str| assert_eq!(secrets.mask(text), expected);
        check("user worker, password hunter2", "user worker, password ***");
        check("beginning at: extension_key=swordfish", "beginning at: ***");
        check("sword: swordfish", "sword: ***");
        check(
            "not a key: MIGHAgEA, -----BEGIN PRIVATE KEY-----",
            "not a key: ***, -----BEGIN PRIVATE KEY-----",
        );
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}
