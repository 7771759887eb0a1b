//! Malicious input and malformed input.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;

use seatmeter::http::{Access, Endpoint, endpoints};
use serde_json::{Value, json};

use super::support::{Answer, Api, event};

static TARGET: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    api.count(&[
        event(
            "plan.started",
            "2026-01-01T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "plan": "p", "monthly_quota": 10}),
        ),
        event(
            "license.assigned",
            "2026-01-01T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "user_id": "u"}),
        ),
    ]);
    api
});

const ACCOUNT: &str = "/v1/accounts/a";

/// Paths of all reports, of single checks and of `/v1/ingest`.
fn reports() -> Vec<String> {
    let is_read = |endpoint: &Endpoint| endpoint.methods != "POST";
    let guarded = endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.access != Access::Public && is_read(endpoint));
    guarded
        .map(|endpoint| {
            endpoint.path.replace("{account_id}", "a").replace("{organization_id}", "o")
        })
        .collect()
}

/// Checks a problem document.
#[track_caller]
fn problem(answer: &Answer, status: u16, parameter: Option<&str>) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!(body["status"], status);
    for name in ["type", "title", "detail"] {
        assert!(!body[name].as_str().unwrap().is_empty(), "{name}");
    }
    assert_eq!(body.get("parameter").and_then(Value::as_str), parameter);
    body
}

#[test]
fn unknown_and_repeated_parameters_are_named() {
    for path in reports() {
        problem(&TARGET.get(&format!("{path}?nonsense=1")), 400, Some("nonsense"));
        problem(&TARGET.get(&format!("{path}?nonsense=1&nonsense=1")), 400, Some("nonsense"));
        problem(&TARGET.get(&format!("{path}?AS_OF=2026-01-01T00:00:00Z")), 400, Some("AS_OF"));
        problem(&TARGET.get(&format!("{path}?%ff=1")), 400, Some("query"));
    }
    for path in reports().iter().filter(|path| path.contains("/licenses/")) {
        problem(
            &TARGET.get(&format!("{path}?organization_id=o&organization_id=o")),
            400,
            Some("organization_id"),
        );
        problem(
            &TARGET.get(&format!("{path}?as_of=2026-01-01T00:00:00Z&as_of=")),
            400,
            Some("as_of"),
        );
    }
}

#[test]
fn each_endpoint_takes_its_own_parameters_alone() {
    let cases = [
        ("/licenses/history", "group_by=organization", "group_by"),
        ("/licenses/history", "held_days=1", "held_days"),
        ("/licenses/usage", "project_id=1", "project_id"),
        ("/licenses/assignments", "from=2026-01-01", "from"),
        ("/licenses/assignments", "interval=day", "interval"),
        ("/organizations", "as_of=2026-01-01T00:00:00Z", "as_of"),
        ("/quota", "from=2026-01-01", "from"),
        ("/quota", "status=all", "status"),
        ("/quota", "limit=1001", "limit"),
        ("/quota", "cursor=x", "cursor"),
        ("/quota", "format=csv&limit=1", "limit"),
        ("/organizations/o/quota", "from=2026-01-01", "from"),
        ("/organizations/o/quota", "format=csv", "format"),
        ("/organizations/o/quota/history", "to=2026-01-01", "to"),
        ("/organizations/o/test-activity", "organization_id=o", "organization_id"),
        ("/organizations/o/can-run", "as_of=2026-01-01T00:00:00Z", "as_of"),
        ("/organizations/o/can-run", "tests=0", "tests"),
        ("/organizations/o/can-run", "tests=1000000000001", "tests"),
    ];
    for (path, query, parameter) in cases {
        problem(&TARGET.get(&format!("{ACCOUNT}{path}?{query}")), 400, Some(parameter));
    }
    for of_pages in ["limit", "cursor"] {
        let path = format!("{ACCOUNT}/licenses/assignments?format=csv&{of_pages}=10");
        let body = problem(&TARGET.get(&path), 400, Some(of_pages));
        assert_eq!(body["detail"], "CSV has all rows at once, JSON has pages.");
    }
}

#[test]
fn an_answer_that_may_not_be_sent_in_any_way_is_refused() {
    for path in reports().iter().map(String::as_str).chain(["/nowhere", "/openapi.json"]) {
        for encodings in ["identity;q=0", "*;q=0", "identity;q=0, br"] {
            problem(&TARGET.request("GET", path, &[("accept-encoding", encodings)]), 406, None);
        }
        let answer = TARGET.request("GET", path, &[("accept-encoding", "identity;q=0, gzip")]);
        assert_ne!(answer.status, 406, "{path}");
    }
}

