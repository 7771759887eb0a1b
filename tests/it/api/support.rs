//! An API in this process, on its own database, filled by real lanes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use seatmeter::config::{Auth, AuthMode, Config};
use seatmeter::core::decode::decode;
use seatmeter::core::event::{Decoded, Record};
use seatmeter::core::lane::{Applied, Lane};
use seatmeter::core::rollup::{LaneRows, Progress, Source};
use seatmeter::http::{ApiState, serve};
use seatmeter::store::{ProgressRow, Store};
use seatmeter::telemetry::health::Health;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Database, engine, unique};

/// The topic of the API.
const TOPIC: &str = "usage-events";

/// Timestamp of all records, milliseconds since 1970 UTC: after all valid events of the tests.
pub(crate) const SENT_AT_MS: i64 = 1_798_761_600_000;

/// The runtime of servers and tests.
pub(crate) static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
});

static PARTITIONS: AtomicU32 = AtomicU32::new(0);

/// An API on its own database.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) health: Arc<Health>,
    config: Config,
    base: String,
    _serving: DropGuard,
    database: Option<Database>,
    /// When rows were written the last time, by this API's tests or those of one beside it.
    written: Arc<Mutex<Instant>>,
}

/// An account of one test, in the shared database.
pub(crate) struct Account {
    pub(crate) id: String,
}

/// The API shared by tests that have their own account.
static SHARED: LazyLock<Api> = LazyLock::new(Api::open);

impl Account {
    /// A new account with these events, each as type, time and data; all must be valid.
    #[track_caller]
    pub(crate) fn counted(events: &[(&str, &str, Value)]) -> Self {
        let account = Self { id: unique("account") };
        let with_account = |(kind, time, data): &(&str, &str, Value)| {
            let mut data = data.clone();
            data["account_id"] = account.id.as_str().into();
            event(kind, time, &data)
        };
        let log: Vec<String> = events.iter().map(with_account).collect();
        let progress = SHARED.count(&log);
        assert_eq!(progress.accepted, log.len() as u64, "an event of the test is not good");
        account
    }

    /// Gets a path below the account's.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        SHARED.get(&format!("/v1/accounts/{}{path}", self.id))
    }

    /// Gets a path below the account's that must be answered with 200 and JSON.
    #[track_caller]
    pub(crate) fn report(&self, path: &str) -> Value {
        SHARED.report(&format!("/v1/accounts/{}{path}", self.id))
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body, which must be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers of ours are text"))
    }
}

impl Api {
    /// An API without access control over an empty database.
    pub(crate) fn open() -> Self {
        Self::with(|_| {})
    }

    /// An API on an empty database, with the test's configuration.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(engine(), change)
    }

    /// The same on a database that is not created yet.
    pub(crate) fn on(database: Database, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&database);
        change(&mut config);
        let store = RUNTIME.block_on(async {
            let store = Store::connect(&config.clickhouse).expect("the URL is one");
            store.migrate().await.expect("the schema applies");
            store
        });
        Self { database: Some(database), ..Self::over(store, config) }
    }

    /// Another API on the same database.
    pub(crate) fn beside(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        let store = Store::connect(&config.clickhouse).expect("the URL is one");
        Self { written: Arc::clone(&self.written), ..Self::over(store, config) }
    }

    fn over(store: Store, config: Config) -> Self {
        let health = Arc::new(Health::new());
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let state = ApiState::new(&config, store.clone(), Arc::clone(&health), metrics)
            .expect("the keys are good");
        let shutdown = CancellationToken::new();
        let listening = RUNTIME.block_on(async {
            let listener =
                tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let address: SocketAddr = listener.local_addr().expect("it listens");
            tokio::spawn(serve(listener, state, shutdown.clone()));
            address
        });
        let base = format!("http://{listening}");
        let written = Arc::new(Mutex::new(Instant::now()));
        let _serving = shutdown.drop_guard();
        Self { store, health, config, base, _serving, database: None, written }
    }

    /// When rows were written the last time.
    pub(crate) fn written(&self) -> Instant {
        *self.written.lock().unwrap()
    }

    /// Writes the rows of a flush, without its progress.
    pub(crate) async fn write_rows(&self, rows: LaneRows) {
        self.store.write_rows(&[rows]).await.expect("the rows are written");
        *self.written.lock().unwrap() = Instant::now();
    }

    /// Runs a statement on the database.
    #[track_caller]
    pub(crate) fn sql(&self, text: &str) -> String {
        self.database.as_ref().expect("the API was opened with a database of its own").query(text)
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Gets a path, query included.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    /// Gets a path that must be answered with 200 and JSON.
    #[track_caller]
    pub(crate) fn report(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Makes a request with headers.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, path, headers, ())
    }

    /// Posts a body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send("POST", path, headers, body)
    }

    #[track_caller]
    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ureq::AsSendBody,
    ) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("the request is one");
        let mut response =
            agent.run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .expect("the body arrives whole");
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// Counts events, one JSON text each, as a separate partition. Each is keyed by its account.
    pub(crate) fn count(&self, events: &[impl AsRef<str>]) -> Progress {
        RUNTIME.block_on(self.count_async(events))
    }

    async fn count_async(&self, events: &[impl AsRef<str>]) -> Progress {
        let rows = self.drained(events).await;
        let (source, progress) = (rows.source.clone(), rows.progress);
        self.write_rows(rows).await;
        self.complete(source, progress).await;
        progress
    }

    /// The rows of a flush of these events, as a separate partition.
    pub(crate) async fn drained(&self, events: &[impl AsRef<str>]) -> LaneRows {
        self.partition().await.drained(&self.store, events).await
    }

    /// Counts events as the next ones of the partition.
    pub(crate) fn count_next(&self, partition: &mut Partition, events: &[impl AsRef<str>]) {
        RUNTIME.block_on(async {
            let rows = partition.drained(&self.store, events).await;
            let progress = rows.progress;
            self.write_rows(rows).await;
            self.complete(partition.source.clone(), progress).await;
        });
    }

    /// A partition of which nothing is counted yet.
    pub(crate) async fn partition(&self) -> Partition {
        let source = Source::new(TOPIC, "", PARTITIONS.fetch_add(1, Ordering::Relaxed));
        let seed = self.store.user_key_seed().await.expect("the schema was applied");
        Partition {
            lane: Lane::new(source.clone(), Progress::default(), seed),
            source,
            next_offset: 0,
        }
    }

    /// Records the progress of a flush whose rows are written.
    pub(crate) async fn complete(&self, source: Source, progress: Progress) {
        let row = ProgressRow {
            source,
            progress,
            high_watermark: progress.next_offset,
            end_valid_for: Duration::from_secs(3_600),
            completes_flush: true,
        };
        self.store.write_progress(&[row]).await.expect("the progress is written");
        *self.written.lock().unwrap() = Instant::now();
    }
}

