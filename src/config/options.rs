//! The options, as they are in effect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::properties::is_of_server;
use super::token::TokenSource;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub ingest: Ingest,
    pub clickhouse: ClickHouse,
    pub http: Http,
    pub audit: Audit,
    pub alerts: Alerts,
    pub auth: Auth,
    pub canary: Canary,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// The Kafka topic that events are read from.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, comma-separated.
    pub brokers: String,
    pub topic: String,
    pub group_id: String,
    /// Time after which the group gives up a silent member.
    pub session_timeout: Duration,
    /// `cooperative-sticky` (default), `range` or `roundrobin`.
    pub assignor: String,
    /// Any other librdkafka property; validation refuses those that would break exactness.
    pub properties: BTreeMap<String, SecretString>,
    /// The source of OAUTHBEARER's tokens, where that is the mechanism.
    pub token_source: Option<TokenSource>,
}

impl Kafka {
    /// The properties that librdkafka is given: all but those of an authorization server, which it
    /// is not built to ask.
    pub fn client_properties(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        let asks_server = matches!(self.token_source, Some(TokenSource::Server(_)));
        let properties = self.properties.iter().map(|(name, value)| (name.as_str(), value));
        properties.filter(move |(name, _)| !(asks_server && is_of_server(name)))
    }
}

/// Options of reading, caching and flushing in the worker.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Worker threads, each with its share of the partitions.
    pub worker_threads: usize,
    /// Records taken from librdkafka at once, at most.
    pub batch_records_max: usize,
    /// Time limit for a batch to fill.
    pub batch_wait: Duration,
    /// Time between flushes.
    pub flush_interval: Duration,
    /// Time between flushes while the records that are read are older than twice this, and the log
    /// holds more.
    pub catch_up_flush_interval: Duration,
    /// Time between the empty flushes of an idle partition.
    pub idle_flush_interval: Duration,
    /// A worker with this many rows that wait for a flush stops reading.
    pub pending_rows_max: usize,
    /// Memory of rows that wait for a flush, at most, bytes; each worker has an equal share, and
    /// stops reading when it is used up.
    pub pending_bytes_max: usize,
    /// Memory of the accounts, users and counters that all workers hold, MiB; beyond it, those that
    /// have been idle longest are evicted.
    pub held_mbytes_max: usize,
    /// Payload KiB that librdkafka may queue for each worker.
    pub queue_kbytes_max: u32,
    /// Time limit for a revoked partition to drain, flush and commit; below the session timeout.
    pub revoke_deadline: Duration,
    /// A worker thread that shows no sign of life for this long ends the process.
    pub watchdog_timeout: Duration,
}

/// The ClickHouse that stores the rollups.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    /// `http://` or `https://`.
    pub url: String,
    /// The database of the documented views, which analysts read.
    pub database: String,
    pub user: String,
    pub password: SecretString,
    /// Creates the schema `ON CLUSTER` with replicated engines.
    pub cluster: Option<String>,
    /// Shards of the cluster, over which accounts are spread; 1 or more.
    pub shards: u32,
    /// `insert_quorum` of every INSERT; 0 is off.
    pub insert_quorum: u32,
    pub request_timeout: Duration,
    /// A PEM file of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// Suffix of the internal database's name.
pub(super) const INTERNAL_SUFFIX: &str = "_internal";
/// Suffix of the name of the database that each shard has its rows of accounts in.
pub(super) const SHARD_SUFFIX: &str = "_shard";

impl ClickHouse {
    /// The database of the tables, and of the views as worker and API read them.
    pub fn internal_database(&self) -> String {
        format!("{}{INTERNAL_SUFFIX}", self.database)
    }

    /// With several shards, the database of a shard's own rows.
    pub fn shard_database(&self) -> String {
        format!("{}{SHARD_SUFFIX}", self.database)
    }
}

