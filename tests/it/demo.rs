//! `seatmeter demo`, as a new user runs it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter::store::schema_version;
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
            (counted >= records && ingest["complete"] == true).then_some(ingest)
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

const LOGIN: &str = "{\"id\":\"1\",\
    \"source\":\"/auth\",\"type\":\"user.login\",\"time\":\"2026-03-01T09:12:33Z\",\
    \"data\":{\"account_id\":\"acme\",\"organization_id\":\"42\",\"user_id\":9013}}";
const TEST: &str = "{\"id\":\"2\",\
    \"source\":\"/runner\",\"type\":\"test.executed\",\"time\":\"2026-03-01T10:00:00Z\",\
    \"data\":{\"account_id\":\"acme\",\"organization_id\":\"42\",\"origin\":\"run\",\"tests\":5}}";

/// A second demo on the same data is refused, without harm: told once, whatever its port is.
fn refuses_another_on_its_data(demo: &mut Demo, events: [&str; 2]) {
    let taken = demo.api.strip_prefix("http://").unwrap();
    for listen in ["127.0.0.1:0", taken] {
        let mut second = command(&["demo", "--listen", listen, "--data-dir"]);
        let refused = second.arg(demo.data.path()).args(events).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(refused.stderr).unwrap(),
            format!(
                "seatmeter: another demo (process {}) is running on the data in {}; use that one, \
                stop it by Ctrl-C, or give this one its own data by --data-dir, and its own port \
                by --listen\n",
                demo.program.pid(),
                demo.data.path().join("demo").display()
            )
        );
    }
}

#[test]
fn it_counts_a_file_and_begins_anew_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &[LOGIN, "", TEST, TEST, "  ", "not JSON"]);
    let events = ["--events", path.to_str().unwrap()];
    let mut demo = Demo::start(&events);
    let sight = "?account=acme&from=2026-03-01&to=2026-03-01";
    assert_eq!(
        demo.dashboard,
        format!("{}/{sight}", demo.api),
        "the account of the first event, and the days of the data"
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
    assert_eq!(ingest["complete"], true);
    let line = demo.program.wait_for_line("4 records counted in ", LONG);
    assert!(line.ends_with(" s: 2 accepted, 1 duplicate, 1 rejected"), "{line}");
    demo.program.wait_for_line("  1 invalid_json, first in line 6, \"not JSON\"", LONG);
    demo.program.wait_for_line(&format!("see {}/{sight}", demo.api), LONG);

    refuses_another_on_its_data(&mut demo, events);
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
            "{{\"id\":\"{number}\",\"source\":\"/runner\",\"type\":\"test.executed\",\
            \"time\":\"2026-03-01T10:00:00Z\",\
             \"padding\":\"{padding}\",\"data\":{{\"account_id\":\"acme\",\
             \"organization_id\":\"42\",\"origin\":\"run\"}}}}\n"
        ));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &[&lines]);
    let mut demo = Demo::start(&["--events", path.to_str().unwrap()]);
    let ingest = demo.wait_until_counted(2_000);
    assert_eq!((&ingest["events"], &ingest["absent"]), (&2_000.into(), &0.into()));
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
}

/// Small records, which the worker reads in many batches, in one partition and packed, with a line
/// that no broker takes: every line is counted.
#[test]
fn every_line_of_one_account_is_counted_however_many_there_are() {
    const LINES: u64 = 60_000;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"\xef\xbb\xbf").unwrap();
    for number in 0..LINES {
        let (hour, minute, second) = (number / 3_600 % 24, number / 60 % 60, number % 60);
        if number == LINES / 2 {
            let long = vec![b'x'; 17 << 20];
            packer.write_all(&long).unwrap();
            packer.write_all(b"\n").unwrap();
        }
        writeln!(
            packer,
            "{{\"specversion\":\"1.0\",\"id\":\"evt-{number}\",\"source\":\"/runner/builds\",\
             \"type\":\"test.executed\",\
             \"time\":\"2026-03-02T{hour:02}:{minute:02}:{second:02}.123Z\",\
             \"data\":{{\"account_id\":\"acme\",\"organization_id\":\"42\",\"user_id\":{},\
             \"origin\":\"run\",\"tests\":3}}}}",
            number % 997
        )
        .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson.gz");
    std::fs::write(&path, packer.finish().unwrap()).unwrap();
    let mut demo = Demo::start(&["--events", path.to_str().unwrap()]);
    let ingest = demo.wait_until_counted(LINES + 1);
    let outcomes = ["events", "rejected", "duplicates", "skipped", "absent", "lag"]
        .map(|name| ingest[name].as_u64().unwrap());
    assert_eq!(outcomes, [LINES, 1, 0, 0, 0, 0]);
    let sums = "SELECT sum(run) FROM test_executions_daily";
    assert_eq!(demo.query(sums), format!("{}\n", 3 * LINES));
    assert_eq!(demo.query("SELECT max(active_users) FROM daily_active_users_by_account"), "997\n");
    let line = format!("  1 too_large, first in line {}, ", "30,001");
    demo.program.wait_for_line(&line, LONG);
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
}

