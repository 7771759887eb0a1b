//! What every handler shares.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::Utc;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Mutex;

use super::auth::Auth;
use super::connections::Bounds;
use super::host::Hosts;
use super::places::{Place, Places};
use super::poll::Polls;
use super::problem::Problem;
use super::tracked::Version;
use crate::config::{AuthMode, Config};
use crate::report::ingest::{IngestReport, PartitionProgress};
use crate::report::subject::AccountContext;
use crate::report::value::Instant;
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
    polls: Polls,
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

/// The state for as long as somebody else has it.
pub(super) struct WeakState(Weak<Shared>);

impl WeakState {
    /// The state, unless the API is over.
    pub(super) fn get(&self) -> Option<ApiState> {
        self.0.upgrade().map(|shared| ApiState { shared })
    }
}

/// A report being made: it holds one of the places for report queries until it is dropped.
pub(super) struct Report {
    /// The instant that stands in for an `as_of` that was not given, milliseconds since 1970 UTC.
    pub(super) now_ms: i64,
    /// Its place among the report queries that may run at once.
    _place: Place,
}

/// What is known before a report's data is read, so that the data is at least as fresh.
pub(super) struct Context {
    pub(super) account: AccountContext,
    pub(super) data_through: Option<Instant>,
}

impl ApiState {
    /// The state of an API that reads from the store.
    ///
    /// # Errors
    /// Where a key of `auth` cannot be read.
    pub fn new(config: &Config, store: Store, health: Arc<Health>, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let shared = Shared {
            store: store.with_query_memory_max(config.http.query_memory_max_bytes),
            polls: Polls::new(),
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

    /// For a task that must not outlive the API.
    pub(super) fn downgrade(&self) -> WeakState {
        WeakState(Arc::downgrade(&self.shared))
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn polls(&self) -> &Polls {
        &self.shared.polls
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
    pub(super) async fn begin_report(&self, account: &str) -> Result<Report, Problem> {
        let place = self.shared.reports.take(account).await?;
        Ok(Report { now_ms: Utc::now().timestamp_millis(), _place: place })
    }

    /// What is known of the account, and how fresh the figures are. The version was read before.
    pub(super) async fn context(&self, account: &str, version: Option<Version>) -> Result<Context, Problem> {
        let known = async {
            if let Some(version) = version
                && let Some(context) = self.polls().account(account, version).await
            {
                return Ok(context);
            }
            let context = self.store().account_context(account).await?;
            let context = context.ok_or_else(|| Problem::not_found("No event has named this account."))?;
            if let Some(version) = version {
                self.polls().keep_account(account, version, context).await;
            }
            Ok(context)
        };
        let (account, data_through) = tokio::try_join!(known, self.data_through(version))?;
        Ok(Context { account, data_through })
    }

    /// When the data was complete, or a moment after the version.
    pub(super) async fn data_through(&self, version: Option<Version>) -> Result<Option<Instant>, Problem> {
        if let Some(version) = version
            && let Some(known) = self.polls().data_through(version).await
        {
            return Ok(known);
        }
        let data_through = IngestReport::assemble(self.ingest_progress().await?, 0).data_through();
        if let Some(version) = version {
            self.polls().keep_data_through(version, data_through).await;
        }
        Ok(data_through)
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