/// The API's listener.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    pub request_timeout: Duration,
    /// Report queries that run at once, at most; beyond it requests wait for their account's turn.
    pub concurrent_queries_max: usize,
    /// Streamed answers that are sent at once, at most.
    pub concurrent_exports_max: usize,
    /// Memory that the query of a report may take in ClickHouse, bytes; 0: as much as the server
    /// allows.
    pub query_memory_max_bytes: u64,
    /// Open connections, at most.
    pub connections_max: usize,
    /// Open connections of one peer, at most.
    pub connections_per_peer_max: usize,
    /// Time limit of a request's head and of an idle connection.
    pub keep_alive_timeout: Duration,
    /// Greatest age of the look, at how far an account is counted, by which a report is answered.
    pub look_age_max: Duration,
    /// Greatest age of what `can-run` is answered from while ClickHouse is away.
    pub standing_age_max: Duration,
    /// Host names, besides loopback ones, that the API answers for when no token is needed.
    pub allowed_hosts: Vec<String>,
    /// Origins allowed by CORS; empty is off.
    pub cors_origins: Vec<String>,
    /// Origins whose pages may show ours in a frame.
    pub frame_ancestors: Vec<String>,
}

/// Options of the check of figures that are counted twice.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// Time between two samples of accounts; `None`: none is ever taken.
    pub interval: Option<Duration>,
}

/// Options of the alerts.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Whether rules are judged.
    pub enabled: bool,
    /// Lines of the rule of quota, percent of the monthly quota; ascending.
    pub quota_percent: Vec<u32>,
    /// Lines of the rule of seats, percent of the purchased seats; ascending.
    pub seats_percent: Vec<u32>,
    /// A Kafka topic that gets every event.
    pub topic: Option<String>,
    pub webhooks: Vec<Webhook>,
}

/// Who is told of alerts.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What is stored of it is known by: its URL, unless it has a name.
    pub name: String,
    /// `http://` or `https://`, as it is requested.
    pub url: String,
    /// The file that holds the secret.
    pub secret_file: PathBuf,
    /// The key of the signature, as the file has it: `whsec_` and base64.
    pub secret: SecretString,
    /// The accounts that it is told of; empty: all.
    pub accounts: Vec<String>,
    /// The rules that it is told of; empty: all.
    pub rules: Vec<String>,
}

/// Access control.
#[derive(Clone, Debug)]
pub struct Auth {
    pub mode: AuthMode,
}

/// How callers are authenticated.
#[derive(Clone, Debug)]
pub enum AuthMode {
    /// Everybody may read everything; only for loopback listeners.
    Off,
    /// JSON Web Tokens.
    Jwt(Jwt),
}

/// How tokens are validated.
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
    /// Tokens without `exp` are refused.
    pub require_exp: bool,
    pub leeway: Duration,
}

/// Options of `seatmeter canary`.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The account whose events the canary sends, and nobody else.
    pub account: String,
    /// Time between two rounds of events.
    pub interval: Duration,
    /// Time limit for a round to be sent and counted.
    pub timeout: Duration,
    /// The report API, `http://` or `https://`.
    pub api_url: String,
    /// A file that holds a bearer token; it is read for each request.
    pub token_file: Option<PathBuf>,
    /// A PEM file of certificate authorities to trust instead of the usual ones.
    pub ca_file: Option<PathBuf>,
    /// The listener of `/metrics` and `/healthz`.
    pub listen: SocketAddr,
}

/// Options of the log.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter directive, such as `info` or `seatmeter=debug`.
    pub filter: String,
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text where standard error is a terminal, JSON lines elsewhere.
    Auto,
    Text,
    /// An object a line.
    Json,
}

impl LogFormat {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// What is sent to others about this process.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// A receiver of OTLP over HTTP, `http://` or `https://`, before `/v1/traces` and
    /// `/v1/metrics`. `None`: nothing is exported.
    pub otlp_endpoint: Option<String>,
    /// Time between two exports.
    pub otlp_interval: Duration,
}
