//! `seatmeter demo`: everything on one machine with nothing installed. An embedded broker and an
//! embedded ClickHouse, the worker, the API, and events to look at.
//!
//! The broker starts empty each time, so the database is emptied at the start too; nothing else is
//! ever emptied.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::extent::Sight;
use super::feed::{self, Feed, Surroundings};
use super::output::written;
use super::service::{self, Role, Service};
use super::{canary, engine_password};
use crate::config::{self, AuthMode, Config, LogFormat};
use crate::embedded::clickhouse::{DataDirLock, EngineOptions, EngineProcess, Use};
use crate::embedded::kafka::MockBroker;
use crate::store::Store;
use crate::telemetry::feeding::Feeding;

/// Partitions of the demo's topic.
const PARTITIONS: i32 = 4;

/// How long the worker may be silent before its partitions are taken from it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(1_800);

/// The embedded broker answers a fetch at once or when its time is over, and not when records come.
const FETCH_PROPERTIES: [(&str, &str); 2] =
    [("fetch.wait.max.ms", "20"), ("fetch.message.max.bytes", "1048576")];

/// The default filter of `[log]`, which is too verbose for a demo.
const LOG_FILTER_DEFAULT: &str = "info";

/// Run everything on this machine, with nothing installed: broker, ClickHouse, worker, API, on
/// generated data
///
/// Three months of made-up history, then a live trickle; or the events of a file. Each start
/// empties the demo's own database and begins anew.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Count the events of this file instead: NDJSON, one event a line, or a JSON array; gzip and
    /// zstd are unpacked; - is standard input
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,

    /// Address of the API, or its port alone; a loopback one, since no token is needed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080",
        value_parser = config::listen_address)]
    listen: SocketAddr,

    /// Address of ClickHouse's HTTP interface, or its port alone; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0",
        value_parser = config::listen_address)]
    clickhouse_listen: SocketAddr,

    /// Where ClickHouse keeps the demo's data, in a folder `demo`; by default in the user's data
    /// folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The ClickHouse engine's library, libchdb.so; by default it is fetched by npm, once
    #[arg(long, value_name = "FILE")]
    clickhouse_library: Option<PathBuf>,

    /// Send events of a canary too, once all is counted, and watch what the reports say of them;
    /// its metrics are among the others (config/runbook.md: Canary)
    #[arg(long)]
    canary: bool,

    #[command(flatten)]
    password: engine_password::PasswordArgs,

    /// Let ClickHouse's statements reach files, programs and other hosts, with the rights of
    /// whoever runs this
    #[arg(long)]
    allow_external: bool,
}

/// The demo's view of the configuration: its own broker, ClickHouse and access, quieter logs; the
/// rest as configured.
pub(super) fn configure(args: &Args, mut config: Config) -> anyhow::Result<Config> {
    if !args.listen.ip().is_loopback() {
        bail!(
            "--listen {} is not a loopback address, and the demo needs no token: listen on \
            127.0.0.1",
            args.listen
        );
    }
    config.http.listen = args.listen;
    config.auth.mode = AuthMode::Off;
    config.kafka.properties.clear();
    // A machine may sleep for a while, and the embedded broker keeps nothing to read again.
    config.kafka.session_timeout = SESSION_TIMEOUT;
    for (name, value) in FETCH_PROPERTIES {
        config.kafka.properties.insert(name.to_owned(), value.into());
    }
    if !config.alerts.enabled {
        // To be looked at; nobody who is told of real ones is told of these.
        config.alerts.enabled = true;
        (config.alerts.webhooks, config.alerts.topic) = (Vec::new(), None);
    }
    config.clickhouse.user = "default".to_owned();
    config.clickhouse.cluster = None;
    config.clickhouse.shards = 1;
    config.clickhouse.insert_quorum = 0;
    config.clickhouse.ca_file = None;
    if config.log.filter == LOG_FILTER_DEFAULT {
        config.log.filter = "warn".to_owned();
    }
    // Its lines are between those that are printed for people.
    if config.log.format == LogFormat::Auto {
        config.log.format = LogFormat::Text;
    }
    Ok(config)
}

