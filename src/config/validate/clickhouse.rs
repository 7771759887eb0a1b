//! `[clickhouse]`.

use std::path::PathBuf;

use secrecy::SecretString;

use super::check::{Check, unless_empty};
use crate::config::options::{ClickHouse, INTERNAL_SUFFIX, SHARD_SUFFIX};
use crate::config::raw::RawClickHouse;

impl Check<'_> {
    pub(super) fn clickhouse(&mut self, raw: RawClickHouse) -> ClickHouse {
        let way_out = "set clickhouse.user and clickhouse.password";
        let https = self.http_url("clickhouse.url", &raw.url, way_out);
        if !is_identifier(&raw.database) {
            let allowed =
                "allowed are 1 to 55 of the characters a-z, A-Z, 0-9 and `_`, no digit first";
            self.refuse("clickhouse.database", &raw.database, allowed);
        }
        if [INTERNAL_SUFFIX, SHARD_SUFFIX].iter().any(|suffix| raw.database.ends_with(suffix)) {
            let reason = "must not end in `_internal` or `_shard`, which are added for the \
                databases of the tables";
            self.refuse("clickhouse.database", &raw.database, reason);
        }
        if raw.user.is_empty() || raw.user.chars().any(char::is_control) {
            self.refuse("clickhouse.user", &raw.user, "expected a user name");
        }
        let cluster_legal =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '{' | '}');
        if raw.cluster.len() > 255 || !raw.cluster.chars().all(cluster_legal) {
            let allowed = "allowed are the characters a-z, A-Z, 0-9, `.`, `_`, `-`, `{` and `}`";
            self.refuse("clickhouse.cluster", &raw.cluster, allowed);
        }
        if !raw.ca_file.is_empty() && !https {
            self.refuse(
                "clickhouse.ca_file",
                &raw.ca_file,
                "has no effect unless clickhouse.url starts with https://",
            );
        }
        let password = self.secret(
            "clickhouse.password",
            raw.password,
            "clickhouse.password_file",
            &raw.password_file,
        );
        let shards = self.integer("clickhouse.shards", raw.shards, 1..=1_000);
        if shards > 1 && raw.cluster.is_empty() {
            let reason = "needs clickhouse.cluster, whose shards they are";
            self.refuse("clickhouse.shards", &raw.shards.to_string(), reason);
        }
        ClickHouse {
            shards,
            password: SecretString::from(password),
            insert_quorum: self.integer("clickhouse.insert_quorum", raw.insert_quorum, 0..=100),
            request_timeout: self.milliseconds(
                "clickhouse.request_timeout_ms",
                raw.request_timeout_ms,
                1_000..=3_600_000,
            ),
            ca_file: unless_empty(raw.ca_file).map(PathBuf::from),
            cluster: unless_empty(raw.cluster),
            url: raw.url,
            database: raw.database,
            user: raw.user,
        }
    }
}

/// True for names that ClickHouse takes without quotes, in 64 bytes with the suffix of the internal
/// database.
fn is_identifier(name: &str) -> bool {
    (1..=64 - INTERNAL_SUFFIX.len()).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
