//! `[http]`.

use std::net::SocketAddr;

use url::Url;

use super::check::Check;
use crate::config::listen::listen_address;
use crate::config::options::Http;
use crate::config::raw::RawHttp;

impl Check<'_> {
    pub(super) fn http(&mut self, raw: RawHttp) -> Http {
        self.origins("http.cors_origins", &raw.cors_origins, "https://dashboard.example.com");
        self.origins("http.frame_ancestors", &raw.frame_ancestors, "https://portal.example.com");
        self.hosts(&raw.allowed_hosts);
        let listen = listen_address(&raw.listen).unwrap_or_else(|expected| {
            self.refuse("http.listen", &raw.listen, expected);
            SocketAddr::from(([127, 0, 0, 1], 8080))
        });
        Http {
            listen,
            request_timeout: self.milliseconds(
                "http.request_timeout_ms",
                raw.request_timeout_ms,
                100..=600_000,
            ),
            concurrent_queries_max: self.integer(
                "http.concurrent_queries_max",
                raw.concurrent_queries_max,
                1..=1_000,
            ),
            concurrent_exports_max: self.integer(
                "http.concurrent_exports_max",
                raw.concurrent_exports_max,
                1..=1_000,
            ),
            query_memory_max_bytes: self.integer(
                "http.query_memory_max_bytes",
                raw.query_memory_max_bytes,
                0..=1_000_000_000_000,
            ),
            connections_max: self.integer(
                "http.connections_max",
                raw.connections_max,
                1..=1_000_000,
            ),
            connections_per_peer_max: self.integer(
                "http.connections_per_peer_max",
                raw.connections_per_peer_max,
                1..=1_000_000,
            ),
            keep_alive_timeout: self.milliseconds(
                "http.keep_alive_timeout_ms",
                raw.keep_alive_timeout_ms,
                1_000..=600_000,
            ),
            look_age_max: self.milliseconds(
                "http.look_max_age_ms",
                raw.look_max_age_ms,
                0..=10_000,
            ),
            standing_age_max: self.milliseconds(
                "http.standing_age_max_ms",
                raw.standing_age_max_ms,
                10_000..=86_400_000,
            ),
            allowed_hosts: raw.allowed_hosts,
            cors_origins: raw.cors_origins,
            frame_ancestors: raw.frame_ancestors,
        }
    }

    /// Checks that each is an origin as a browser names it.
    fn origins(&mut self, key: &'static str, origins: &[String], example: &str) {
        for origin in origins {
            if origin.contains('*') {
                self.refuse(key, origin, "a wildcard matches no origin; name each in full");
                continue;
            }
            let url =
                Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            // `https://a.example/` and `https://a.example:443` are never sent by a browser.
            if url.is_none_or(|url| url.origin().ascii_serialization() != *origin) {
                self.refuse(key, origin, format!("expected an origin such as {example}"));
            }
        }
    }

    fn hosts(&mut self, hosts: &[String]) {
        for host in hosts {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(legal) {
                self.refuse(
                    "http.allowed_hosts",
                    host,
                    "expected a host name without port, such as seatmeter.test",
                );
            }
        }
    }
}
