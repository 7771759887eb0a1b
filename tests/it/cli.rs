//! The command line: output streams, exit status, and that each failure is one line with the way
//! out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};
use crate::support::engine;
use crate::support::engine::PASSWORD;
use crate::support::program::command;

/// The program with these arguments, and with nothing on standard input.
fn seatmeter(arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What the command printed, which must have succeeded.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{status}: {}", text(&stderr));
    text(&stdout).to_owned()
}

/// The one line with which the command failed.
#[track_caller]
fn fails(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(status.code(), Some(1), "{}", text(&stderr));
    assert_eq!(text(&stdout), "");
    let line = text(&stderr).strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line.strip_prefix("seatmeter: ").unwrap().to_owned()
}

/// A port of this machine without a listener.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn help_names_every_command() {
    let help = succeeds(&mut seatmeter(&["--help"]));
    let commands = [
        "demo",
        "run",
        "worker",
        "api",
        "migrate",
        "clickhouse",
        "produce",
        "generate",
        "canary",
        "alerts",
        "check-config",
        "token",
    ];
    for name in commands {
        assert!(help.contains(&format!("  {name} ")), "{name} is not in\n{help}");
        succeeds(&mut seatmeter(&[name, "--help"]));
    }
}

#[test]
fn the_version_names_commit_engine_and_zone_data() {
    let version = succeeds(&mut seatmeter(&["--version"]));
    let begin = format!("seatmeter {} (commit ", env!("CARGO_PKG_VERSION"));
    let end = format!(
        ", embedded ClickHouse {}, time zones {})\n",
        seatmeter::embedded::provision::ENGINE_VERSION,
        seatmeter::core::calendar::RELEASE
    );
    let commit = version.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(&end));
    assert!(commit.is_some_and(|commit| !commit.is_empty()), "{version}");
}