#[test]
fn a_file_of_another_form_is_told_what_it_looks_like() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &["id,source,type,time", "1,/auth,user.login,2026"]);
    let mut demo = Demo::start(&["--events", path.to_str().unwrap()]);
    assert_eq!(demo.dashboard, format!("{}/", demo.api), "no event names an account");
    let line = demo.program.wait_for_line("  2 invalid_json, first in line 1, ", LONG);
    assert!(line.ends_with("this looks like CSV; one JSON event a line is expected"), "{line}");
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());

    // The elements of an array are events.
    let path = events_file(folder.path(), &["[", LOGIN, ",", TEST, "]"]);
    let mut demo = Demo::start(&["--events", path.to_str().unwrap()]);
    let line = demo.program.wait_for_line("2 records counted in ", LONG);
    assert!(line.ends_with(" s: 2 accepted"), "{line}");
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
}

/// Judges metrics by the rules of `promtool check metrics`.
fn check_metrics(text: &str) {
    let mut types = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            assert!(types.insert(name, kind).is_none(), "{name} is there twice");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        } else if !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|name| types.contains_key(name)))
                .unwrap_or(name);
            let kind = types.get(family).unwrap_or_else(|| panic!("{line} has no type"));
            assert!(*kind == "summary" || !line.contains("quantile="), "{line}");
        }
    }
    for series in [
        "seatmeter_records_total{outcome=\"absent\"} 0",
        "seatmeter_rejected_records_total{reason=\"too_large\"} 0",
        "seatmeter_seeks_total{cause=\"gap\"} 0",
        "seatmeter_flush_rows_total{table=\"zone_facts\"} ",
        "seatmeter_http_requests_total{route=\"/v1/ingest\",status=\"200\"} ",
        "seatmeter_http_answers_total{by=\"kept\"} ",
        "seatmeter_http_places{kind=\"export\",state=\"waiting\"} 0",
        "seatmeter_build_info{",
        "seatmeter_data_age_seconds ",
        "seatmeter_end_to_end_latency_seconds{quantile=\"0.99\"} ",
        "seatmeter_end_to_end_duration_seconds_bucket{le=\"+Inf\"} ",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_start_time_seconds ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(series)), "{series} is not in\n{text}");
    }
    assert!(text.contains(&format!("schema=\"{}\"", schema_version())), "{text}");
}

#[test]
fn the_made_up_demo_shows_every_status_of_a_quota() {
    let mut demo = Demo::start(&[]);
    assert_eq!(demo.dashboard, format!("{}/?account=acme&organization_id=42&range=90d", demo.api));
    demo.program.wait_for_line(" records counted in ", LONG);
    assert_eq!(demo.ingest()["complete"], true);
    let statuses = ["42", "101", "102"].map(|organization| {
        let path = format!("{}/v1/accounts/acme/organizations/{organization}/quota", demo.api);
        let quota: Value = ureq::get(path).call().unwrap().body_mut().read_json().unwrap();
        quota["status"].as_str().unwrap().to_owned()
    });
    assert_eq!(statuses, ["grace", "exhausted", "within"]);
    let metrics = ureq::get(format!("{}/metrics", demo.api)).call().unwrap();
    check_metrics(&metrics.into_body().read_to_string().unwrap());
    assert!(demo.program.terminate(STOP_TIMEOUT).success(), "{}", demo.program.stderr());
}

#[test]
fn a_canary_watches_what_the_demo_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_file(folder.path(), &[LOGIN, TEST]);
    let mut demo = Demo::start(&["--canary", "--events", path.to_str().unwrap()]);
    demo.program.wait_for_line("the canary sends events of account \"seatmeter-canary\"", LONG);
    let metrics = || {
        let answer = ureq::get(format!("{}/metrics", demo.api)).call().unwrap();
        answer.into_body().read_to_string().unwrap()
    };
    let text = eventually("two rounds are seen", STOP_TIMEOUT, || {
        let text = metrics();
        let seen = "seatmeter_canary_end_to_end_duration_seconds_count ";
        let rounds = text.lines().find_map(|line| line.strip_prefix(seen)).map(str::to_owned);
        rounds.is_some_and(|rounds| rounds.parse::<u64>().unwrap() >= 2).then_some(text)
    });
    check_metrics(&text);
    for report in ["test_activity", "quota", "license_history", "license_usage", "assignments"] {
        let line = format!("seatmeter_canary_wrong_answers_total{{report=\"{report}\"}} 0");
        assert!(text.lines().any(|of| of == line), "{line} is not in\n{text}");
    }
    assert_eq!(demo.ingest()["complete"], true);
    demo.program.wait_for_line("2 records counted in ", LONG);
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
    let port = taken.strip_prefix("127.0.0.1:").unwrap();
    for listen in [port.to_owned(), format!("localhost:{port}")] {
        check(&["--listen", &listen], &format!("seatmeter: cannot listen on {taken}; "));
    }
}
