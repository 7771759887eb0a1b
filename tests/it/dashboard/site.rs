//! The site under test: the whole service in this process, on the embedded engine and the mock
//! broker.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use seatmeter::config::{self, Config};
use seatmeter::embedded::kafka::MockBroker;
use seatmeter::http::{self, ApiState};
use seatmeter::ingest;
use seatmeter::store::Store;
use seatmeter::telemetry::health::Health;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Database, engine, eventually, unique};

/// The secret that signs the tokens.
pub(super) const SECRET: &str = "a secret of the dashboard's tests that is long enough";

/// How long counting may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Worker and store, with the events of a scenario counted.
pub(super) struct Site {
    runtime: Runtime,
    config: Config,
    store: Store,
    broker: MockBroker,
    open: Listening,
    database: Database,
}

/// A running API.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Site {
    /// The shared site, with the small scenario `tiny` counted. Its account is `1000`; tests that
    /// add events use their own accounts.
    pub(super) fn tiny() -> &'static Site {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(|| {
            let site = Site::start();
            site.count(&super::expected::events("tiny"));
            site
        })
    }

    /// A site without events.
    pub(super) fn start() -> Site {
        let runtime = Runtime::new().unwrap();
        let database = engine();
        let topic = unique("dashboard");
        let broker = MockBroker::start(&topic, 2).unwrap();
        let mut config = config::load(None, std::iter::empty()).unwrap();
        config.clickhouse = database.config();
        config.kafka.brokers = broker.bootstrap_servers();
        config.kafka.topic = topic;
        config.ingest.flush_interval = Duration::from_millis(200);
        config.ingest.idle_flush_interval = Duration::from_secs(1);
        let store = Store::connect(&config.clickhouse).unwrap();
        runtime.block_on(store.migrate()).unwrap();
        let (worker, kept) = (config.clone(), store.clone());
        runtime.spawn(async move {
            let seed = kept.user_key_seed().await.unwrap();
            let counted =
                ingest::run(&worker, kept, seed, Arc::new(Health::new()), CancellationToken::new())
                    .await;
            eprintln!("the worker of the dashboard's tests ended: {counted:?}");
        });
        let open = serve(&runtime, &config, &store, "127.0.0.1:0".parse().unwrap());
        Site { runtime, config, store, broker, open, database }
    }

    /// The page, with the given query.
    pub(super) fn page(&self, query: &str) -> String {
        format!("http://{}/?{query}", self.open.address)
    }

    /// Another API on the same figures, optionally with tokens.
    pub(super) fn listen(&self, with_tokens: bool, address: Option<SocketAddr>) -> Listening {
        let mut config = self.config.clone();
        if with_tokens {
            let secrets =
                [("SEATMETER__AUTH__MODE", "jwt"), ("SEATMETER__AUTH__HS256_SECRETS", SECRET)];
            config.auth =
                config::load(None, secrets.map(|(name, value)| (name.into(), value.into())))
                    .unwrap()
                    .auth;
        }
        serve(
            &self.runtime,
            &config,
            &self.store,
            address.unwrap_or("127.0.0.1:0".parse().unwrap()),
        )
    }

    /// Runs a statement on the database.
    #[track_caller]
    pub(super) fn sql(&self, text: &str) {
        self.database.query(text);
    }

    /// Sends the lines of an NDJSON text to the topic and waits until all are counted.
    #[track_caller]
    pub(super) fn count(&self, events: &str) {
        let before = self.counted();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap_servers())
            .create()
            .unwrap();
        let lines: Vec<&str> = events.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines {
            let key = key(line);
            producer
                .send(BaseRecord::to(&self.config.kafka.topic).key(&key).payload(*line))
                .unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let wanted = before + u64::try_from(lines.len()).unwrap();
        eventually("all events are counted", PATIENCE, || (self.counted() >= wanted).then_some(()));
    }

    /// Records that are counted in any way.
    fn counted(&self) -> u64 {
        let report: Value = ureq::get(format!("http://{}/v1/ingest", self.open.address))
            .call()
            .unwrap()
            .into_body()
            .read_json()
            .unwrap();
        ["events", "rejected", "duplicates", "skipped"]
            .map(|name| report[name].as_u64().unwrap())
            .iter()
            .sum()
    }
}

impl Listening {
    /// The page, with the given query.
    pub(super) fn page(&self, query: &str) -> String {
        format!("http://{}/?{query}", self.address)
    }

    /// Stops, and returns the address once it is free again.
    pub(super) fn stop(self, site: &Site) -> SocketAddr {
        self.stop.cancel();
        site.runtime.block_on(self.served).unwrap();
        self.address
    }
}

fn serve(runtime: &Runtime, config: &Config, store: &Store, address: SocketAddr) -> Listening {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let state = ApiState::new(config, store.clone(), Arc::new(Health::new()), metrics).unwrap();
    let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let served =
        runtime.spawn(async move { http::serve(listener, state, stopping).await.unwrap() });
    Listening { address, stop, served }
}

/// The account's id, which is the key of the record; a line without one is rejected anyway.
fn key(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    match &event["data"]["account_id"] {
        Value::String(id) => id.clone(),
        other => other.to_string(),
    }
}

/// One event, as a line.
pub(super) fn event(kind: &str, time: &str, data: &Value) -> String {
    let id = unique("event");
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": kind, "time": time,
        "data": data,
    })
    .to_string()
}

/// A token with these grants, good for an hour.
pub(super) fn token(grants: &Value) -> String {
    let expiry = chrono::Utc::now().timestamp() + 3600;
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let claims = json!({ "sub": "somebody", "exp": expiry, "grants": grants });
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// Writes a file into `target/screenshots` and prints its path.
pub(super) fn keep(name: &str, content: &[u8]) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().write_all(content).unwrap();
    println!("{}", path.display());
}
