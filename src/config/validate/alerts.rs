//! `[alerts]`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::check::{Check, unless_empty};
use crate::config::options::{Alerts, Webhook};
use crate::config::raw::{RawAlerts, RawWebhook};

/// The most lines of a rule.
const LINES_MAX: usize = 20;

/// The longest name of a webhook.
const NAME_BYTES_MAX: usize = 200;

/// Bytes of a key, as Standard Webhooks has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a signing secret begins with.
const SECRET_PREFIX: &str = "whsec_";

const RULES: [&str; 3] = ["quota", "pace", "seats"];

impl Check<'_> {
    pub(super) fn alerts(&mut self, raw: RawAlerts, events_topic: &str) -> Alerts {
        if !raw.topic.is_empty() {
            self.topic_name("alerts.topic", &raw.topic);
        }
        if raw.topic == events_topic {
            let reason = "is kafka.topic, whose records are counted; use another topic";
            self.refuse("alerts.topic", &raw.topic, reason);
        }
        let webhooks: Vec<Webhook> = raw
            .webhooks
            .into_iter()
            .enumerate()
            .map(|(index, webhook)| self.webhook(&format!("alerts.webhooks.{index}"), webhook))
            .collect();
        for (index, webhook) in webhooks.iter().enumerate() {
            if webhooks[..index].iter().any(|other| other.url == webhook.url) {
                let key = format!("alerts.webhooks.{index}.url");
                self.refuse(&key, &webhook.url, "is there twice; join the two");
            } else if webhooks[..index].iter().any(|other| other.name == webhook.name) {
                let key = format!("alerts.webhooks.{index}.name");
                self.refuse(&key, &webhook.name, "is the name or the address of another one");
            }
        }
        Alerts {
            enabled: raw.enabled,
            quota_percent: self.percents("alerts.quota_percent", &raw.quota_percent),
            seats_percent: self.percents("alerts.seats_percent", &raw.seats_percent),
            topic: unless_empty(raw.topic),
            webhooks,
        }
    }

    /// Lines, ascending, each once.
    fn percents(&mut self, key: &str, raw: &[i64]) -> Vec<u32> {
        if raw.len() > LINES_MAX {
            let message = format!(": {} lines; allowed are {LINES_MAX} at most", raw.len());
            self.problem(key, message);
        }
        let mut percents: Vec<u32> =
            raw.iter().map(|&percent| self.integer(key, percent, 1..=1_000)).collect();
        percents.sort_unstable();
        percents.dedup();
        percents
    }

    fn webhook(&mut self, key: &str, raw: RawWebhook) -> Webhook {
        let url = self.webhook_url(&format!("{key}.url"), &raw.url);
        if raw.name.len() > NAME_BYTES_MAX || raw.name.starts_with("kafka:") {
            let reason = "a name has 200 bytes at most, and does not begin with kafka:";
            self.refuse(&format!("{key}.name"), &raw.name, reason);
        }
        if let Some(account) = raw.accounts.iter().find(|account| account.trim().is_empty()) {
            self.refuse(&format!("{key}.accounts"), account, "no account has such an id");
        }
        let secret_key = format!("{key}.secret_file");
        let secret = self.secret_file(&secret_key, &raw.secret_file).unwrap_or_default();
        if !secret.is_empty() || !self.problems.iter().any(|problem| problem.key == secret_key) {
            let key_bytes = secret
                .strip_prefix(SECRET_PREFIX)
                .and_then(|text| STANDARD.decode(text).ok())
                .map(|bytes| bytes.len());
            if !key_bytes.is_some_and(|bytes| KEY_BYTES.contains(&bytes)) {
                let reason = "the file must hold whsec_ and 24 to 64 bytes in base64, such as the \
                    output of: echo whsec_$(openssl rand -base64 32)";
                self.refuse(&secret_key, &raw.secret_file, reason);
            }
        }
        for rule in raw.rules.iter().filter(|rule| !RULES.contains(&rule.as_str())) {
            let reason = "allowed are quota, pace and seats";
            self.refuse(&format!("{key}.rules"), rule, reason);
        }
        Webhook {
            name: if raw.name.is_empty() { url.clone() } else { raw.name },
            url,
            secret_file: PathBuf::from(raw.secret_file),
            secret: secret.into(),
            accounts: raw.accounts,
            rules: raw.rules,
        }
    }

    /// The URL as it is requested: with the characters that a request may have, and once in one
    /// form.
    fn webhook_url(&mut self, key: &str, text: &str) -> String {
        const EXPECTED: &str = "expected http://HOST/PATH or https://HOST/PATH";
        let parsed = Url::parse(text);
        match &parsed {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let message = ": holds a user or a password; a receiver knows us by the signature";
                self.problem(key, message.to_owned());
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                if url.fragment().is_some() {
                    self.problem(key, ": must end before `#`".to_owned());
                }
            }
            // What cannot be parsed may hold a password.
            Ok(_) | Err(_) => self.problem(key, format!(": not such a URL; {EXPECTED}")),
        }
        parsed.map_or_else(|_| text.to_owned(), String::from)
    }
}
