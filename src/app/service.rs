//! `seatmeter run`, `worker` and `api`: the long-running processes.
//!
//! Start: configuration errors are found first (port, keys, password, schema), then the API answers
//! `/readyz`, then the worker joins its group. Stop: the worker drains, flushes, commits and leaves
//! while the API still answers; the API stops last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::integrity::check_figures;
use super::otlp::{LAST_EXPORT_TIMEOUT, export};
use super::shutdown;
use super::topic_settings::watch_retention;
use super::version::build;
use crate::alerts::MayBegin;
use crate::config::Config;
use crate::core::id::UserKeySeed;
use crate::http::{self, ApiState};
use crate::ingest::{self, Dependency, Positions};
use crate::store::{MigrateError, Store, StoreError, TABLES};
use crate::telemetry::feeding::Feeding;
use crate::telemetry::health::Health;
use crate::telemetry::metrics;

/// Time limit for the process to end after the time for the last flush: each step (commit, tasks,
/// leaving the group, open requests) has its own limit, and their sum is below this.
const END_GRACE: Duration = Duration::from_secs(40);

/// Time between clean-ups of the recorder, which keeps each duration until then.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Count the topic's events and serve the report API, in one process
///
/// Needs the schema: run `seatmeter migrate` first.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {}

/// Count the topic's events; serves /healthz, /readyz and /metrics
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArgs {}

/// Serve the report API
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {}

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Worker,
    Api,
    WorkerAndApi,
}

/// Runs until `stop` is cancelled or something fails for good.
pub(super) async fn run(
    config: &Config,
    role: Role,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = listen(config.http.listen, "http.listen").await?;
    let store = Store::connect(&config.clickhouse)?;
    shutdown::end_within(config.ingest.revoke_deadline + END_GRACE, stop.clone())?;
    Service::new(config, role, listener, store)?.run(stop).await
}

/// Binds the API's address, which `option` sets.
pub(super) async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address by {option}"))
}

/// A worker, an API or both, ready to run.
pub(super) struct Service<'a> {
    config: &'a Config,
    role: Role,
    listener: TcpListener,
    store: Store,
    health: Arc<Health>,
    state: ApiState,
    positions: Arc<Positions>,
    /// A feeder of this process, whose events are counted before anything is judged.
    feeding: Option<Arc<Feeding>>,
    metrics: PrometheusHandle,
}

impl<'a> Service<'a> {
    pub(super) fn new(
        config: &'a Config,
        role: Role,
        listener: TcpListener,
        store: Store,
    ) -> anyhow::Result<Self> {
        let metrics = metrics::install(build(), &TABLES).context("cannot record metrics")?;
        let health = Arc::new(Health::new());
        if role != Role::Api {
            ingest::not_started(config, &health);
        }
        let state = ApiState::new(config, store.clone(), Arc::clone(&health), metrics.clone())?;
        let positions = Arc::default();
        let feeding = None;
        Ok(Self { config, role, listener, store, health, state, positions, feeding, metrics })
    }

    /// A feeder in this process: the API tells by it whether all is counted, and alerts are judged
    /// once it is.
    pub(super) fn fed_by(&mut self, feeding: Arc<Feeding>) {
        self.feeding = Some(Arc::clone(&feeding));
        self.state.fed_by(feeding);
    }

    /// The worker's positions.
    pub(super) fn positions(&self) -> Arc<Positions> {
        Arc::clone(&self.positions)
    }

    /// Runs until `stop` is cancelled or something fails for good.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { config, role, listener, store, health, state, positions, feeding, metrics } =
            self;
        let may_begin: MayBegin =
            Arc::new(move || feeding.as_ref().is_none_or(|feeding| feeding.is_counted()));
        let _upkeep = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                metrics.run_upkeep();
            }
        }));
        let close = CancellationToken::new();
        let token = close.clone();
        let exporting = start_export(config, &state, &close);
        let api = (role != Role::Worker).then(|| state.clone());
        let mut serving = tokio::spawn(async move {
            match role {
                Role::Worker => http::serve_operations(listener, state, token).await,
                Role::Api | Role::WorkerAndApi => http::serve(listener, state, token).await,
            }
        });
        let work = async {
            let seed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ready = wait_for_schema(&store, &health) => ready?,
            };
            let _check = config.audit.interval.filter(|_| role != Role::Worker).map(|interval| {
                let topic = config.kafka.topic.clone();
                let store = store.clone().with_query_memory_max(config.http.query_memory_max_bytes);
                AbortOnDropHandle::new(tokio::spawn(check_figures(store, topic, interval)))
            });
            if let Some(api) = &api {
                api.hold_standings();
            }
            let counts = role != Role::Api;
            let _retention = counts.then(|| {
                AbortOnDropHandle::new(tokio::spawn(watch_retention(config.kafka.clone())))
            });
            match role {
                Role::Api => stop.cancelled().await,
                Role::Worker | Role::WorkerAndApi => {
                    let stop = stop.clone();
                    let watched = (positions, may_begin);
                    ingest::run_watched(config, store, seed, health, watched, stop).await?
                }
            }
            Ok(())
        };
        tokio::select! {
            worked = work => {
                close.cancel();
                let served = serving.await.context("the API broke down")?;
                // What could not be sent in time is no error of the work.
                let _ = tokio::time::timeout(LAST_EXPORT_TIMEOUT, exporting).await;
                worked.and(served)
            }
            served = &mut serving => served.context("the API broke down")?,
        }
    }
}

/// Exports metrics and spans until `close` is cancelled, where a receiver is configured.
fn start_export(
    config: &Config,
    state: &ApiState,
    close: &CancellationToken,
) -> AbortOnDropHandle<()> {
    let interval = config.telemetry.otlp_interval;
    let endpoint = config.telemetry.otlp_endpoint.clone();
    let (state, close) = (state.clone(), close.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Some(endpoint) = endpoint {
            export(endpoint, interval, state, close).await;
        }
    }))
}

/// Waits until ClickHouse answers, and reads the seed for the keys of users. Failures that waiting
/// cannot resolve (a wrong password, a missing schema) are errors at once.
async fn wait_for_schema(store: &Store, health: &Arc<Health>) -> anyhow::Result<UserKeySeed> {
    let clickhouse =
        Dependency::new("clickhouse", "cannot start without ClickHouse", Arc::clone(health));
    let look = || async {
        let looked = async {
            store.check_server().await?;
            store.check_schema().await?;
            store.user_key_seed().await
        };
        match looked.await {
            Err(MigrateError::Store(error)) if error.is_retryable() => Err(error),
            settled => Ok(settled),
        }
    };
    Ok(clickhouse.until_ok::<_, StoreError, _>(look).await?)
}
