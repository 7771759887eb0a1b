//! Prints the configuration that is in effect, as TOML, with every secret masked.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use secrecy::{ExposeSecret, SecretString};

use super::options::{AuthMode, Config};
use super::properties;

/// Stands for a secret.
pub const MASK: &str = "***";

/// [`Config`] as TOML, secrets masked. Secrets that came from files are shown under the key for the
/// value.
impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_kafka(f)?;
        self.show_ingest(f)?;
        self.show_clickhouse(f)?;
        self.show_http(f)?;
        let interval = self.audit.interval.unwrap_or_default();
        writeln!(f, "\n[audit]\ninterval_ms = {}", interval.as_millis())?;
        self.show_alerts(f)?;
        self.show_auth(f)?;
        self.show_canary(f)?;
        writeln!(f, "\n[log]")?;
        writeln!(f, "filter = {}", quoted(&self.log.filter))?;
        writeln!(f, "format = {}", quoted(self.log.format.as_str()))?;
        self.show_telemetry(f)
    }
}

impl Config {
    /// The same as JSON: an object for each section.
    ///
    /// # Errors
    ///
    /// A value that TOML or JSON cannot hold, which is a defect of this program.
    pub fn to_json(&self) -> anyhow::Result<serde_json::Value> {
        Ok(Figment::from(Toml::string(&self.to_string())).extract()?)
    }

    fn show_kafka(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kafka = &self.kafka;
        writeln!(f, "[kafka]")?;
        writeln!(f, "brokers = {}", quoted(&kafka.brokers))?;
        writeln!(f, "topic = {}", quoted(&kafka.topic))?;
        writeln!(f, "group_id = {}", quoted(&kafka.group_id))?;
        writeln!(f, "session_timeout_ms = {}", kafka.session_timeout.as_millis())?;
        writeln!(f, "assignor = {}", quoted(&kafka.assignor))?;
        writeln!(f, "\n[kafka.properties]")?;
        for (name, value) in &kafka.properties {
            let shown = if properties::is_secret(name) { MASK } else { value.expose_secret() };
            writeln!(f, "{} = {}", quoted(name), quoted(shown))?;
        }
        Ok(())
    }

