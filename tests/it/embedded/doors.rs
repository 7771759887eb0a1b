//! Access to the embedded engine: web pages, clients with wrong or no passwords, and slow clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{LONG, keyed};
use crate::support::engine::{KEY_LINE, PASSWORD, execute, get, post};
use crate::support::program::command;
use crate::support::{PrivateEngine, Program, engine, unique};

/// Sends a raw request, and reads the answer to its end.
#[track_caller]
fn exchange(url: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The connection may be cut if the server has not read the whole request.
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn start(data: &Path, arguments: &[&str], password: Option<&str>) -> Program {
    let mut command = command(&["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data).args(arguments);
    if let Some(password) = password {
        command.env("SEATMETER_ENGINE_PASSWORD", password);
    }
    Program::spawn(&mut command)
}

#[track_caller]
fn printed_url(engine: &mut Program) -> String {
    engine.wait_for_line("listening on ", LONG).strip_prefix("listening on ").unwrap().to_owned()
}

/// Requests that a browser sends for a page without a preflight, with their headers.
#[test]
fn a_web_page_gets_nothing_even_with_the_password() {
    let url = engine().url.clone();
    let name = unique("never");
    let create = format!("CREATE+DATABASE+{name}");
    let pages = [
        "Host: evil.example",
        "Host: localhost.evil.example:8123",
        "Host: 192.0.2.1:8123",
        "Host: 0.0.0.0",
        "Host: localhost\r\nOrigin: http://evil.example",
        "Host: localhost\r\nOrigin: null",
        "Host: localhost\r\nSec-Fetch-Site: cross-site",
        "Host: localhost\r\nSec-Fetch-Site: same-site",
    ];
    for page in pages {
        for path in ["/?query=SELECT+1", "/ping", "/nowhere"] {
            let request =
                format!("GET {path} HTTP/1.1\r\n{page}\r\n{KEY_LINE}Connection: close\r\n\r\n");
            let answer = exchange(&url, &request);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{page} {path}: {answer}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
        {
            let body = match kind {
                "text/plain" => create.replace('+', " "),
                "application/x-www-form-urlencoded" => format!("query={create}"),
                _ => format!(
                    "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n{}\r\n--b--\r\n",
                    create.replace('+', " ")
                ),
            };
            let head = format!(
                "POST / HTTP/1.1\r\n{page}\r\n{KEY_LINE}Content-Type: {kind}\r\nConnection: \
                close\r\n"
            );
            let answer =
                exchange(&url, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
            assert!(answer.starts_with("HTTP/1.1 403 "), "{page} {kind}: {answer}");
        }
    }
    assert_eq!(
        execute(&url, &format!("SELECT count() FROM system.databases WHERE name = '{name}'")),
        "0\n"
    );
    let two = format!(
        "GET /?query=SELECT+1 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n{KEY_LINE}\r\n"
    );
    assert!(exchange(&url, &two).starts_with("HTTP/1.1 400 "));
    for head in
        ["GET /ping HTTP/1.1\r\n", "GET http://evil.example/ping HTTP/1.1\r\nHost: localhost\r\n"]
    {
        let answer = exchange(&url, &format!("{head}{KEY_LINE}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
}

#[test]
fn the_users_own_requests_pass() {
    let url = engine().url.clone();
    let port = url.rsplit(':').next().unwrap();
    for head in [
        format!("Host: localhost:{port}\r\nSec-Fetch-Site: none"),
        format!(
            "Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: \
            same-origin"
        ),
        format!("Host: [::1]:{port}"),
    ] {
        let request = format!(
            "GET /?query=SELECT+1 HTTP/1.1\r\n{head}\r\n{KEY_LINE}Connection: close\r\n\r\n"
        );
        let answer = exchange(&url, &request);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("1\n"), "{head}: {answer}");
    }
    let old = exchange(&url, &format!("GET /?query=SELECT+1 HTTP/1.0\r\n{KEY_LINE}\r\n"));
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[test]
fn a_get_only_reads() {
    let engine = PrivateEngine::start();
    let database = engine.database().create();
    database.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT 1",
        "CREATE TABLE u (a UInt8) ENGINE = Memory",
        "DROP TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        "SET max_threads = 1",
        "WITH 1 AS x INSERT INTO t SELECT x",
        "INSERT INTO FUNCTION null('a UInt8') SELECT 1",
        "USE default PARALLEL WITH CREATE TABLE v (a UInt8) ENGINE = Memory",
        "USE default PARALLEL WITH CREATE DATABASE never",
    ] {
        let query = sql.replace(' ', "+").replace('=', "%3D");
        let url = format!("{}/?database={}&query={query}", database.url, database.name);
        let mut answer = get(&url);
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status() == 500 && text.starts_with("Code: 164."), "{sql}: {text}");
    }
    assert_eq!(database.query("SELECT count() FROM t"), "0\n");
    assert_eq!(database.query("SHOW TABLES"), "t\n");
    assert_eq!(database.query("SELECT count() FROM system.databases WHERE name = 'never'"), "0\n");
    assert_eq!(get(&format!("{}/?query=SHOW+DATABASES&readonly=1", database.url)).status(), 200);
}

#[test]
fn strangers_are_kept_out_before_their_body_is_read() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = start(data.path(), &[], Some("secret"));
    let url = printed_url(&mut engine);
    assert!(!url.contains('@'), "a password that was named is not printed: {url}");
    let ask = |header: (&str, &str), query: &str| {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let status = agent
            .post(format!("{url}/?{query}"))
            .header(header.0, header.1)
            .send("SELECT 1")
            .unwrap()
            .status();
        status.as_u16()
    };
    let plain = ("Accept", "*/*");
    assert_eq!(ask(("X-ClickHouse-Key", "secret"), ""), 200);
    assert_eq!(ask(("Authorization", "Basic ZGVmYXVsdDpzZWNyZXQ="), ""), 200);
    assert_eq!(ask(plain, "password=secret"), 200);
    assert_eq!(ask(plain, "user=default&password=secret"), 200);
    assert_eq!(ask(("X-ClickHouse-Key", "Secret"), ""), 403);
    assert_eq!(ask(plain, "user=admin&password=secret"), 403);
    assert_eq!(ask(plain, "password="), 403);
    assert_eq!(ask(plain, ""), 403);
    // The answer comes although the body never arrives.
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\nConnection: close\r\n";
    let kinds = ["", "Content-Type: multipart/form-data; boundary=b\r\n"];
    for kind in kinds {
        let started = Instant::now();
        let answer = exchange(&url, &format!("{head}{kind}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("Code: 516."), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(50), "it waited for the body");
    }
    // A body does not authenticate.
    let form =
        "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nsecret\r\n--b--\r\n";
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(&url).header("Content-Type", "multipart/form-data; boundary=b");
    assert_eq!(request.send(form).unwrap().status(), 403);
}

#[test]
fn parameters_of_a_form_arrive() {
    let form = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:UInt8} + \
        1\r\n\
                --b\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\n41\r\n--b--\r\n";
    let mut answer = keyed(&engine().url)
        .header("Content-Type", "multipart/form-data; boundary=b")
        .send(form)
        .unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "42\n");
}

#[test]
fn a_password_is_made_once_and_kept_for_the_user_alone() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("data");
    let mut engine = start(&data, &[], None);
    let url = printed_url(&mut engine);
    let password =
        url.strip_prefix("http://default:").unwrap().split('@').next().unwrap().to_owned();
    assert!(password.len() == 32, "{url}");
    assert_eq!((mode(&data), mode(&data.join("seatmeter-password"))), (0o700, 0o600));
    assert_eq!(execute(&url, "SELECT 1"), "1\n", "the address works as it is printed");
    let bare = format!("http://{}", url.rsplit('@').next().unwrap());
    assert_eq!(post(&bare, "SELECT 1").0, 403, "the password of the tests is another");
    assert_eq!(ureq::get(&bare).call().unwrap().body_mut().read_to_string().unwrap(), "Ok.\n");
    assert!(engine.terminate(LONG).success());

    // An open folder is closed to others; an empty password counts as none.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut engine = start(&data, &[], Some(""));
    let again = printed_url(&mut engine);
    assert!(again.contains(&format!("default:{password}@")), "{again}");
    assert_eq!(mode(&data), 0o700);
}

#[test]
fn without_a_password_it_listens_on_loopback_only() {
    let data = tempfile::tempdir().unwrap();
    for password in [None, Some("")] {
        let mut engine = start(data.path(), &["--listen", "0.0.0.0:0"], password);
        assert!(!engine.wait(LONG).success());
    }
    let mut named =
        command(&["clickhouse", "--listen", "0.0.0.0:0", "--password", "", "--data-dir"]);
    let mut engine = Program::spawn(named.arg(data.path()));
    assert_eq!(engine.wait(LONG).code(), Some(1));
    let stderr = engine.stderr();
    assert!(stderr.contains("0.0.0.0:0") && stderr.contains("--password"), "{stderr}");
}

#[test]
fn the_password_is_not_in_the_list_of_processes() {
    let listed = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for arguments in [&["--password", "hunter2 !"][..], &["--password=hunter2 !"]] {
        let mut engine = start(data.path(), arguments, None);
        let url = printed_url(&mut engine);
        let listed = listed(engine.pid());
        assert!(listed.contains("clickhouse") && !listed.contains("hunter2"), "{listed}");
        let answer = ureq::post(&url).header("X-ClickHouse-Key", "hunter2 !").send("SELECT 1");
        assert_eq!(answer.unwrap().status(), 200);
    }
    // Nor if another process has started the engine.
    let child = PrivateEngine::start();
    let listed = listed(child.process.pid().unwrap());
    assert!(listed.contains("clickhouse") && !listed.contains(PASSWORD), "{listed}");
}

#[test]
fn heads_are_bounded_in_bytes_number_and_time() {
    let url = engine().url.clone();
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(200_000));
    for headers in [many, long] {
        let answer =
            exchange(&url, &format!("GET /ping HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    // An endless head is cut off, even after an answered request.
    for before in ["", "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let started = Instant::now();
        let answer = exchange(&url, &format!("{before}GET /ping HTTP/1.1\r\nHost: local"));
        assert!(started.elapsed() < LONG, "{answer}");
        assert_eq!(answer.contains("Ok."), !before.is_empty(), "{answer}");
    }
}

#[test]
fn a_name_is_answered_to_when_it_was_given() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = start(
        data.path(),
        &["--host-name", "clickhouse.lan", "--host-name", "192.0.2.1"],
        Some("secret"),
    );
    let url = printed_url(&mut engine);
    let status = |host: &str| {
        let request = format!("GET /ping HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(&url, &request).split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("clickhouse.lan:8123"), "200");
    assert_eq!(status("192.0.2.1:8123"), "200");
    assert_eq!(status("other.lan:8123"), "403");
    assert_eq!(status("192.0.2.2:8123"), "403");
}
