//! The configuration as its sources give it: every key of `config/seatmeter.toml`, not validated
//! yet. An unknown key is refused; no key can be missing, because the embedded defaults have all of
//! them.
//!
//! Nothing here derives `Debug`: some of the strings are secrets.

use figment::value::Dict;
use serde::Deserialize;

/// The whole document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) kafka: RawKafka,
    pub(super) ingest: RawIngest,
    pub(super) clickhouse: RawClickHouse,
    pub(super) http: RawHttp,
    pub(super) audit: RawAudit,
    pub(super) alerts: RawAlerts,
    pub(super) auth: RawAuth,
    pub(super) canary: RawCanary,
    pub(super) log: RawLog,
    pub(super) telemetry: RawTelemetry,
}

/// `[kafka]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKafka {
    pub(super) brokers: String,
    pub(super) topic: String,
    pub(super) group_id: String,
    pub(super) session_timeout_ms: i64,
    pub(super) assignor: String,
    pub(super) properties: Dict,
    pub(super) property_files: Dict,
}

/// `[ingest]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIngest {
    pub(super) worker_threads: i64,
    pub(super) batch_records_max: i64,
    pub(super) batch_wait_ms: i64,
    pub(super) flush_interval_ms: i64,
    pub(super) catch_up_flush_interval_ms: i64,
    pub(super) idle_flush_interval_ms: i64,
    pub(super) pending_rows_max: i64,
    pub(super) pending_bytes_max: i64,
    pub(super) held_mbytes_max: i64,
    pub(super) queue_kbytes_max: i64,
    pub(super) revoke_deadline_ms: i64,
    pub(super) watchdog_timeout_ms: i64,
}

/// `[clickhouse]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClickHouse {
    pub(super) url: String,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) password_file: String,
    pub(super) cluster: String,
    pub(super) shards: i64,
    pub(super) insert_quorum: i64,
    pub(super) request_timeout_ms: i64,
    pub(super) ca_file: String,
}

/// `[http]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) listen: String,
    pub(super) request_timeout_ms: i64,
    pub(super) concurrent_queries_max: i64,
    pub(super) concurrent_exports_max: i64,
    pub(super) query_memory_max_bytes: i64,
    pub(super) connections_max: i64,
    pub(super) connections_per_peer_max: i64,
    pub(super) keep_alive_timeout_ms: i64,
    pub(super) look_max_age_ms: i64,
    pub(super) standing_age_max_ms: i64,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) cors_origins: Vec<String>,
    pub(super) frame_ancestors: Vec<String>,
}

/// `[audit]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    pub(super) interval_ms: i64,
}

/// `[alerts]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlerts {
    pub(super) enabled: bool,
    pub(super) quota_percent: Vec<i64>,
    pub(super) seats_percent: Vec<i64>,
    pub(super) topic: String,
    pub(super) webhooks: Vec<RawWebhook>,
}

/// `[[alerts.webhooks]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    pub(super) url: String,
    pub(super) secret_file: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) accounts: Vec<String>,
    #[serde(default)]
    pub(super) rules: Vec<String>,
}

/// `[auth]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) mode: String,
    pub(super) hs256_secrets: Vec<String>,
    pub(super) hs256_secret_files: Vec<String>,
    pub(super) rs256_public_key_files: Vec<String>,
    pub(super) eddsa_public_key_files: Vec<String>,
    pub(super) jwks_files: Vec<String>,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) require_exp: bool,
    pub(super) leeway_seconds: i64,
}

/// `[canary]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCanary {
    pub(super) account: String,
    pub(super) interval_ms: i64,
    pub(super) timeout_ms: i64,
    pub(super) api_url: String,
    pub(super) token_file: String,
    pub(super) ca_file: String,
    pub(super) listen: String,
}

/// `[log]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) filter: String,
    pub(super) format: String,
}

/// `[telemetry]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    pub(super) otlp_endpoint: String,
    pub(super) otlp_interval_ms: i64,
}
