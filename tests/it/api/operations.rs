//! Operational interfaces: readiness, metrics, request ids, compression, CORS, shedding, shutdown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;

use serde_json::json;

use super::support::{Api, event};
use crate::support::eventually;

static API: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    api.count(&[event(
        "license.purchased",
        "2026-01-01T00:00:00Z",
        &json!({"account_id": "a", "seats": 5}),
    )]);
    api
});

#[test]
fn ingest_adds_up() {
    let api = Api::open();
    assert_eq!(api.report("/v1/ingest")["data_through"], serde_json::Value::Null);
    assert_eq!(api.report("/v1/ingest")["events"], 0);
    let good = |id: &str| {
        let data = json!({"account_id": "a", "organization_id": "o", "origin": "run"});
        json!({
            "id": id, "source": "/s", "type": "test.executed", "time": "2026-01-01T00:00:00Z",
            "data": data,
        })
        .to_string()
    };
    api.count(&[good("1"), good("2"), good("1"), "no json".to_owned()]);
    api.count(&[good("3")]);
    let report = api.report("/v1/ingest");
    for (name, expected) in [
        ("events", 3),
        ("duplicates", 1),
        ("rejected", 1),
        ("skipped", 0),
        ("absent", 0),
        ("lag", 0),
        ("split_accounts", 0),
    ] {
        assert_eq!(report[name], expected, "{name}");
    }
    assert_eq!(report["timezones"], seatmeter::core::calendar::RELEASE);
    let partitions = report["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 2);
    assert_eq!(
        (&partitions[0]["next_offset"], &partitions[1]["next_offset"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(partitions[0]["topic"], "usage-events");
    assert_eq!(
        report["data_through"], partitions[0]["data_through"],
        "the oldest last flush counts"
    );
    assert_eq!(api.report("/v1/accounts/a/organizations")["data_through"], report["data_through"]);
}

#[test]
fn readiness_tells_what_it_waits_for() {
    assert_eq!(API.report("/healthz")["status"], "ok");
    assert_eq!(API.report("/readyz")["status"], "ready");
    let api = API.beside(|_| {});
    api.health.not_ready("kafka", "no broker answers");
    let answer = api.get("/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["waiting_for"],
        json!([{"component": "kafka", "reason": "no broker answers"}])
    );
    api.health.ready("kafka");
    assert_eq!(api.get("/readyz").status, 200);
    assert_eq!(api.get("/readyz").json()["degraded"], json!([]));
    api.health.degraded("split_accounts", "1 account");
    let answer = api.get("/readyz");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ready")), "it serves on");
    assert_eq!(
        answer.json()["degraded"],
        json!([{"component": "split_accounts", "reason": "1 account"}])
    );
}

#[test]
fn a_request_keeps_its_id_or_gets_one() {
    let id = |headers: &[(&str, &str)]| {
        API.request("GET", "/healthz", headers).header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id(&[("x-request-id", "from-a-proxy")]), "from-a-proxy");
    let (first, second) = (id(&[]), id(&[]));
    assert_ne!(first, second);
    assert!(first.len() >= 32);
    let long = "x".repeat(200);
    assert_ne!(id(&[("x-request-id", &long)]), long);
    assert_ne!(id(&[("x-request-id", "two words")]), "two words");
}

#[test]
fn answers_are_compressed_on_request() {
    let path = "/v1/accounts/a/licenses/history";
    let plain = API.request("GET", path, &[("accept-encoding", "identity")]);
    assert_eq!(plain.header("content-encoding"), None);
    let mut stream = TcpStream::connect(API.address()).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\nconnection: \
        close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(answer.len() < plain.body.len() / 2);
}

#[test]
fn cors_is_off_until_an_origin_is_allowed() {
    let preflight = [
        ("origin", "https://dash.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = API.request("OPTIONS", "/v1/ingest", &preflight);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let open =
        API.beside(|config| config.http.cors_origins = vec!["https://dash.example".to_owned()]);
    let answer = open.request("OPTIONS", "/v1/ingest", &preflight);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://dash.example"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
    let answer = open.request("GET", "/v1/ingest", &[("origin", "https://dash.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://dash.example"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["content-disposition", "etag", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let answer = open.request("GET", "/v1/ingest", &[("origin", "https://evil.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let api =
        API.beside(|config| config.http.request_timeout = std::time::Duration::from_millis(1));
    let answer = api.get("/v1/accounts/a/licenses/history");
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["type"], "urn:seatmeter:problem:timed-out");
}

#[test]
fn a_query_whose_request_was_given_up_is_stopped() {
    let slow = Api::open();
    slow.sql("DROP TABLE organizations_seen");
    slow.sql(
        "CREATE VIEW organizations_seen AS SELECT 'a' AS account_id, \
        toString(sum(sleepEachRow(1))) AS organization_id \
         FROM numbers(60) SETTINGS max_block_size = 1",
    );
    let api = slow.beside(|config| {
        config.http.request_timeout = std::time::Duration::from_secs(1);
        config.http.concurrent_queries_max = 1;
    });
    let mine = format!(
        "SELECT count() FROM system.processes WHERE current_database = '{}'",
        slow.sql("SELECT currentDatabase()").trim()
    );
    for _ in 0..2 {
        // If the slot of the first request were still taken, the second would be shed.
        assert_eq!(api.get("/v1/accounts/a/licenses/history").status, 504);
        let patience = std::time::Duration::from_secs(10);
        // The request itself is one of them.
        eventually("the query is stopped", patience, || (slow.sql(&mine) == "1\n").then_some(()));
    }
}

#[test]
fn the_dashboard_is_a_page_that_runs_nothing_inline() {
    let answer = API.get("/");
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'self';")
    );
    assert!(answer.text().contains("<title>seatmeter</title>"));
    assert!(!answer.text().contains("<script>"));
}

#[test]
fn pages_are_shown_in_frames_of_allowed_origins_alone() {
    let framed = API
        .beside(|config| config.http.frame_ancestors = vec!["https://portal.example".to_owned()]);
    for path in ["/", "/docs"] {
        let policy =
            |api: &Api| api.get(path).header("content-security-policy").unwrap().to_owned();
        assert!(policy(&API).ends_with("; frame-ancestors 'none'"), "{path}");
        assert!(policy(&framed).ends_with("; frame-ancestors https://portal.example"), "{path}");
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let answer = API.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(answer.status, 200);
}
