//! Logs that grow and cannot be read: rights that were never granted or are revoked, data that
//! cannot be unpacked or is damaged. The worker reports it, claims no freshness for what it does
//! not read, and counts exactly once it can.

mod denied;
mod ready;
mod unreadable;

use std::time::Duration;

use serde_json::Value;

use crate::counting::{Setup, ask};
use crate::support::Program;

/// How long a change may take to be noticed on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// Starts a worker that serves the report API too.
#[track_caller]
fn run(setup: &Setup<'_>) -> Program {
    Program::spawn(
        setup.command(&["run"]).env("SEATMETER__LOG__FILTER", "info,seatmeter::access=off"),
    )
}

/// Polls twice a second, and fails the test if the answer does not come in time.
#[track_caller]
fn eventually<T>(what: &str, timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "still not after {} s: {what}",
            timeout.as_secs()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until `/readyz` reports this component, with a reason that contains all of `parts`.
#[track_caller]
fn wait_for_reason(worker: &mut Program, component: &str, parts: &[&str]) -> String {
    eventually(&format!("{component}: {parts:?}"), SOON, || {
        let (status, body) = ask(worker, "/readyz");
        let reason = reason(&body, component)?;
        (status == 503 && parts.iter().all(|part| reason.contains(part))).then_some(reason)
    })
}

/// The reason of a component on `/readyz`.
fn reason(readiness: &str, component: &str) -> Option<String> {
    let readiness: Value = serde_json::from_str(readiness).unwrap();
    let waiting = readiness["waiting_for"].as_array().unwrap().clone();
    let of_component = waiting.iter().find(|waiting| waiting["component"] == component)?;
    Some(of_component["reason"].as_str().unwrap().to_owned())
}

#[track_caller]
fn wait_until_ready(worker: &mut Program) {
    eventually("ready", SOON, || (ask(worker, "/readyz").0 == 200).then_some(()));
}

/// The partition's entry in `GET /v1/ingest`.
#[track_caller]
fn partition(worker: &mut Program, partition: u64) -> Value {
    let report: Value = serde_json::from_str(&ask(worker, "/v1/ingest").1).unwrap();
    let partitions = report["partitions"].as_array().unwrap().clone();
    partitions.into_iter().find(|entry| entry["partition"] == partition).unwrap_or(Value::Null)
}

/// The warnings in the log that contain this.
fn warnings(worker: &Program, part: &str) -> Vec<String> {
    let lines = worker.stderr();
    lines
        .lines()
        .filter(|line| line.contains("WARN") && line.contains(part))
        .map(str::to_owned)
        .collect()
}
