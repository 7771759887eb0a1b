//! State that all handlers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Mutex;

use super::account_lists::AccountLists;
use super::answers::Answers;
use super::auth::Authenticator;
use super::connections::ConnectionBounds;
use super::look::Looks;
use super::places::{Place, Places};
use crate::config::{AuthMode, Config};
use crate::http::reply::problem::Problem;
use crate::http::request::host::Hosts;
use crate::report::ingest::{Fed, IngestReport, PartitionProgress};
use crate::standing::{AgesMax, Standings};
use crate::store::Store;
use crate::telemetry::feeding::Feeding;
use crate::telemetry::health::Health;

/// Greatest age of the number of split accounts.
const SPLIT_ACCOUNTS_AGE_MAX: Duration = Duration::from_secs(2);

/// State that all handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    answers: Arc<Answers>,
    account_lists: AccountLists,
    /// Places for report queries.
    reports: Places,
    standings: Standings,
    topic: String,
    auth: Authenticator,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    hosts: Hosts,
    connections: ConnectionBounds,
    keep_alive_timeout: Duration,
    request_timeout: Duration,
    cors_origins: Vec<String>,
    frame_ancestors: Vec<String>,
    /// When it was last asked how many accounts are split, and the answer.
    split_accounts: Mutex<Option<(std::time::Instant, u64)>>,
    /// The feeder of the topic in this process, if there is one.
    feeding: OnceLock<Arc<Feeding>>,
}

impl ApiState {
    /// The state of an API that reads from the store.
    ///
    /// # Errors
    /// Where a key of `auth` cannot be read.
    pub fn new(
        config: &Config,
        store: Store,
        health: Arc<Health>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let store = store.with_query_memory_max(config.http.query_memory_max_bytes);
        let looks = Looks::new(store.clone(), config.kafka.topic.clone(), config.http.look_age_max);
        let looks = Arc::new(looks);
        let reports = Places::new(config.http.concurrent_queries_max);
        let exports = Places::new(config.http.concurrent_exports_max);
        let ages_max =
            AgesMax { look: config.http.look_age_max, standing: config.http.standing_age_max };
        let shared = Shared {
            account_lists: AccountLists::new(store.clone(), Arc::clone(&looks), reports.clone()),
            answers: Arc::new(Answers::new(
                store.clone(),
                looks,
                reports.clone(),
                exports,
                config.http.request_timeout,
            )),
            reports,
            standings: Standings::new(store.clone(), config.kafka.topic.clone(), ages_max),
            store,
            topic: config.kafka.topic.clone(),
            auth: Authenticator::new(&config.auth)?,
            health,
            metrics,
            hosts: hosts(config),
            connections: ConnectionBounds::new(
                config.http.connections_max,
                config.http.connections_per_peer_max,
            ),
            keep_alive_timeout: config.http.keep_alive_timeout,
            request_timeout: config.http.request_timeout,
            cors_origins: config.http.cors_origins.clone(),
            frame_ancestors: config.http.frame_ancestors.clone(),
            split_accounts: Mutex::default(),
            feeding: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Says by the feeder of this process whether all is counted.
    pub fn fed_by(&self, feeding: Arc<Feeding>) {
        // One process has one feeder.
        let _ = self.shared.feeding.set(feeding);
    }

    /// Reads what organizations may still run, so that questions find it, a second after this call
    /// or with the first question. Call it within a runtime.
    pub fn hold_standings(&self) {
        self.shared.standings.hold();
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn topic(&self) -> &str {
        &self.shared.topic
    }

    pub(super) fn answers(&self) -> &Arc<Answers> {
        &self.shared.answers
    }

    pub(super) fn account_lists(&self) -> &AccountLists {
        &self.shared.account_lists
    }

    /// Takes a place for a report query that is about no account.
    pub(super) async fn take_place(&self) -> Result<Place, Problem> {
        self.shared.reports.take("").await
    }

    pub(super) fn standings(&self) -> &Standings {
        &self.shared.standings
    }

    pub(super) fn auth(&self) -> &Authenticator {
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

    pub(super) fn frame_ancestors(&self) -> &[String] {
        &self.shared.frame_ancestors
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }

    pub(super) fn connections(&self) -> ConnectionBounds {
        self.shared.connections
    }

    pub(super) fn keep_alive_timeout(&self) -> Duration {
        self.shared.keep_alive_timeout
    }

    /// Progress of the ingestion.
    pub(super) async fn ingest(&self) -> Result<IngestReport, Problem> {
        let fed = match self.shared.feeding.get().map(|feeding| feeding.records()) {
            None => Fed::ByNobody,
            Some(None) => Fed::Partly,
            Some(Some(records)) => Fed::Whole(records),
        };
        let (progress, split_accounts) =
            tokio::try_join!(self.ingest_progress(), self.split_accounts())?;
        Ok(IngestReport::assemble(progress, split_accounts, fed))
    }

    async fn ingest_progress(&self) -> Result<Vec<PartitionProgress>, Problem> {
        Ok(self.store().ingest_progress(&self.shared.topic).await?)
    }

    /// How many accounts are split, a few seconds ago at most: it takes a look at every account
    /// that there is, so all who ask share one.
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
            allowed: config
                .http
                .allowed_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
        },
    }
}
