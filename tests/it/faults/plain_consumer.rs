//! The baseline: a consumer as commonly written. It sums what it has read, inserts the sums as
//! deltas, retries until that works, and then commits its offsets.
//!
//! It is a separate process, so that it can be killed and stopped: this test binary, running one
//! ignored test.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::counting::Setup;
use crate::support::Program;
use crate::support::engine::PASSWORD;

/// As in the program, in these tests.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Account, organization, project, day.
type Key = [String; 4];

/// The environment variables of [`Settings`], in its order.
const VARIABLES: [&str; 5] = [
    "PLAIN_BROKERS",
    "PLAIN_TOPIC",
    "PLAIN_GROUP",
    "PLAIN_CLICKHOUSE_URL",
    "PLAIN_CLICKHOUSE_DATABASE",
];

/// Its group.
pub(super) fn group(setup: &Setup<'_>) -> String {
    format!("plain-{}", setup.group)
}

/// Creates its table.
pub(super) fn migrate(setup: &Setup<'_>) {
    setup.database.query(
        "CREATE TABLE plain_counts (account_id String, organization_id String, project_id String, \
        day String, tests UInt64) \
         ENGINE = SummingMergeTree ORDER BY (account_id, organization_id, project_id, day)",
    );
}

/// All tests that it has counted.
pub(super) fn tests_counted(setup: &Setup<'_>) -> u64 {
    setup.database.query("SELECT sum(tests) FROM plain_counts").trim().parse().unwrap()
}

/// Starts one more consumer of the group, which writes to this URL.
pub(super) fn spawn(setup: &Setup<'_>, clickhouse_url: &str) -> Program {
    let values = [
        setup.kafka.bootstrap_servers(),
        &setup.topic,
        &group(setup),
        clickhouse_url,
        &setup.database.internal(),
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "faults::plain_consumer::as_process", "--ignored", "--nocapture"]);
    Program::spawn(command.envs(VARIABLES.into_iter().zip(values)))
}

#[test]
#[ignore = "no test, but the process that the long run starts"]
fn as_process() {
    let values: Vec<String> =
        VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).collect();
    let Ok([brokers, topic, group, url, database]) = <[String; 5]>::try_from(values) else {
        return;
    };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "3000")
        .set("heartbeat.interval.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("log_level", "0");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&topic]).unwrap();
    consume(&consumer, &format!("{url}/?database={database}"), &stop_on_sigterm());
}

fn consume(consumer: &BaseConsumer, url: &str, stop: &AtomicBool) {
    let mut deltas: BTreeMap<Key, u64> = BTreeMap::new();
    let mut has_read = false;
    let mut flushed_at = Instant::now();
    loop {
        // Errors are temporary, as long as it goes on polling.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) {
            has_read = true;
            if let Some((key, tests)) = message.payload().and_then(tests_of) {
                *deltas.entry(key).or_default() += tests;
            }
        }
        let is_over = stop.load(Ordering::Relaxed);
        if has_read && (is_over || flushed_at.elapsed() >= FLUSH_INTERVAL) {
            if !deltas.is_empty() && !insert(url, &deltas, stop) {
                return;
            }
            deltas.clear();
            // What is not committed now is committed next time.
            let _ = consumer.commit_consumer_state(CommitMode::Sync);
            (has_read, flushed_at) = (false, Instant::now());
        }
        if is_over {
            return;
        }
    }
}

fn tests_of(payload: &[u8]) -> Option<(Key, u64)> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    if event["type"] != "test.executed" {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (data, day) = (&event["data"], event["time"].as_str()?.get(..10)?.to_owned());
    let key = [
        text(&data["account_id"])?,
        text(&data["organization_id"])?,
        text(&data["project_id"])?,
        day,
    ];
    Some((key, data["tests"].as_u64()?))
}

/// Inserts until it works. False if it is stopped before that.
fn insert(url: &str, deltas: &BTreeMap<Key, u64>, stop: &AtomicBool) -> bool {
    let rows: Vec<String> = deltas
        .iter()
        .map(|([account, organization, project, day], tests)| {
            format!("('{account}','{organization}','{project}','{day}',{tests})")
        })
        .collect();
    let sql = rows.join(",");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().into();
    // The statement stands in the URL and its rows in the body, as client libraries do it.
    let url = format!("{url}&query=INSERT%20INTO%20plain_counts%20VALUES");
    while agent.post(&url).header("X-ClickHouse-Key", PASSWORD).send(&sql).is_err() {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    true
}

fn stop_on_sigterm() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { signal(SignalKind::terminate()).unwrap().recv().await });
        told.store(true, Ordering::Relaxed);
    });
    stop
}