    fn show_ingest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ingest = &self.ingest;
        writeln!(f, "\n[ingest]")?;
        writeln!(f, "worker_threads = {}", ingest.worker_threads)?;
        writeln!(f, "batch_records_max = {}", ingest.batch_records_max)?;
        writeln!(f, "batch_wait_ms = {}", ingest.batch_wait.as_millis())?;
        writeln!(f, "flush_interval_ms = {}", ingest.flush_interval.as_millis())?;
        writeln!(f, "catch_up_flush_interval_ms = {}", ingest.catch_up_flush_interval.as_millis())?;
        writeln!(f, "idle_flush_interval_ms = {}", ingest.idle_flush_interval.as_millis())?;
        writeln!(f, "pending_rows_max = {}", ingest.pending_rows_max)?;
        writeln!(f, "pending_bytes_max = {}", ingest.pending_bytes_max)?;
        writeln!(f, "held_mbytes_max = {}", ingest.held_mbytes_max)?;
        writeln!(f, "queue_kbytes_max = {}", ingest.queue_kbytes_max)?;
        writeln!(f, "revoke_deadline_ms = {}", ingest.revoke_deadline.as_millis())?;
        writeln!(f, "watchdog_timeout_ms = {}", ingest.watchdog_timeout.as_millis())
    }

    fn show_clickhouse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clickhouse = &self.clickhouse;
        writeln!(f, "\n[clickhouse]")?;
        writeln!(f, "url = {}", quoted(&clickhouse.url))?;
        writeln!(f, "database = {}", quoted(&clickhouse.database))?;
        writeln!(f, "user = {}", quoted(&clickhouse.user))?;
        writeln!(f, "password = {}", masked(&clickhouse.password))?;
        writeln!(f, "cluster = {}", quoted(clickhouse.cluster.as_deref().unwrap_or_default()))?;
        writeln!(f, "shards = {}", clickhouse.shards)?;
        writeln!(f, "insert_quorum = {}", clickhouse.insert_quorum)?;
        writeln!(f, "request_timeout_ms = {}", clickhouse.request_timeout.as_millis())?;
        writeln!(f, "ca_file = {}", path(clickhouse.ca_file.as_deref()))
    }

    fn show_http(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = &self.http;
        writeln!(f, "\n[http]")?;
        writeln!(f, "listen = {}", quoted(&http.listen.to_string()))?;
        writeln!(f, "request_timeout_ms = {}", http.request_timeout.as_millis())?;
        writeln!(f, "concurrent_queries_max = {}", http.concurrent_queries_max)?;
        writeln!(f, "concurrent_exports_max = {}", http.concurrent_exports_max)?;
        writeln!(f, "query_memory_max_bytes = {}", http.query_memory_max_bytes)?;
        writeln!(f, "connections_max = {}", http.connections_max)?;
        writeln!(f, "connections_per_peer_max = {}", http.connections_per_peer_max)?;
        writeln!(f, "keep_alive_timeout_ms = {}", http.keep_alive_timeout.as_millis())?;
        writeln!(f, "look_max_age_ms = {}", http.look_age_max.as_millis())?;
        writeln!(f, "standing_age_max_ms = {}", http.standing_age_max.as_millis())?;
        writeln!(f, "allowed_hosts = {}", list(&http.allowed_hosts, |host| quoted(host)))?;
        writeln!(f, "cors_origins = {}", list(&http.cors_origins, |origin| quoted(origin)))?;
        writeln!(f, "frame_ancestors = {}", list(&http.frame_ancestors, |origin| quoted(origin)))
    }

    fn show_auth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[auth]")?;
        let AuthMode::Jwt(jwt) = &self.auth.mode else { return writeln!(f, "mode = \"off\"") };
        let files = |paths: &[PathBuf]| list(paths, |path| quoted(&path.to_string_lossy()));
        writeln!(f, "mode = \"jwt\"")?;
        writeln!(f, "hs256_secrets = {}", list(&jwt.hs256_secrets, masked))?;
        writeln!(f, "rs256_public_key_files = {}", files(&jwt.rs256_public_key_files))?;
        writeln!(f, "eddsa_public_key_files = {}", files(&jwt.eddsa_public_key_files))?;
        writeln!(f, "jwks_files = {}", files(&jwt.jwks_files))?;
        writeln!(f, "issuer = {}", quoted(jwt.issuer.as_deref().unwrap_or_default()))?;
        writeln!(f, "audience = {}", quoted(jwt.audience.as_deref().unwrap_or_default()))?;
        writeln!(f, "require_exp = {}", jwt.require_exp)?;
        writeln!(f, "leeway_seconds = {}", Duration::as_secs(&jwt.leeway))
    }

    fn show_alerts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alerts = &self.alerts;
        writeln!(f, "\n[alerts]")?;
        writeln!(f, "enabled = {}", alerts.enabled)?;
        writeln!(f, "quota_percent = {}", list(&alerts.quota_percent, u32::to_string))?;
        writeln!(f, "seats_percent = {}", list(&alerts.seats_percent, u32::to_string))?;
        writeln!(f, "topic = {}", quoted(alerts.topic.as_deref().unwrap_or_default()))?;
        let texts = |texts: &[String]| list(texts, |text| quoted(text));
        let webhooks = list(&alerts.webhooks, |webhook| {
            format!(
                "{{ url = {}, name = {}, secret_file = {}, accounts = {}, rules = {} }}",
                quoted(&webhook.url),
                quoted(&webhook.name),
                path(Some(&webhook.secret_file)),
                texts(&webhook.accounts),
                texts(&webhook.rules),
            )
        });
        writeln!(f, "webhooks = {webhooks}")
    }

    fn show_telemetry(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let telemetry = &self.telemetry;
        let endpoint = telemetry.otlp_endpoint.as_deref().unwrap_or_default();
        writeln!(f, "\n[telemetry]")?;
        writeln!(f, "otlp_endpoint = {}", quoted(endpoint))?;
        writeln!(f, "otlp_interval_ms = {}", telemetry.otlp_interval.as_millis())
    }

    fn show_canary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let canary = &self.canary;
        writeln!(f, "\n[canary]")?;
        writeln!(f, "account = {}", quoted(&canary.account))?;
        writeln!(f, "interval_ms = {}", canary.interval.as_millis())?;
        writeln!(f, "timeout_ms = {}", canary.timeout.as_millis())?;
        writeln!(f, "api_url = {}", quoted(&canary.api_url))?;
        writeln!(f, "token_file = {}", path(canary.token_file.as_deref()))?;
        writeln!(f, "ca_file = {}", path(canary.ca_file.as_deref()))?;
        writeln!(f, "listen = {}", quoted(&canary.listen.to_string()))
    }
}

/// A path, or an empty string.
fn path(path: Option<&Path>) -> String {
    quoted(&path.map(Path::to_string_lossy).unwrap_or_default())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// An empty secret is shown as empty, so that a forgotten one is noticed.
fn masked(secret: &SecretString) -> String {
    quoted(if secret.expose_secret().is_empty() { "" } else { MASK })
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}