#[test]
fn shells_and_readers_of_manuals_are_told_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = succeeds(&mut seatmeter(&["completions", shell]));
        // Fish names a long option without its dashes.
        let names_events = script.contains("--events") || script.contains("-l events");
        assert!(script.contains("check-config") && names_events, "{shell}");
    }
    let page = succeeds(&mut seatmeter(&["man"]));
    assert!(page.contains(".TH seatmeter 1") && page.contains("seatmeter\\-demo(1)"), "{page}");
    let page = succeeds(&mut seatmeter(&["man", "demo"]));
    assert!(page.contains("\\-\\-events"), "{page}");
    let line = fails(&mut seatmeter(&["man", "dmo"]));
    assert_eq!(line, "there is no command \"dmo\"; `seatmeter --help` lists them");

    let folder = tempfile::tempdir().unwrap();
    succeeds(seatmeter(&["man", "--output-dir"]).arg(folder.path()));
    for name in ["seatmeter.1", "seatmeter-demo.1", "seatmeter-check-config.1"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn check_config_prints_json_for_programs() {
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    let printed = succeeds(
        seatmeter(&["check-config", "--offline", "--json"])
            .env("SEATMETER__KAFKA__TOPIC", "t")
            .env("SEATMETER__CLICKHOUSE__PASSWORD", "hunter2"),
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    let printed = json(printed.as_bytes());
    assert_eq!((&printed["valid"], &printed["checks"]), (&json!(true), &json!([])));
    assert_eq!(printed["config"]["kafka"]["topic"], "t");
    assert_eq!(printed["config"]["http"]["cors_origins"], json!([]));

    let output = seatmeter(&["check-config", "--json"])
        .env("SEATMETER__KAFKA__TOPIC", "a b")
        .env("SEATMETER_KAFKA_BROKERS", "b:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = json(&output.stdout);
    assert_eq!(printed["valid"], false);
    let keys: Vec<_> =
        printed["problems"].as_array().unwrap().iter().map(|problem| &problem["key"]).collect();
    assert_eq!(keys, ["SEATMETER_KAFKA_BROKERS"]);

    // Nothing answers at either address.
    let address = format!("127.0.0.1:{}", closed_port());
    let output = seatmeter(&["check-config", "--json"])
        .env("SEATMETER__KAFKA__BROKERS", &address)
        .env("SEATMETER__CLICKHOUSE__URL", format!("http://{address}"))
        .output()
        .unwrap();
    let checks = &json(&output.stdout)["checks"];
    assert!(
        checks.as_array().unwrap().iter().any(|check| check["outcome"] == "not checked"),
        "{checks}"
    );
}

#[test]
fn wrong_usage_has_its_own_exit_status() {
    for arguments in [&["frobnicate"][..], &["produce"], &["generate", "--late", "2"], &[]] {
        let output = seatmeter(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn check_config_prints_what_is_in_effect_and_what_there_is() {
    let command = &mut seatmeter(&["check-config", "--offline"]);
    let shown = succeeds(command.env("SEATMETER__CLICKHOUSE__PASSWORD", "hunter2"));
    assert!(shown.contains("topic = \"usage-events\""), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let defaults = succeeds(&mut seatmeter(&["check-config", "--defaults"]));
    assert_eq!(defaults, seatmeter::config::DEFAULTS);
}

#[test]
fn check_config_says_what_it_could_not_look_at() {
    let port = closed_port();
    let output = seatmeter(&["check-config"])
        .env("SEATMETER__KAFKA__BROKERS", format!("127.0.0.1:{port}"))
        .env("SEATMETER__CLICKHOUSE__URL", format!("http://127.0.0.1:{port}"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let told: Vec<_> = text(&output.stderr).lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with(&format!("not checked: cannot reach Kafka at 127.0.0.1:{port}")),
        "{told:?}"
    );
    assert!(
        told[1]
            .starts_with(&format!("not checked: ClickHouse at http://127.0.0.1:{port} cannot be")),
        "{told:?}"
    );
}

#[test]
fn a_wrong_configuration_is_told_by_key_value_and_range() {
    let command = &mut seatmeter(&["check-config"]);
    let line = fails(command.env("SEATMETER__INGEST__BATCH_WAIT_MS", "0"));
    assert_eq!(line, "configuration: ingest.batch_wait_ms = 0: allowed are 1 to 1000");
    let line = fails(&mut seatmeter(&["--config", "/nonexistent.toml", "migrate"]));
    assert!(
        line.starts_with(
            "configuration: /nonexistent.toml: the configuration file cannot be read: "
        ),
        "{line}"
    );
}

#[test]
fn a_missing_clickhouse_or_broker_is_told_by_address() {
    let port = closed_port();
    let command = &mut seatmeter(&["migrate"]);
    let line = fails(command.env("SEATMETER__CLICKHOUSE__URL", format!("http://127.0.0.1:{port}")));
    assert!(
        line.starts_with(&format!("ClickHouse at http://127.0.0.1:{port} cannot be reached: ")),
        "{line}"
    );

    let events = events_file("{}\n");
    let command = &mut seatmeter(&["produce", events.path().to_str().unwrap()]);
    let line = fails(command.env("SEATMETER__KAFKA__BROKERS", format!("127.0.0.1:{port}")));
    assert!(
        line.starts_with(&format!("cannot reach Kafka at 127.0.0.1:{port} (kafka.brokers): ")),
        "{line}"
    );
    assert!(line.contains("Connection refused"), "{line}");
}

#[test]
fn a_missing_events_file_is_told() {
    let line = fails(&mut seatmeter(&["produce", "/nonexistent.ndjson"]));
    assert_eq!(line, "cannot read /nonexistent.ndjson: No such file or directory (os error 2)");
    let line = fails(&mut seatmeter(&["produce", "/"]));
    assert_eq!(line, "/ is a directory; name a file of events");
}

fn events_file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

#[test]
fn generate_is_the_same_for_the_same_seed_on_standard_output_and_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("events.ndjson");
    let arguments =
        ["generate", "--from", "2026-01-01", "--to", "2026-01-03", "--users", "20", "--seed"];
    let to_stdout = |seed| succeeds(seatmeter(&arguments).arg(seed));
    succeeds(seatmeter(&arguments).arg("7").arg("--output").arg(&path));
    assert_eq!(to_stdout("7"), std::fs::read_to_string(&path).unwrap());
    assert_ne!(to_stdout("7"), to_stdout("8"));
    assert_eq!(succeeds(seatmeter(&arguments).args(["7", "--count", "5"])).lines().count(), 5);

    for (flag, day) in [("--from", "1999-06-01"), ("--from", "2000-07-17"), ("--to", "2100-01-01")]
    {
        let line = fails(&mut seatmeter(&["generate", flag, day, "--count", "1"]));
        assert!(line.contains(flag) && line.contains("rejected"), "{line}");
    }
    succeeds(&mut seatmeter(&[
        "generate",
        "--from",
        "2000-07-18",
        "--to",
        "2000-07-18",
        "--count",
        "1",
    ]));
    let line = fails(
        seatmeter(&["generate", "--from", "2026-01-02", "--to", "2026-01-01"]).arg("--seed=1"),
    );
    assert_eq!(
        line,
        "--from 2026-01-02 lies after --to 2026-01-01; it must be that day or earlier"
    );
    let line = fails(&mut seatmeter(&["generate", "--output", "/nonexistent/events"]));
    assert_eq!(line, "cannot write /nonexistent/events: No such file or directory (os error 2)");
}

#[test]
fn generate_ends_quietly_when_its_reader_leaves() {
    let mut child = seatmeter(&["generate", "--from", "2026-01-01", "--to", "2026-03-31"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"specversion\":\"1.0\""), "{first}");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

/// The claims of a token that the arguments mint, checked by the key.
fn claims(
    arguments: &[&str],
    environment: &[(&str, &str)],
    algorithm: Algorithm,
    key: &DecodingKey,
) -> Value {
    let token = succeeds(seatmeter(arguments).envs(environment.iter().copied()));
    let mut validation = Validation::new(algorithm);
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token.trim(), key, &validation).unwrap().claims
}

#[test]
fn token_mints_what_the_configuration_accepts() {
    let secret = "0123456789abcdef0123456789abcdef";
    let environment = [
        ("SEATMETER__AUTH__MODE", "jwt"),
        ("SEATMETER__AUTH__HS256_SECRETS", secret),
        ("SEATMETER__AUTH__ISSUER", "https://issuer.example"),
        ("SEATMETER__AUTH__AUDIENCE", "seatmeter"),
    ];
    let key = DecodingKey::from_secret(secret.as_bytes());
    let arguments =
        ["token", "--account", "acme", "--organization", "42", "--role", "billing_manager"];
    let claims = claims(&arguments, &environment, Algorithm::HS256, &key);
    assert_eq!(
        claims["grants"],
        json!([{"account": "acme", "organization": "42", "role": "billing_manager"}])
    );
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("https://issuer.example"), &json!("seatmeter"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let arguments = ["token", "--account", "*", "--role", "checker"];
    let claims = self::claims(&arguments, &environment, Algorithm::HS256, &key);
    assert_eq!(claims["grants"], json!([{"account": "*", "role": "checker"}]));
}

#[test]
fn token_signs_with_private_keys() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys");
    let read = |name: &str| std::fs::read(keys.join(name)).unwrap();
    let ed25519 = DecodingKey::from_ed_pem(&read("ed25519.public.pem")).unwrap();
    let rsa = DecodingKey::from_rsa_pem(&read("rsa.public.pem")).unwrap();
    for (name, algorithm, key) in
        [("ed25519", Algorithm::EdDSA, ed25519), ("rsa", Algorithm::RS256, rsa)]
    {
        let path = keys.join(format!("{name}.private.pem"));
        let arguments = [
            "token",
            "--private-key",
            path.to_str().unwrap(),
            "--grants",
            "[]",
            "--expires-in",
            "60",
        ];
        assert_eq!(claims(&arguments, &[], algorithm, &key)["grants"], json!([]));
    }
}

#[test]
fn token_says_what_it_lacks() {
    let check = |arguments: &[&str], expected: &str| {
        let line = fails(seatmeter(&["token"]).args(arguments));
        assert!(line.starts_with(expected), "{line}");
    };
    check(&["--account", "acme", "--role", "account_admin"], "no key to sign with: ");
    let secret = events_file("0123456789abcdef0123456789abcdef\n");
    let secret = ["--secret-file", secret.path().to_str().unwrap()];
    let with_secret = |arguments: &[&'static str]| [arguments, &secret[..]].concat();
    check(
        &with_secret(&["--account", "a", "--role", "owner"]),
        "this role is of one organization: ",
    );
    check(
        &with_secret(&["--account", "a", "--role", "account_admin", "--organization", "1"]),
        "the role account_admin ",
    );
    check(
        &with_secret(&["--account", "*", "--role", "checker", "--organization", "1"]),
        "the role checker ",
    );
    check(&with_secret(&["--grants", "{}"]), "--grants must be a JSON array");
    check(&with_secret(&["--grants", "["]), "--grants is not JSON");
    check(
        &["--grants", "[]", "--private-key", "/dev/null"],
        "/dev/null holds no RSA or Ed25519 private key",
    );
}

#[test]
fn alerts_are_listed_from_the_view_alone() {
    let database = engine();
    let on_database = |arguments: &[&str]| {
        let mut command = seatmeter(arguments);
        command
            .env("SEATMETER__CLICKHOUSE__URL", &database.url)
            .env("SEATMETER__CLICKHOUSE__DATABASE", &database.name)
            .env("SEATMETER__CLICKHOUSE__PASSWORD", PASSWORD);
        command
    };
    let line = fails(&mut on_database(&["alerts", "list"]));
    assert!(line.contains("migrate"), "{line}");
    succeeds(&mut on_database(&["migrate"]));
    let Output { stdout, stderr, .. } = on_database(&["alerts", "list"]).output().unwrap();
    assert_eq!((text(&stdout), text(&stderr)), ("", "no alert is open\n"));
    let pace = AlertEventRow::quota("acme", "42", "pace", "runs_out");
    let quota = AlertEventRow::quota("acme", "42", "quota", "80");
    let mut seats = AlertEventRow::seats("other", "90");
    seats.found_at_ms += 1;
    let resolved = quota.closed("resolved", FOUND_AT_MS + 1);
    let over = pace.closed("ended", FOUND_AT_MS + 2);
    let second = AlertEventRow { month: 2, id: "second".to_owned(), ..pace.clone() };
    database.query(&storing(&[quota, pace, seats, resolved, over, second]));

    assert_eq!(
        succeeds(&mut on_database(&["alerts", "list"])),
        "TIME                      ACCOUNT  ORGANIZATION  RULE   LINE      STATE  FIGURES\n\
         2026-03-10T12:00:00.001Z  other    -             seats  90        open   95 of 100 seats\n\
         2026-03-10T12:00:00.000Z  acme     42            pace   runs_out  open   runs out on \
         2026-03-17\n"
    );
    let all = succeeds(&mut on_database(&["alerts", "list", "--account", "acme", "--all"]));
    let columns = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let rows: Vec<Vec<String>> =
        all.lines().skip(1).map(|line| columns(line)[3..].to_vec()).collect();
    assert_eq!(
        rows,
        [
            ["pace", "runs_out", "ended", "runs out on 2026-03-17"],
            ["quota", "80", "resolved", "812 of 1000"],
            ["pace", "runs_out", "open", "runs out on 2026-03-17"],
        ]
    );
    let json = succeeds(&mut on_database(&["alerts", "list", "--all", "--json"]));
    let alerts: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts.len(), 4);
    assert_eq!((&alerts[0]["rule"], &alerts[0]["purchased"]), (&json!("seats"), &json!(100)));
    assert_eq!(
        (&alerts[1]["ended_at"], &alerts[1]["resolved_at"]),
        (&json!("2026-03-10T12:00:00.002Z"), &Value::Null)
    );
    assert_eq!(
        (&alerts[2]["state"], &alerts[2]["window"]["month"]),
        (&json!("resolved"), &json!(1))
    );
    assert_eq!((&alerts[3]["id"], &alerts[3]["is_silent"]), (&json!("second"), &json!(false)));
}
