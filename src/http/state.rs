//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Mutex;

use super::answers::Answers;
use super::auth::Auth;
use super::connections::Bounds;
use super::directory::Directory;
use super::host::Hosts;
use super::look::{Look, Looks};
use super::places::{Place, Places};
use super::problem::Problem;
use crate::config::{AuthMode, Config};
use crate::report::ingest::{IngestReport, PartitionProgress};
use crate::store::Store;
use crate::telemetry::health::Health;

/// How old the number of split accounts may be.
const SPLIT_ACCOUNTS_AGE_MAX: Duration = Duration::from_secs(2);

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    looks: Looks,
    directory: Directory,
    answers: Answers,
    topic: String,
    auth: Auth,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    hosts: Hosts,
    reports: Places,
    exports: Places,
    connections: Bounds,
    keep_alive_timeout: Duration,
    request_timeout: Duration,
    cors_origins: Vec<String>,
    /// When it was last asked how many accounts are split, and the answer.
    split_accounts: Mutex<Option<(std::time::Instant, u64)>>,
}

impl ApiState {
    /// The state of an API that reads from the store.
    ///
    /// # Errors
    /// Where a key of `auth` cannot be read.
    pub fn new(config: &Config, store: Store, health: Arc<Health>, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let store = store.with_query_memory_max(config.http.query_memory_max_bytes);
        let shared = Shared {
            looks: Looks::new(store.clone(), config.kafka.topic.clone(), config.http.look_age_max),
            store,
            directory: Directory::new(),
            answers: Answers::new(),
            topic: config.kafka.topic.clone(),
            auth: Auth::new(&config.auth)?,
            health,
            metrics,
            hosts: hosts(config),
            reports: Places::new(config.http.concurrent_queries_max),
            exports: Places::new(config.http.concurrent_exports_max),
            connections: Bounds::new(config.http.connections_max, config.http.connections_per_peer_max),
            keep_alive_timeout: config.http.keep_alive_timeout,
            request_timeout: config.http.request_timeout,
            cors_origins: config.http.cors_origins.clone(),
            split_accounts: Mutex::default(),
        };
        crate::telemetry::http::describe();
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// How far the account has been counted, as of now or almost.
    pub(super) async fn look(&self, account: &str) -> Result<Look, Problem> {
        self.shared.looks.look(account).await
    }

    pub(super) fn looks(&self) -> &Looks {
        &self.shared.looks
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.shared.answers
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.shared.auth
    }

    pub(super) fn health(&self) -> &Health {
        &self.shared.health
    }

    pub(super) fn metrics(&self) -> &PrometheusHandle {
        &self.shared.metrics
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.shared.request_timeout
    }

    pub(super) fn cors_origins(&self) -> &[String] {
        &self.shared.cors_origins
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }

    pub(super) fn connections(&self) -> Bounds {
        self.shared.connections
    }

    pub(super) fn keep_alive_timeout(&self) -> Duration {
        self.shared.keep_alive_timeout
    }

    /// Takes a place among the exports that may be sent at once: a reader may be slow, and holds up no report meanwhile.
    pub(super) async fn begin_export(&self, account: &str) -> Result<Place, Problem> {
        self.shared.exports.take(account).await
    }

    /// Takes a place among the report queries that may run at once, waiting for the account's turn if need be.
    pub(super) async fn begin_report(&self, account: &str) -> Result<Place, Problem> {
        self.shared.reports.take(account).await
    }

    /// What has been counted so far.
    pub(super) async fn ingest(&self) -> Result<IngestReport, Problem> {
        let (progress, split_accounts) = tokio::try_join!(self.ingest_progress(), self.split_accounts())?;
        Ok(IngestReport::assemble(progress, split_accounts))
    }

    async fn ingest_progress(&self) -> Result<Vec<PartitionProgress>, Problem> {
        Ok(self.store().ingest_progress(&self.shared.topic).await?)
    }

    /// How many accounts are split, a few seconds ago at most: it takes a look at every account that there is, so all who
    /// ask share one.
    async fn split_accounts(&self) -> Result<u64, Problem> {
        let mut known = self.shared.split_accounts.lock().await;
        if let Some((read_at, accounts)) = *known
            && read_at.elapsed() < SPLIT_ACCOUNTS_AGE_MAX
        {
            return Ok(accounts);
        }
        let read_at = std::time::Instant::now();
        let accounts = self.store().split_accounts(&self.shared.topic, 1).await?.total;
        *known = Some((read_at, accounts));
        Ok(accounts)
    }
}

fn hosts(config: &Config) -> Hosts {
    match config.auth.mode {
        AuthMode::Jwt(_) => Hosts::Any,
        AuthMode::Off => Hosts::Loopback {
            allowed: config.http.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        },
    }
}
