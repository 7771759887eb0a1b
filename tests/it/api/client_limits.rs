//! Limits of clients: foreign hosts, idle connections, busy accounts and slow readers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Api, event};
use crate::support::eventually;
use crate::support::tcp_proxy::TcpProxy;

/// Two accounts with a little of everything.
static API: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    api.count(&["a", "b"].map(purchase));
    api
});

fn purchase(account: &str) -> String {
    event("license.purchased", "2026-01-01T00:00:00Z", &json!({"account_id": account, "seats": 5}))
}

/// Sends a raw request, and reads until the server closes.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The status of a GET with these `Host` headers.
fn ask(api: &Api, target: &str, hosts: &[&str]) -> u16 {
    let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
    status(&exchange(
        api.address(),
        &format!("GET {target} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"),
    ))
}

#[test]
fn without_tokens_a_name_of_somebody_elses_is_not_answered_for() {
    let report = "/v1/accounts/a/licenses/history";
    for target in [report, "/", "/metrics", "/healthz", "/nowhere"] {
        assert_eq!(ask(&API, target, &["rebound.example"]), 403, "{target}");
        assert_eq!(ask(&API, target, &["rebound.example:8080"]), 403, "{target}");
    }
    assert_eq!(
        ask(&API, "http://rebound.example/v1/ingest", &["localhost"]),
        403,
        "the target overrides the header"
    );
    for host in ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80"] {
        assert_eq!(ask(&API, report, &[host]), 200, "{host}");
    }
    let open = API.beside(|config| config.http.allowed_hosts = vec!["Seats.test".to_owned()]);
    assert_eq!(ask(&open, report, &["seats.TEST:8080"]), 200);
    assert_eq!(ask(&open, report, &["other.test"]), 403);
}

#[test]
fn a_request_names_exactly_one_host() {
    for hosts in [&[][..], &["localhost", "localhost"], &["local host"]] {
        assert_eq!(ask(&API, "/healthz", hosts), 400, "{hosts:?}");
    }
}

