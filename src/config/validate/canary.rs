//! `[canary]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::check::{Check, unless_empty};
use crate::config::listen::listen_address;
use crate::config::options::Canary;
use crate::config::raw::RawCanary;

impl Check<'_> {
    pub(super) fn canary(&mut self, raw: RawCanary) -> Canary {
        let account = &raw.account;
        let is_legal = |c: char| !c.is_control() && c != '\u{feff}';
        if account.is_empty()
            || account.len() > 64
            || matches!(account.as_str(), "." | "..")
            || !account.chars().all(is_legal)
        {
            let allowed = "allowed are 1 to 64 bytes without control characters, except . and ..";
            self.refuse("canary.account", account, allowed);
        }
        let https =
            self.http_url("canary.api_url", &raw.api_url, "the token is in canary.token_file");
        if !raw.ca_file.is_empty() && !https {
            let reason = "has no effect unless canary.api_url starts with https://";
            self.refuse("canary.ca_file", &raw.ca_file, reason);
        }
        let listen = listen_address(&raw.listen).unwrap_or_else(|expected| {
            self.refuse("canary.listen", &raw.listen, expected);
            SocketAddr::from(([127, 0, 0, 1], 8081))
        });
        Canary {
            interval: self.milliseconds("canary.interval_ms", raw.interval_ms, 1_000..=3_600_000),
            timeout: self.milliseconds("canary.timeout_ms", raw.timeout_ms, 1_000..=3_600_000),
            token_file: unless_empty(raw.token_file).map(PathBuf::from),
            ca_file: unless_empty(raw.ca_file).map(PathBuf::from),
            account: raw.account,
            api_url: raw.api_url,
            listen,
        }
    }
}