/// Runs until `stop` is cancelled or something fails for good.
pub(super) async fn run(
    args: &Args,
    mut config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut feed = Feed::open(args.events.as_deref())?;
    let sight = feed.sight()?;
    // A separate folder, so that the demo never empties the database of another engine.
    let data_dir = args.data_dir.clone().map_or_else(default_data_dir, Ok)?.join("demo");
    // Before the port: who starts a second demo is told of the first one, not of its port.
    let _lock = DataDirLock::take(&data_dir, Use::Demo)?;
    let listener = service::listen(config.http.listen, "--listen").await?;
    let address = listener.local_addr().context("the API has no address")?;
    let mut engine = start_engine(args, data_dir.clone()).await?;
    let broker = MockBroker::start(&config.kafka.topic, PARTITIONS)?;
    config.clickhouse.url = engine.url();
    config.clickhouse.password = engine.password().clone();
    config.kafka.brokers = broker.bootstrap_servers();

    let store = Store::connect(&config.clickhouse)?;
    store.check_server().await?;
    store.reset_database().await?;
    store.migrate().await?;
    let mut service = Service::new(&config, Role::WorkerAndApi, listener, store.clone())?;
    let banner = banner(address, sight.as_ref(), &engine, &config.clickhouse.database, &data_dir);
    written(std::io::stdout().lock().write_all(banner.as_bytes()))?;

    let handed_over = Arc::new(Feeding::default());
    service.fed_by(Arc::clone(&handed_over));
    // The properties are the consumer's.
    let kafka = config::Kafka { properties: Default::default(), ..config.kafka.clone() };
    let watched = Config { kafka: kafka.clone(), ..config.clone() };
    let watching = args
        .canary
        .then(|| canary::beside(watched, address, Arc::clone(&handed_over), stop.clone()));
    let surroundings = Surroundings {
        kafka,
        store,
        positions: service.positions(),
        feeding: handed_over,
        dashboard: format!("http://{address}/"),
        stop: stop.clone(),
    };
    let feeding = feed::start(feed, surroundings);
    let outcome = tokio::select! {
        outcome = service.run(stop.clone()) => outcome,
        error = failure(Some(feeding)) => Err(error),
        error = failure(watching) => Err(error),
    };
    stop.cancel();
    // The engine stops last, and before the broker is dropped while a client may still use it.
    tokio::task::spawn_blocking(move || engine.stop()).await.context("the demo broke down")??;
    drop(broker);
    outcome
}

/// The error that a task ends with; pending for ever where it does not.
async fn failure(task: Option<JoinHandle<anyhow::Result<()>>>) -> anyhow::Error {
    let Some(task) = task else { return std::future::pending().await };
    match task.await.context("the demo broke down") {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) | Err(error) => error,
    }
}

async fn start_engine(args: &Args, data_dir: PathBuf) -> anyhow::Result<EngineProcess> {
    let options = EngineOptions {
        exe: std::env::current_exe().context("cannot tell which program this is")?,
        data_dir,
        listen: args.clickhouse_listen,
        library: args.clickhouse_library.clone(),
        password: args.password.given(),
        allow_external: args.allow_external,
    };
    tokio::task::spawn_blocking(move || EngineProcess::start(options))
        .await
        .context("the demo broke down")?
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    let folder =
        dirs::data_local_dir().context("this user has no data folder: name one by --data-dir")?;
    Ok(folder.join("seatmeter"))
}

/// The message after the start.
fn banner(
    api: SocketAddr,
    sight: Option<&Sight>,
    engine: &EngineProcess,
    database: &str,
    data_dir: &Path,
) -> String {
    // The dashboard asks for an account if its address names none.
    let query = sight.map_or_else(String::new, |sight| format!("?{}", sight.query()));
    let clickhouse = engine.url_to_print();
    let (note, user) = match engine.has_named_password() {
        true => ("password as given", "--user default "),
        false => ("password in the address", ""),
    };
    format!(
        "
seatmeter demo

  Dashboard   http://{api}/{query}
  API         http://{api}   (no token needed)
  ClickHouse  {clickhouse}   (user default, {note}, database {database})
  Data        {data_dir}   (emptied at each start)

  What is counted so far (`complete` is true when all is):
    curl http://{api}/v1/ingest
  Active users by day, in SQL:
    curl {user}'{clickhouse}/?database={database}' --data-binary \\
      'SELECT account_id, day, active_users FROM daily_active_users_by_account ORDER BY day DESC \
      LIMIT 9 FORMAT PrettyCompact'

  Ctrl-C stops it.

",
        data_dir = data_dir.display()
    )
}
