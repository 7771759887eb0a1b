//! The host that a request is addressed to.
//!
//! Where no token is needed, any web page could read everything by binding its own name to a
//! loopback address (DNS rebinding). So the API then answers only for names that no other site can
//! bind.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};

use crate::http::reply::problem::Problem;

/// Which hosts the API answers for.
pub(in crate::http) enum Hosts {
    /// Any: the token decides.
    Any,
    /// `localhost`, loopback addresses, and these names, in lower case.
    Loopback { allowed: Vec<String> },
}

impl Hosts {
    /// Refuses a request without a single host, and one for a host that the API does not answer
    /// for.
    pub(in crate::http) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        version: Version,
    ) -> Result<(), Problem> {
        match host_of(headers, uri, version)? {
            Some(host) if self.answers_for(&host) => Ok(()),
            None if matches!(self, Self::Any) => Ok(()),
            Some(_) | None => Err(Problem::foreign_host()),
        }
    }

    fn answers_for(&self, authority: &Authority) -> bool {
        let Self::Loopback { allowed } = self else { return true };
        let host = authority.host().to_ascii_lowercase();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || literal.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
        is_loopback || allowed.contains(&host)
    }
}

/// The host that the request names; `None` where HTTP/1.0 lets it name none. (RFC 9112, section
/// 3.2: exactly one `Host`, which the authority of an absolute target overrides.)
fn host_of(headers: &HeaderMap, uri: &Uri, version: Version) -> Result<Option<Authority>, Problem> {
    let mut values = headers.get_all(HOST).iter();
    let named = match (values.next(), values.next()) {
        (Some(value), None) => {
            let authority = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
            Some(authority.ok_or_else(Problem::bad_host)?)
        }
        (None, _) if version == Version::HTTP_10 => None,
        _ => return Err(Problem::bad_host()),
    };
    Ok(uri.authority().cloned().or(named))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn without_tokens_only_loopback_names_are_answered_for() {
        let hosts = Hosts::Loopback { allowed: vec!["seats.test".to_owned()] };
        let check = |host: &str| hosts.answers_for(&host.parse().unwrap());
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "Seats.Test:1",
        ] {
            assert!(check(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
            "2130706433",
        ] {
            assert!(!check(host), "{host}");
        }
        assert!(Hosts::Any.answers_for(&"evil.example".parse().unwrap()));
    }

    #[test]
    fn a_request_names_one_host() {
        let host = |hosts: &[&str], uri: &str, version: Version| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_str(host).unwrap());
            }
            host_of(&headers, &uri.parse().unwrap(), version)
                .map(|host| host.map(|host| host.to_string()))
        };
        assert_eq!(host(&["a:1"], "/", Version::HTTP_11), Ok(Some("a:1".to_owned())));
        assert_eq!(host(&["a"], "http://b/", Version::HTTP_11), Ok(Some("b".to_owned())));
        assert_eq!(host(&[], "/", Version::HTTP_10), Ok(None));
        assert!(host(&[], "/", Version::HTTP_11).is_err());
        assert!(host(&["a", "a"], "/", Version::HTTP_11).is_err());
        assert!(host(&["a b"], "/", Version::HTTP_11).is_err());
        assert!(host(&[""], "/", Version::HTTP_11).is_err());
    }
}