/// A partition that is counted flush by flush.
pub(crate) struct Partition {
    pub(crate) source: Source,
    lane: Lane,
    next_offset: u64,
}

impl Partition {
    /// The same partition in the hands of another owner, which goes on from this progress.
    pub(crate) async fn reopened(&self, store: &Store, progress: Progress) -> Self {
        let seed = store.user_key_seed().await.expect("the schema was applied");
        Self {
            lane: Lane::new(self.source.clone(), progress, seed),
            source: self.source.clone(),
            next_offset: progress.next_offset,
        }
    }

    /// What a flush of these events would write, which are the next ones of the partition.
    pub(crate) async fn drained(&mut self, store: &Store, events: &[impl AsRef<str>]) -> LaneRows {
        let keys: Vec<Option<String>> = events.iter().map(|event| key(event.as_ref())).collect();
        let batch: Vec<(Record<'_>, Decoded<'_>)> = (self.next_offset..)
            .zip(events.iter().zip(&keys))
            .map(|(offset, (event, key))| {
                let record = Record {
                    offset,
                    timestamp_ms: Some(SENT_AT_MS),
                    key: key.as_ref().map(String::as_bytes),
                    payload: Some(event.as_ref().as_bytes()),
                };
                let decoded = decode(&record);
                (record, decoded)
            })
            .collect();
        self.next_offset += batch.len() as u64;
        let mut rest = &batch[..];
        loop {
            let missing = self.lane.missing(rest);
            let loaded = store.load(&self.source, &missing).await.expect("the store loads");
            self.lane.admit(&missing, loaded);
            match self.lane.apply(rest) {
                Applied::All => break,
                Applied::Blocked { index } | Applied::Gap { index } => rest = &rest[index..],
            }
        }
        self.lane.drain()
    }
}

/// The account that an event names, as a record key.
fn key(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    match event.get("data")?.get("account_id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The defaults, on the test engine, without access control.
fn config(database: &Database) -> Config {
    let mut config =
        seatmeter::config::load(None, std::iter::empty()).expect("the defaults are valid");
    config.clickhouse = database.config();
    config.kafka.topic = TOPIC.to_owned();
    config.auth = Auth { mode: AuthMode::Off };
    // What a test has counted is in the next answer.
    config.http.look_age_max = Duration::ZERO;
    config
}

/// An event with an id of its own.
pub(crate) fn event(kind: &str, time: &str, data: &Value) -> String {
    static IDS: AtomicU32 = AtomicU32::new(0);
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    serde_json::json!({
        "specversion": "1.0", "id": id.to_string(), "source": "/test", "type": kind, "time": time,
        "data": data,
    })
    .to_string()
}