#[test]
fn idle_connections_are_bounded_and_closed() {
    let api = API.beside(|config| {
        config.http.connections_max = 12;
        config.http.connections_per_peer_max = 8;
        config.http.keep_alive_timeout = Duration::from_secs(2);
    });
    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(api.address()).unwrap()).collect();
    eventually("one more is refused", Duration::from_secs(30), || {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        (answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after")).then_some(())
    });
    eventually("there is room again", Duration::from_secs(30), || {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    for mut stream in idle {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an idle connection is closed in order");
    }
}

#[test]
fn a_busy_account_leaves_room_for_another() {
    let slow = Api::open();
    slow.count(&["a", "b"].map(purchase));
    slow.sql(
        "CREATE OR REPLACE VIEW accounts AS SELECT account_id, if(sleepEachRow(0.3) = 0, 'UTC', \
        '') AS timezone \
         FROM values('account_id String', 'a', 'b') SETTINGS max_block_size = 1",
    );
    let api = slow.beside(|config| config.http.concurrent_queries_max = 4);
    // Different reports: the same one would be made only once.
    let ask = |account: &str, number: usize| {
        let answer = api.get(&format!(
            "/v1/accounts/{account}/licenses/history?from=2026-01-{:02}",
            number % 28 + 1
        ));
        assert_eq!(
            answer.header("retry-after").is_some(),
            answer.status == 503,
            "{}",
            answer.text()
        );
        answer.status
    };
    std::thread::scope(|scope| {
        let ask = &ask;
        let busy: Vec<_> = (0..28)
            .map(|number| {
                scope
                    .spawn(move || (0..3).map(|round| ask("a", number + round)).collect::<Vec<_>>())
            })
            .collect();
        for number in 0..6 {
            assert_eq!(ask("b", number), 200, "question {number} of the other account");
        }
        let statuses: Vec<u16> = busy.into_iter().flat_map(|one| one.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        assert!(statuses.iter().filter(|status| **status == 200).count() >= 4, "{statuses:?}");
    });
}

/// An API whose account `a` has an export that does not fit into any socket's buffer.
fn large_exports() -> Api {
    let api = Api::open();
    api.count(&["a", "b"].map(purchase));
    let seat = json!({"account_id": "b", "organization_id": "o", "user_id": "1"});
    api.count(&[event("license.assigned", "2026-01-01T00:00:00Z", &seat)]);
    api.sql(
        "CREATE OR REPLACE VIEW account_license_assignments AS SELECT toString(number) AS user_id, \
         concat({account:String}, repeat('x', 2000)) AS user, \
         CAST(NULL AS Nullable(String)) AS email, 'a' AS license_source, 'o' AS organization_id, \
         'o' AS organization, \
         CAST(['o'] AS Array(String)) AS ancestors, CAST(NULL AS Nullable(String)) AS project_id, \
         CAST(NULL AS Nullable(String)) AS project, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') \
         AS last_assignment, \
         CAST(NULL AS Nullable(DateTime64(3, 'UTC'))) AS last_active_use, false AS activated, \
         'active' AS status \
         FROM numbers(if({account:String} = 'a', 20000, 1))",
    );
    api
}

const EXPORT: &str = "licenses/assignments?format=csv";

#[test]
fn a_slow_reader_holds_up_neither_reports_nor_other_accounts() {
    let origin = large_exports();
    let api = origin.beside(|config| {
        config.http.concurrent_queries_max = 2;
        config.http.concurrent_exports_max = 4;
    });
    let readers: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(api.address()).unwrap();
            write!(stream, "GET /v1/accounts/a/{EXPORT} HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .unwrap();
            let mut start = [0; 15];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 200 OK");
            stream
        })
        .collect();
    let started = Instant::now();
    assert_eq!(
        api.get("/v1/accounts/a/licenses/history").status,
        200,
        "a report of the same account"
    );
    assert_eq!(api.get("/v1/accounts/b/licenses/history").status, 200);
    assert_eq!(
        api.get(&format!("/v1/accounts/b/{EXPORT}")).status,
        200,
        "an export of another account"
    );
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "nobody waits for the slow readers' time to end"
    );
    let answer = api.get(&format!("/v1/accounts/a/{EXPORT}"));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1")),
        "two exports are the account's share"
    );
    drop(readers);
    eventually("the places are free again", Duration::from_secs(60), || {
        (api.get(&format!("/v1/accounts/a/{EXPORT}")).status == 200).then_some(())
    });
}

#[test]
fn an_export_that_breaks_off_looks_whole_to_nobody() {
    let origin = large_exports();
    let proxy = TcpProxy::start();
    let api = origin.beside(|config| {
        let port = config
            .clickhouse
            .url
            .rsplit_once(':')
            .unwrap()
            .1
            .trim_end_matches('/')
            .parse()
            .unwrap();
        proxy.forward_to(port);
        config.clickhouse.url = format!("http://127.0.0.1:{}", proxy.port());
    });
    for version in ["1.0", "1.1"] {
        let mut stream = TcpStream::connect(api.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "GET /v1/accounts/a/{EXPORT} HTTP/{version}\r\nhost: \
            localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = vec![0; 4_096];
        stream.read_exact(&mut answer).unwrap();
        proxy.cut();
        let end = stream.read_to_end(&mut answer);
        assert!(answer.len() < 20_000 * 2_000, "the answer was sent whole");
        assert!(
            answer.starts_with(format!("HTTP/{version} 200").as_bytes()),
            "{:?}",
            answer.get(..40)
        );
        assert!(
            !answer.ends_with(b"0\r\n\r\n"),
            "HTTP/{version}: the last chunk would say that all is there"
        );
        if version == "1.0" {
            let error = end.expect_err("the connection is reset").kind();
            assert_eq!(error, ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn a_report_has_a_bound_of_memory() {
    let api = API.beside(|config| config.http.query_memory_max_bytes = 1_000);
    let answer = api.get("/v1/accounts/a/licenses/history");
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.json()["type"], "urn:seatmeter:problem:too-large");
}
