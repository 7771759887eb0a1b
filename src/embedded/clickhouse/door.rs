//! Access control by the head of a request: the origin of browser requests, and the password.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::request::Credentials;
use crate::embedded::libchdb::EngineError;

/// Set by browsers: the origin of a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The engine's one user.
pub(super) const USER: &str = "default";

/// Credentials that a request must present.
#[derive(Debug)]
pub(super) struct Door {
    /// SHA-256, so that comparing takes the same time for any guess.
    password: [u8; 32],
    /// Names and addresses of this server beside its own address and `localhost`.
    names: Vec<String>,
    /// The address that is listened on.
    listen: IpAddr,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Door {
    pub(super) fn new(password: &SecretString, names: &[String], listen: IpAddr) -> Door {
        Door {
            password: digest(password.expose_secret()),
            names: names.to_vec(),
            listen: listen.to_canonical(),
        }
    }

    /// Refuses requests that a foreign web page sends from a user's browser. A page cannot hide its
    /// origin, nor that a request is cross-site, nor, with DNS rebinding to 127.0.0.1, the name
    /// that it was loaded from. `local` is this end of the connection.
    ///
    /// # Errors
    ///
    /// A foreign `Host`, `Origin` or `Sec-Fetch-Site`, or more than one of them; no `Host` where
    /// HTTP asks for one, or another one than an absolute target names.
    pub(super) fn refuse_web_pages<B>(
        &self,
        request: &Request<B>,
        local: IpAddr,
    ) -> Result<(), EngineError> {
        let headers = request.headers();
        let host = only(headers, HOST)?;
        if host.is_none() && request.version() > Version::HTTP_10 {
            return Err(bad_host("no Host"));
        }
        if request.uri().authority().is_some_and(|target| host.is_some_and(|host| *target != host))
        {
            return Err(bad_host("another Host than its target"));
        }
        let asked = host.or(request.uri().authority().map(Authority::as_str));
        if asked.is_some_and(|asked| !self.is_own(asked, local)) {
            let text = "The name in Host is none of this server: ask it by its address, by \
                localhost, or by a name or address that it was started with (--host-name)";
            return Err(EngineError::new(497, "ACCESS_DENIED", text));
        }
        let is_foreign = only(headers, ORIGIN)?.is_some_and(|origin| {
            let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            page.is_none() || page != asked
        });
        let crosses = only(headers, SEC_FETCH_SITE)?
            .is_some_and(|site| !matches!(site, "none" | "same-origin"));
        if is_foreign || crosses {
            return Err(EngineError::new(
                497,
                "ACCESS_DENIED",
                "Requests from web pages of others are refused",
            ));
        }
        Ok(())
    }

    /// # Errors
    ///
    /// Wrong user or password.
    pub(super) fn check_password(&self, credentials: &Credentials) -> Result<(), EngineError> {
        let user = credentials.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(USER);
        let given = credentials.password.as_deref().unwrap_or("");
        if user == USER && digest(given) == self.password {
            return Ok(());
        }
        let text = format!(
            "{user}: Authentication failed: password is incorrect, or there is no user with such \
            name"
        );
        Err(EngineError::new(516, "AUTHENTICATION_FAILED", &text))
    }

    /// A host of a request that no DNS server has made up, and that leads here: localhost, a
    /// loopback address, the address that was connected to or is listened on, or what was given at
    /// the start.
    fn is_own(&self, host: &str, local: IpAddr) -> bool {
        // An address with a port, or either without one; IPv6 is in brackets.
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            _ => host,
        };
        let name = without_port
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(without_port);
        let is_here =
            |address: IpAddr| address.is_loopback() || address == local || address == self.listen;
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| is_here(address.to_canonical()))
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn bad_host(what: &str) -> EngineError {
    EngineError::new(36, "BAD_ARGUMENTS", &format!("The request has {what}"))
}

/// The only value of a header; a value that is not text counts as foreign.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, EngineError> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value: &HeaderValue| value.to_str().unwrap_or("\u{fffd}"))),
        _ => Err(EngineError::new(
            36,
            "BAD_ARGUMENTS",
            &format!("The request has more than one {name}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        let names = ["clickhouse.lan".to_owned(), "192.0.2.1".to_owned()];
        Door::new(&SecretString::from("secret"), &names, "0.0.0.0".parse().unwrap())
    }

    fn refused_as(
        version: Version,
        target: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Option<u32> {
        let mut request = Request::builder().version(version).uri(target).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let local = "10.0.0.1".parse().unwrap();
        door().refuse_web_pages(&request, local).err().map(|error| error.code)
    }

    fn refused(headers: &[(&'static str, &'static str)]) -> Option<u32> {
        refused_as(Version::HTTP_11, "/", headers)
    }

    #[test]
    fn only_names_that_dns_cannot_give_are_own() {
        for host in [
            "localhost",
            "LOCALHOST:8123",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]",
            "[::1]:8123",
            "[::ffff:127.0.0.1]",
            "Clickhouse.lan:1",
            "192.0.2.1:8123",
            "10.0.0.1:8123",
            "0.0.0.0:8123",
        ] {
            assert_eq!(refused(&[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8123",
            "",
            "[::1].evil",
            "127.0.0.1.evil:80",
            "lan",
            "10.0.0.2",
            "8.8.8.8:8123",
            "[::2]",
            "localhost@evil.example",
            "me@localhost",
        ] {
            assert_eq!(refused(&[("host", host)]), Some(497), "{host}");
        }
        assert_eq!(refused(&[("host", "localhost"), ("host", "localhost")]), Some(36));
    }

    #[test]
    fn a_request_names_one_host() {
        assert_eq!(refused(&[]), Some(36));
        assert_eq!(refused_as(Version::HTTP_10, "/", &[]), None);
        let target = |target: &str, host| refused_as(Version::HTTP_11, target, &[("host", host)]);
        assert_eq!(target("http://localhost:80/", "LOCALHOST:80"), None);
        assert_eq!(target("http://evil.example/", "localhost"), Some(36));
        assert_eq!(target("http://localhost/", "evil.example"), Some(36));
        assert_eq!(target("http://evil.example/", "evil.example"), Some(497));
        assert_eq!(refused_as(Version::HTTP_10, "http://evil.example/", &[]), Some(497));
        assert_eq!(
            refused_as(Version::HTTP_10, "http://localhost/", &[("origin", "http://localhost")]),
            None
        );
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
        for header in [
            ("origin", "http://127.0.0.1:8123"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(refused(&[own, header]), None, "{header:?}");
        }
        let old = refused_as(Version::HTTP_10, "/", &[("origin", "http://evil.example")]);
        assert_eq!(old, Some(497), "without a Host");
    }

    #[test]
    fn the_user_shows_the_password() {
        let check = |user: Option<&str>, password: Option<&str>| {
            let credentials = Credentials {
                user: user.map(str::to_owned),
                password: password.map(str::to_owned),
            };
            door().check_password(&credentials).err().map(|error| error.code)
        };
        assert_eq!(check(None, Some("secret")), None);
        assert_eq!(check(Some("default"), Some("secret")), None);
        assert_eq!(check(Some(""), Some("secret")), None);
        for (user, password) in [
            (None, None),
            (None, Some("")),
            (None, Some("Secret")),
            (Some("admin"), Some("secret")),
        ] {
            assert_eq!(check(user, password), Some(516), "{user:?} {password:?}");
        }
    }
}
