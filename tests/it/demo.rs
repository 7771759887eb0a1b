//! `seatmeter demo`, as a new user runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::engine::{PASSWORD, execute};
use crate::support::program::command;
use crate::support::{Program, eventually};

/// The embedded engine may have to be fetched first.
const LONG: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running demo on its own data.
struct Demo {
    program: Program,
    data: tempfile::TempDir,
    dashboard: String,
    api: String,
    clickhouse: String,
}

impl Demo {
    #[track_caller]
    fn start(arguments: &[&str]) -> Self {
        let data = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = command(&["demo", "--listen", "127.0.0.1:0", "--data-dir"]);
        let mut program = Program::spawn(command.arg(data.path()).args(arguments));
        let mut address = |name: &str| {
            let line = program.wait_for_line(name, LONG);
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        let (dashboard, api, clickhouse) =
            (address("  Dashboard "), address("  API "), address("  ClickHouse "));
        Self { program, data, dashboard, api, clickhouse }
    }

    /// The answer of `GET /v1/ingest`.
    fn ingest(&self) -> Value {
        ureq::get(format!("{}/v1/ingest", self.api)).call().unwrap().body_mut().read_json().unwrap()
    }

    /// Waits until that many records are counted, and returns the counts.
    #[track_caller]
    fn wait_until_counted(&self, records: u64) -> Value {
        eventually("all records are counted", LONG, || {
            let ingest = self.ingest();
            let outcomes = ["events", "rejected", "duplicates", "skipped"];
            let counted: u64 =
                outcomes.iter().map(|outcome| ingest[outcome].as_u64().unwrap()).sum();
            (counted >= records && ingest["lag"] == 0).then_some(ingest)
        })
    }

    #[track_caller]
    fn query(&self, sql: &str) -> String {
        execute(&format!("{}/?database=seatmeter", self.clickhouse), sql)
    }
}

fn events_file(folder: &Path, lines: &[&str]) -> PathBuf {
    let path = folder.join("events.ndjson");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

const LOGIN: &str = r#"{"id":"1","source":"/auth","type":"user.login","time":"2026-03-01T09:12:33Z","data":{"account_id":"acme","organization_id":"42","user_id":9013}}"#;
const TEST: &str = r#"{"id":"2","source":"/runner","type":"test.executed","time":"2026-03-01T10:00:00Z","data":{"account_id":"acme","organization_id":"42","origin":"run","tests":5}}"#;

#[test]
fn it_counts_a_file_and_begins_anew_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &[LOGIN, "", TEST, TEST, "  ", "not JSON"]);
    let events = ["--events", path.to_str().unwrap()];
    let mut demo = Demo::start(&events);
    assert_eq!(
        demo.dashboard,
        format!("{}/?account=acme", demo.api),
        "the account of the first event"
    );
    let page = ureq::get(&demo.dashboard).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains("<title>seatmeter</title>"), "{page}");
    let ingest = demo.wait_until_counted(4);
    let outcomes = ["events", "rejected", "duplicates", "skipped", "absent"]
        .map(|name| ingest[name].as_u64().unwrap());
    assert_eq!(outcomes, [2, 1, 1, 0, 0]);
    assert_eq!(
        demo.query("SELECT account_id, sum(run) FROM test_executions_daily GROUP BY ALL"),
        "acme\t5\n"
    );
    demo.program.wait_for_line("4 records counted in ", LONG);

    // A second demo on the same data is refused, without harm.
    let mut second = command(&["demo", "--listen", "127.0.0.1:0", "--data-dir"]);
    let refused = second.arg(demo.data.path()).args(events).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("seatmeter: ") && last.contains("is in use by another engine"),
        "{said}"
    );
    assert_eq!(demo.query("SELECT sum(run) FROM test_executions_daily"), "5\n");

    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
    let path = events_file(folder.path(), &[LOGIN]);
    let data = demo.data;
    let mut again = command(&["demo", "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut again = Program::spawn(again.arg(data.path()).args([
        "--events",
        path.to_str().unwrap(),
        "--password",
        PASSWORD,
    ]));
    again.wait_for_line("1 record counted in ", LONG);
    let line = again.wait_for_line("  ClickHouse ", LONG);
    let url = line.split_whitespace().nth(1).unwrap();
    assert!(
        !url.contains('@') && !line.contains(PASSWORD),
        "a password that was named is not printed: {line}"
    );
    assert!(
        !std::fs::read_to_string(format!("/proc/{}/cmdline", again.pid()))
            .unwrap()
            .contains(PASSWORD)
    );
    assert_eq!(
        execute(&format!("{url}/?database=seatmeter"), "SELECT count() FROM test_executions_daily"),
        "0\n"
    );
    assert!(again.terminate(STOP_TIMEOUT).success(), "{}", again.stderr());
}

#[test]
fn a_file_far_larger_than_the_broker_keeps_is_counted_whole() {
    // All of it in one partition, of which the broker keeps 5 MiB.
    let mut lines = String::new();
    let padding = "x".repeat(10_000);
    for number in 0..2_000 {
        lines.push_str(&format!(
            "{{\"id\":\"{number}\",\"source\":\"/runner\",\"type\":\"test.executed\",\"time\":\"2026-03-01T10:00:00Z\",\
             \"padding\":\"{padding}\",\"data\":{{\"account_id\":\"acme\",\"organization_id\":\"42\",\"origin\":\"run\"}}}}\n"
        ));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &[&lines]);
    let mut demo = Demo::start(&["--events", path.to_str().unwrap()]);
    let ingest = demo.wait_until_counted(2_000);
    assert_eq!((&ingest["events"], &ingest["absent"]), (&2_000.into(), &0.into()));
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
}

#[test]
fn what_cannot_work_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let check = |arguments: &[&str], expected: &str| {
        let output = command(&["demo"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
    };
    check(
        &["--events", "/nonexistent.ndjson"],
        "seatmeter: cannot read /nonexistent.ndjson: No such file",
    );
    check(
        &["--listen", &taken],
        &format!("seatmeter: cannot listen on {taken}; choose another address by --listen: "),
    );
    check(
        &["--listen", "0.0.0.0:8080"],
        "seatmeter: --listen 0.0.0.0:8080 is not a loopback address, ",
    );
}
