//! Who may ask: by the page that a browser asks for, and by password. All of it is told by a request's head.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::request::Credentials;
use crate::embedded::libchdb::EngineError;

/// Browsers say by it from where a request comes.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The engine's one user.
pub(super) const USER: &str = "default";

/// What a request must show to be answered.
#[derive(Debug)]
pub(super) struct Door {
    /// SHA-256, so that comparing takes the same time for any guess.
    password: [u8; 32],
    /// Names of this server beside addresses and `localhost`.
    names: Vec<String>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Door {
    pub(super) fn new(password: &SecretString, names: &[String]) -> Door {
        Door { password: digest(password.expose_secret()), names: names.to_vec() }
    }

    /// Refuses what a web page of somebody else sends from a user's browser. A page cannot hide its origin, nor that it asks
    /// another site, nor, if it renamed itself to 127.0.0.1 by DNS, the name that it was loaded from.
    ///
    /// # Errors
    ///
    /// A foreign `Host`, `Origin` or `Sec-Fetch-Site`, or more than one of them.
    pub(super) fn refuse_web_pages(&self, headers: &HeaderMap) -> Result<(), EngineError> {
        let host = only(headers, HOST)?;
        if host.is_some_and(|host| !self.is_own(host)) {
            let text = "The name in Host is none of this server: ask it by its address, by localhost, or by a name that it \
                        was started with (--host-name)";
            return Err(EngineError::new(497, "ACCESS_DENIED", text));
        }
        let is_foreign = only(headers, ORIGIN)?.is_some_and(|origin| {
            let asked = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            asked.is_none() || asked != host
        });
        let crosses = only(headers, SEC_FETCH_SITE)?.is_some_and(|site| !matches!(site, "none" | "same-origin"));
        if is_foreign || crosses {
            return Err(EngineError::new(497, "ACCESS_DENIED", "Requests from web pages of others are refused"));
        }
        Ok(())
    }

    /// # Errors
    ///
    /// It is not the user, or not the password.
    pub(super) fn check_password(&self, credentials: &Credentials) -> Result<(), EngineError> {
        let user = credentials.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(USER);
        let given = credentials.password.as_deref().unwrap_or("");
        if user == USER && digest(given) == self.password {
            return Ok(());
        }
        let text = format!("{user}: Authentication failed: password is incorrect, or there is no user with such name");
        Err(EngineError::new(516, "AUTHENTICATION_FAILED", &text))
    }

    /// A host name of a request that no DNS server has made up: an address, localhost, or a name given at the start.
    fn is_own(&self, host: &str) -> bool {
        // An address with a port, or either without one; IPv6 is in brackets.
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            _ => host,
        };
        let name = without_port.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(without_port);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok()
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The one value of a header; a value that is no text is a foreign one.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, EngineError> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value: &HeaderValue| value.to_str().unwrap_or("\u{fffd}"))),
        _ => Err(EngineError::new(36, "BAD_ARGUMENTS", &format!("The request has more than one {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::new(&SecretString::from("secret"), &["clickhouse.lan".to_owned()])
    }

    fn refused(headers: &[(&'static str, &'static str)]) -> Option<u32> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        door().refuse_web_pages(&map).err().map(|error| error.code)
    }

    #[test]
    fn only_names_that_dns_cannot_give_are_own() {
        for host in
            ["localhost", "LOCALHOST:8123", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8123", "Clickhouse.lan:1"]
        {
            assert_eq!(refused(&[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8123", "", "[::1].evil", "127.0.0.1.evil:80", "lan"] {
            assert_eq!(refused(&[("host", host)]), Some(497), "{host}");
        }
        assert_eq!(refused(&[("host", "localhost"), ("host", "localhost")]), Some(36));
    }

    #[test]
    fn pages_of_others_are_refused() {
        let own = ("host", "127.0.0.1:8123");
        for header in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(refused(&[own, header]), Some(497), "{header:?}");
        }
        for header in
            [("origin", "http://127.0.0.1:8123"), ("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")]
        {
            assert_eq!(refused(&[own, header]), None, "{header:?}");
        }
        assert_eq!(refused(&[("origin", "http://evil.example")]), Some(497), "without a Host");
        assert_eq!(refused(&[]), None, "as HTTP/1.0 asks");
    }

    #[test]
    fn the_user_shows_the_password() {
        let check = |user: Option<&str>, password: Option<&str>| {
            let credentials = Credentials { user: user.map(str::to_owned), password: password.map(str::to_owned) };
            door().check_password(&credentials).err().map(|error| error.code)
        };
        assert_eq!(check(None, Some("secret")), None);
        assert_eq!(check(Some("default"), Some("secret")), None);
        assert_eq!(check(Some(""), Some("secret")), None);
        for (user, password) in
            [(None, None), (None, Some("")), (None, Some("Secret")), (Some("admin"), Some("secret"))]
        {
            assert_eq!(check(user, password), Some(516), "{user:?} {password:?}");
        }
    }
}
