//! Test environment: the embedded engine, real Apache Kafka, and the program itself as a child
//! process.
//!
//! One engine and one broker are shared by all tests of the binary, each test with a database and
//! topics of its own; tests that kill or restart them start private ones. All processes end with
//! the test process, however it ends.

#![allow(dead_code, reason = "each test module uses some of it")]

pub(crate) mod alerts;
pub(crate) mod engine;
pub(crate) mod http_proxy;
pub(crate) mod kafka;
pub(crate) mod program;
pub(crate) mod seat_intervals;
pub(crate) mod secured_kafka;
pub(crate) mod tcp_proxy;
pub(crate) mod token_endpoint;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use engine::{Database, PrivateEngine, engine};
pub(crate) use kafka::{Cluster, Kafka};
pub(crate) use program::Program;
pub(crate) use seat_intervals::seat_intervals;

/// A name that no other test, and no other run, uses: `prefix`, process, counter; fit for
/// databases, topics and groups.
pub(crate) fn unique(prefix: &str) -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}_{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

/// How long a test waits for something that takes `usual` at most: longer by the factor
/// `SEATMETER_TEST_PATIENCE`, a whole number, for machines that have other work.
pub(crate) fn patience(usual: Duration) -> Duration {
    let Ok(factor) = std::env::var("SEATMETER_TEST_PATIENCE") else { return usual };
    usual * factor.parse::<u32>().expect("SEATMETER_TEST_PATIENCE is a whole number")
}

/// Polls until there is an answer, and fails the test if it does not come in time.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let timeout = patience(timeout);
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "still not after {} s: {what}", timeout.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a requirement of CI may be replaced or skipped here.
pub(crate) fn is_required(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

/// A folder in the target folder for servers that live as long as this process. Static values are
/// never dropped, so folders of earlier processes are removed here.
pub(crate) fn process_folder(kind: &str) -> PathBuf {
    let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&parent).unwrap();
    for entry in std::fs::read_dir(&parent).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner =
            name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')).map(str::to_owned);
        if owner.is_some_and(|pid| !is_running(&pid)) {
            // Another test process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = parent.join(format!("{kind}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether a process with this id exists.
pub(crate) fn is_running(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).output().is_ok_and(|output| output.status.success())
}

/// Peak memory of a process, MiB.
#[track_caller]
pub(crate) fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Sends a signal, such as `STOP`, by its name.
#[track_caller]
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "cannot send SIG{name} to {pid}");
}