#[test]
fn bad_values_are_named() {
    let cases = [
        ("/licenses/history", "from=yesterday", "from"),
        ("/licenses/history", "to=2026-02-30", "to"),
        ("/licenses/history", "to=999999-01-01", "to"),
        ("/licenses/history", "interval=DAY", "interval"),
        ("/licenses/history", "interval=", "interval"),
        ("/licenses/history", "as_of=2026-01-01", "as_of"),
        ("/licenses/history", "as_of=2026-01-01T00:00:00%2B25:00", "as_of"),
        ("/licenses/history", "as_of=-9223372036854775808", "as_of"),
        ("/licenses/history", "from=2026-02-01&to=2026-01-01", "from"),
        ("/licenses/history", "from=2000-01-01&to=2026-01-01", "interval"),
        ("/licenses/history", "organization_id=", "organization_id"),
        ("/licenses/history", "organization_id=a%00b", "organization_id"),
        ("/licenses/history", "organization_id=%ff", "organization_id"),
        ("/licenses/history", "organization_id=%EF%BB%BFo", "organization_id"),
        ("/licenses/history", "organization_id=..", "organization_id"),
        ("/licenses/usage", "group_by=user", "group_by"),
        ("/licenses/assignments", "limit=1001", "limit"),
        ("/licenses/assignments", "limit=-1", "limit"),
        ("/licenses/assignments", "limit=1e3", "limit"),
        ("/licenses/assignments", "inactive_days=99999999999999999999999", "inactive_days"),
        ("/licenses/assignments", "held_days=1.5", "held_days"),
        ("/licenses/history", "format=xml", "format"),
        ("/licenses/assignments", "activated=yes", "activated"),
        ("/licenses/assignments", "status=ACTIVE", "status"),
        ("/licenses/assignments", "sort=user,email", "sort"),
        ("/licenses/assignments", "format=xml", "format"),
        ("/organizations/o/test-activity", "project_id=%0a", "project_id"),
        ("/organizations/o/quota", "as_of=10000-01-01T00:00:00Z", "as_of"),
    ];
    for (path, query, parameter) in cases {
        problem(&TARGET.get(&format!("{ACCOUNT}{path}?{query}")), 400, Some(parameter));
    }
    let long = "x".repeat(65);
    problem(
        &TARGET.get(&format!("{ACCOUNT}/licenses/history?organization_id={long}")),
        400,
        Some("organization_id"),
    );
    problem(&TARGET.get(&format!("/v1/accounts/{long}/licenses/history")), 400, Some("account_id"));
    problem(
        &TARGET.get(&format!("{ACCOUNT}/organizations/{long}/quota")),
        400,
        Some("organization_id"),
    );
    // What text decoders take for a byte order mark, and what clients remove from a path.
    for odd in ["%EF%BB%BFa", "a%EF%BB%BF", "%2E", "%2E%2E"] {
        problem(
            &TARGET.get(&format!("/v1/accounts/{odd}/licenses/history")),
            400,
            Some("account_id"),
        );
        problem(
            &TARGET.get(&format!("{ACCOUNT}/organizations/{odd}/quota")),
            400,
            Some("organization_id"),
        );
    }
}

#[test]
fn text_that_would_be_sql_is_text() {
    let attacks = [
        "' OR 1=1 --",
        "') OR ('a'='a",
        "'; DROP TABLE seat_facts; --",
        "\\' OR 1=1 --",
        "{account:String}",
        "?",
        "??",
        "%27%20OR%201=1",
        "${jndi:ldap://x}",
        "$[?(@.a)]",
        "\u{202e}",
        "../../etc/passwd",
    ];
    for attack in attacks {
        let encoded: String = url::form_urlencoded::byte_serialize(attack.as_bytes()).collect();
        let in_path: String = encoded.replace('+', "%20");
        let rows = |query: &str| {
            TARGET.report(&format!("{ACCOUNT}/licenses/assignments?{query}={encoded}"))["total"]
                .clone()
        };
        for parameter in ["organization_id", "license_source", "user", "email"] {
            assert_eq!(rows(parameter), 0, "{parameter}={attack}");
        }
        let history =
            TARGET.report(&format!("{ACCOUNT}/licenses/history?organization_id={encoded}"));
        assert_eq!(history["organization_id"], attack, "it comes back as it was");
        assert_eq!(history["points"][29]["assigned"], 0, "{attack}");
        TARGET.report(&format!(
            "{ACCOUNT}/organizations/{in_path}/test-activity?project_id={encoded}"
        ));
        problem(&TARGET.get(&format!("/v1/accounts/{in_path}/licenses/history")), 404, None);
        problem(&TARGET.get(&format!("{ACCOUNT}/organizations/{in_path}/quota")), 404, None);
    }
    assert_eq!(
        TARGET.report(&format!("{ACCOUNT}/licenses/assignments"))["total"],
        1,
        "everything is still there"
    );
}

