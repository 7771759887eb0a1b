//! Configuration: files and environment, parsed and validated into a form that cannot be wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub ingest: Ingest,
    pub clickhouse: ClickHouse,
    pub http: Http,
    pub auth: Auth,
    pub log: Log,
}

/// Where the events are.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, comma-separated.
    pub brokers: String,
    pub topic: String,
    pub group_id: String,
    /// How long the group waits for a silent member.
    pub session_timeout: Duration,
    /// `cooperative-sticky` (default), `range` or `roundrobin`.
    pub assignor: String,
    /// Any other librdkafka property; those that would break exactness are refused by validation.
    pub properties: BTreeMap<String, SecretString>,
}

/// How the worker reads, holds and flushes.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Worker threads, each with its share of the partitions.
    pub worker_threads: usize,
    /// Records taken from librdkafka at once, at most.
    pub batch_records_max: usize,
    /// How long a batch may take to fill.
    pub batch_wait: Duration,
    /// Time between flushes.
    pub flush_interval: Duration,
    /// Time between the empty flushes of an idle partition.
    pub idle_flush_interval: Duration,
    /// A worker with this many rows that wait for a flush stops reading.
    pub pending_rows_max: usize,
    /// Accounts, users and counters that a worker holds, at most; idle ones are evicted beyond it.
    pub held_entries_max: usize,
    /// Payload KiB that librdkafka may queue for each worker.
    pub queue_kbytes_max: u32,
    /// How long a revoked partition may take to drain, flush and commit; below the session timeout.
    pub revoke_deadline: Duration,
    /// A worker thread that shows no sign of life for this long ends the process.
    pub watchdog_timeout: Duration,
}

/// Where the rollups are.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    /// `http://` or `https://`.
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: SecretString,
    /// Creates the schema `ON CLUSTER` with replicated engines.
    pub cluster: Option<String>,
    /// `insert_quorum` of every INSERT; 0 is off.
    pub insert_quorum: u32,
    pub request_timeout: Duration,
    /// A PEM file of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// The API's listener.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    pub request_timeout: Duration,
    /// Report queries that run at once, at most; beyond it requests are shed with 503.
    pub concurrent_queries_max: usize,
    /// Origins allowed by CORS; empty is off.
    pub cors_origins: Vec<String>,
}

/// Who may read.
#[derive(Clone, Debug)]
pub struct Auth {
    pub mode: AuthMode,
}

/// How callers are known.
#[derive(Clone, Debug)]
pub enum AuthMode {
    /// Everybody may read everything; only for loopback listeners.
    Off,
    /// JSON Web Tokens.
    Jwt(Jwt),
}

/// How tokens are judged.
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    /// HS256 secrets.
    pub hs256_secrets: Vec<SecretString>,
    /// PEM files of RS256 public keys.
    pub rs256_public_key_files: Vec<PathBuf>,
    /// PEM files of EdDSA (Ed25519) public keys.
    pub eddsa_public_key_files: Vec<PathBuf>,
    /// JWKS files.
    pub jwks_files: Vec<PathBuf>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub leeway: Duration,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter directive, such as `info` or `seatmeter=debug`.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}