#[test]
fn far_dates_are_answered() {
    let count = |query: &str| {
        TARGET.report(&format!("{ACCOUNT}/licenses/history?{query}"))["points"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        count("from=1500-01-01&to=2026-01-01&interval=year&as_of=2026-06-01T00:00:00Z"),
        527
    );
    assert_eq!(count("from=9000-01-01&to=9999-12-31&interval=year"), 0);
    assert_eq!(
        count("from=2026-01-01&to=2199-12-31&interval=quarter&as_of=2199-12-31T23:59:59Z"),
        696
    );
    assert_eq!(count("to=0001-01-01&from=0001-01-01"), 1);
    for path in ["usage", "usage?group_by=organization"] {
        let separator = if path.contains('?') { '&' } else { '?' };
        TARGET.report(&format!(
            "{ACCOUNT}/licenses/{path}{separator}from=1500-01-01&to=2199-12-31&interval=year&\
            as_of=2199-12-31T23:59:59Z"
        ));
    }
    let quota = TARGET
        .report(&format!("{ACCOUNT}/organizations/o/quota/history?as_of=2199-12-31T23:59:59Z"));
    assert_eq!(quota["windows"].as_array().unwrap().len(), 174 * 12);
    TARGET.report(&format!(
        "{ACCOUNT}/organizations/o/test-activity?from=0001-01-01&to=0999-01-01&interval=year"
    ));
    TARGET.report(&format!(
        "{ACCOUNT}/licenses/assignments?inactive_days=100000&held_days=100000\
        &as_of=1970-01-01T00:00:00Z"
    ));
    for far in ["as_of=0001-01-01T00:00:00Z", "as_of=9999-12-31T23:59:59Z"] {
        for path in [
            "licenses/history",
            "licenses/usage",
            "licenses/assignments",
            "organizations/o/test-activity",
        ] {
            TARGET.report(&format!("{ACCOUNT}/{path}?{far}"));
        }
        TARGET.report(&format!("{ACCOUNT}/licenses/assignments?inactive_days=1&held_days=1&{far}"));
    }
    let month = TARGET
        .report(&format!("{ACCOUNT}/organizations/o/quota?as_of=9999-12-31T00:00:00Z"))["window"]
        .clone();
    assert_eq!(month["month"], 7974 * 12);
    problem(
        &TARGET.get(&format!("{ACCOUNT}/organizations/o/quota?as_of=0001-01-01T00:00:00Z")),
        404,
        None,
    );
}

#[test]
fn paths_that_do_not_exist_and_methods_that_do_nothing() {
    for path in [
        "/v1",
        "/v1/",
        "/v1/accounts/a",
        "/v1/accounts/a",
        "/v1/accounts/a/licenses",
        "/v1/accounts/a/licenses/history/",
        "/v1/accounts/a%2Flicenses%2Fhistory",
        "/v2/ingest",
        "/V1/ingest",
        "/.env",
        "//v1/ingest",
        "/v1/../v1/ingest",
    ] {
        problem(&TARGET.get(path), 404, None);
    }
    problem(&TARGET.get("/v1/accounts/%ff/licenses/history"), 404, None);
    problem(&TARGET.get("/v1/accounts//licenses/history"), 400, Some("account_id"));
    problem(&TARGET.get("/v1/accounts/a%0d%0ax-evil:1/licenses/history"), 400, Some("account_id"));
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{account_id}", "a").replace("{organization_id}", "o");
        let others = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
            .into_iter()
            .filter(|method| !endpoint.methods.split(", ").any(|taken| taken == *method));
        for method in others {
            let answer = TARGET.request(method, &path, &[]);
            assert_eq!(answer.header("allow"), Some(endpoint.methods), "{method} {path}");
            assert_eq!(answer.status, 405, "{method} {path}");
            if method != "HEAD" {
                problem(&answer, 405, None);
            }
        }
        if endpoint.methods == "POST" {
            continue;
        }
        let head = TARGET.request("HEAD", &path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

/// Sends raw bytes and reads the answer's first line.
fn raw(request: &[u8]) -> String {
    let mut stream = TcpStream::connect(TARGET.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.take(4096).read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_huge_request_head_is_refused() {
    let query = "x".repeat(10_000_000);
    let line = raw(format!(
        "GET {ACCOUNT}/licenses/history?organization_id={query} HTTP/1.1\r\nhost: x\r\n\r\n"
    )
    .as_bytes());
    assert!(line.is_empty() || line.contains(" 414 ") || line.contains(" 431 "), "{line}");
    let line =
        raw(format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-filler: {query}\r\n\r\n").as_bytes());
    assert!(line.is_empty() || line.contains(" 431 "), "{line}");
    let line = raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(line.is_empty() || line.contains(" 400 "), "{line}");
    assert_eq!(TARGET.get("/healthz").status, 200, "it goes on");
}

#[test]
fn nothing_of_the_inside_is_told() {
    let api = TARGET.beside(|config| config.clickhouse.database = "no_such_database".to_owned());
    let answer = api.get(&format!("{ACCOUNT}/licenses/history"));
    assert!(answer.status >= 500);
    let text = answer.text().to_lowercase();
    for word in ["clickhouse", "database", "select", "exception", "127.0.0.1", "no_such"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}
