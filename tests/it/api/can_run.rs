//! Whether tests may run: what is asked, what is answered, and to whom.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::access::{ask, ask_by_body};
use super::support::{Answer, Api, event};
use super::tokens::{grants, token};

/// Organizations of account `a`: id, monthly quota, tests that ran; with the grace of 130 %.
const ORGANIZATIONS: [(&str, Option<u64>, u64); 6] = [
    ("within", Some(10), 4),
    ("grace", Some(10), 10),
    ("last", Some(10), 12),
    ("exhausted", Some(10), 14),
    ("none", Some(0), 0),
    ("unlimited", None, 1_000),
];

static API: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    let mut events = Vec::new();
    let time = (chrono::Utc::now() - chrono::Duration::minutes(1)).to_rfc3339();
    for (id, quota, tests) in ORGANIZATIONS {
        let of = |more: Value| {
            let mut data = json!({"account_id": "a", "organization_id": id});
            data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            data
        };
        let plan = of(json!({"plan": "team", "monthly_quota": quota}));
        events.push(event("plan.started", &time, &plan));
        if tests > 0 {
            let run = of(json!({"origin": "run", "tests": tests}));
            events.push(event("test.executed", &time, &run));
        }
        let upload = of(json!({"origin": "upload", "tests": 50}));
        events.push(event("test.executed", &time, &upload));
    }
    let login = json!({"account_id": "a", "organization_id": "no-plan", "user_id": 1});
    events.push(event("user.login", &time, &login));
    let ahead = (chrono::Utc::now() + chrono::Duration::minutes(30)).to_rfc3339();
    let plan = json!({"account_id": "a", "organization_id": "ahead", "plan": "p",
        "monthly_quota": 1});
    events.push(event("plan.started", &ahead, &plan));
    api.count(&events);
    api
});

fn one(organization: &str, query: &str) -> Value {
    API.report(&format!("/v1/accounts/a/organizations/{organization}/can-run{query}"))
}

fn checks(checks: &[Value]) -> String {
    json!({ "checks": checks }).to_string()
}

fn many(body: &str) -> Value {
    let answer = API.post("/v1/can-run", &[], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_check_says_what_the_quota_says() {
    for (id, can_run, status, remaining) in [
        ("within", json!(true), "within", json!(9)),
        ("grace", json!(true), "grace", json!(3)),
        ("last", json!(true), "grace", json!(1)),
        ("exhausted", json!(false), "exhausted", json!(0)),
        ("none", json!(false), "exhausted", json!(0)),
        ("unlimited", json!(true), "within", Value::Null),
        ("no-plan", Value::Null, "no_plan", Value::Null),
        ("unheard-of", Value::Null, "no_plan", Value::Null),
        ("ahead", Value::Null, "no_plan", Value::Null),
    ] {
        let answer = one(id, "");
        let told = ["can_run", "status", "remaining"].map(|field| answer[field].clone());
        assert_eq!(told, [can_run, json!(status), remaining], "{id}");
        assert_eq!(answer["account_id"], "a");
        assert_eq!(answer["organization_id"], id);
        assert!(answer["age_ms"].as_u64().unwrap() < 10_000, "{answer}");
        assert_eq!(answer["data_through"], API.report("/v1/ingest")["data_through"]);
        if status == "no_plan" {
            assert_eq!(answer["resets_at"], Value::Null);
        } else {
            let quota = API.report(&format!("/v1/accounts/a/organizations/{id}/quota"));
            assert_eq!(answer["resets_at"], quota["window"]["end"], "{id}");
            assert_eq!(answer["can_run"], quota["can_run"], "{id}");
        }
    }
}

#[test]
fn tests_have_to_fit_into_the_allowance() {
    let can_run = |id: &str, tests: u64| one(id, &format!("?tests={tests}"))["can_run"].clone();
    assert_eq!([1, 9, 10].map(|tests| can_run("within", tests)), [true, true, false]);
    assert_eq!([3, 4].map(|tests| can_run("grace", tests)), [true, false]);
    assert_eq!(can_run("unlimited", 1_000_000_000_000), true);
    assert_eq!(can_run("within", 1_000_000_000_000), false);
    assert_eq!(can_run("unheard-of", 5), Value::Null);
}

#[test]
fn a_thousand_checks_are_answered_in_their_order() {
    let ids = ["within", "grace", "exhausted", "unlimited", "unheard-of"];
    let asked: Vec<Value> = (0..1_000)
        .map(|n| json!({"account_id": "a", "organization_id": ids[n % 5], "tests": n % 12 + 1}))
        .collect();
    let answer = many(&checks(&asked));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 1_000);
    for (asked, result) in asked.iter().zip(results) {
        let id = asked["organization_id"].as_str().unwrap();
        let mut single = one(id, &format!("?tests={}", asked["tests"]));
        for dated in ["data_through", "age_ms"] {
            assert!(single.as_object_mut().unwrap().remove(dated).is_some());
            assert!(result.get(dated).is_none());
        }
        assert_eq!(*result, single);
    }
    assert!(answer["age_ms"].is_u64() && answer["data_through"].is_string(), "{answer}");
    // An unknown account, a number for an id, and the same check twice.
    let answer = many(
        r#"{"checks": [{"account_id": 7, "organization_id": 42},
        {"account_id": "a", "organization_id": "last", "tests": 1},
        {"account_id": "a", "organization_id": "last", "tests": 1}]}"#,
    );
    assert_eq!(answer["results"][0]["account_id"], "7");
    assert_eq!(answer["results"][0]["status"], "no_plan");
    assert_eq!(answer["results"][1], answer["results"][2], "nothing is reserved");
    assert_eq!(answer["results"][1]["can_run"], true);
}

#[track_caller]
fn problem(answer: &Answer, status: u16, parameter: Option<&str>) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!(body.get("parameter").and_then(Value::as_str), parameter, "{body}");
    body["detail"].as_str().unwrap().to_owned()
}

#[test]
fn bad_bodies_are_refused_by_field_value_and_way_out() {
    let post = |body: &str| API.post("/v1/can-run", &[], body);
    let good = json!({"account_id": "a", "organization_id": "o"});
    problem(&post(&checks(&[])), 400, Some("checks"));
    let detail = problem(&post(&checks(&vec![good.clone(); 1_001])), 400, Some("checks"));
    assert!(detail.contains("1001") && detail.contains("1,000 at most"), "{detail}");
    problem(&post(""), 400, Some("body"));
    problem(&post("checks=1"), 400, Some("body"));
    let bad = json!({"account_id": "a", "organization_id": "o", "tests": -3});
    let detail = problem(&post(&checks(&[good.clone(), bad])), 400, Some("checks[1].tests"));
    assert!(detail.starts_with("-3 ") && detail.contains("1 to 1,000,000,000,000"), "{detail}");
    let dots = json!({"account_id": "..", "organization_id": "o"});
    problem(&post(&checks(&[dots])), 400, Some("checks[0].account_id"));
    let answer = API.post("/v1/can-run?pretty=1", &[], &checks(&[good]));
    problem(&answer, 400, Some("pretty"));
    let detail = problem(&post(&" ".repeat(1024 * 1024 + 1)), 413, None);
    assert!(detail.contains("several requests"), "{detail}");
    problem(&API.request("GET", "/v1/can-run", &[]), 405, None);
}

#[test]
fn the_longest_ids_fit_into_a_body() {
    // Each byte is written with six.
    let id = "\\u0061".repeat(64);
    let check = format!(r#"{{"account_id":"{id}","organization_id":"{id}","tests":1000000}}"#);
    let body = format!(r#"{{"checks":[{}]}}"#, vec![check.as_str(); 1_000].join(","));
    let answer = many(&body);
    assert_eq!(answer["results"][999]["organization_id"], "a".repeat(64));
}

#[test]
fn answers_are_not_to_be_kept() {
    let path = "/v1/accounts/a/organizations/within/can-run";
    let answer = API.request("GET", path, &[("if-none-match", "*")]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(API.request("HEAD", path, &[]).status, 200);
}

/// The statuses of checks by a caller with these grants.
fn statuses(grants: Value, asked: &[(&str, &str)]) -> Vec<Value> {
    let header = format!("Bearer {}", token(grants));
    let asked: Vec<Value> = asked
        .iter()
        .map(|(account, id)| json!({"account_id": account, "organization_id": id}))
        .collect();
    let answer = ask_by_body("/v1/can-run", &checks(&asked), Some(&header));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let results = answer["results"].as_array().unwrap();
    for (asked, result) in asked.iter().zip(results) {
        assert_eq!(result["organization_id"], asked["organization_id"]);
        if result["status"] == "forbidden" {
            for field in ["can_run", "remaining", "resets_at"] {
                assert_eq!(result[field], Value::Null);
            }
        }
    }
    results.iter().map(|result| result["status"].clone()).collect()
}

#[test]
fn each_check_goes_by_the_grants_of_the_token() {
    let asked =
        [("acme", "42"), ("acme", "43"), ("acme", "unheard"), ("other", "42"), ("nobody", "42")];
    let (own, none, no) = ("within", "no_plan", "forbidden");
    let all = |grants: Value| statuses(grants, &asked);
    assert_eq!(all(grants("acme", None, "account_admin")), [own, own, none, no, no]);
    assert_eq!(all(grants("acme", None, "checker")), [own, own, none, no, no]);
    assert_eq!(all(grants("*", None, "checker")), [own, own, none, own, none]);
    for role in ["owner", "admin", "billing_manager"] {
        assert_eq!(all(grants("acme", Some("42"), role)), [own, no, no, no, no]);
    }
    assert_eq!(all(json!({})), [no; 5]);
    assert_eq!(all(grants("*", None, "account_admin")), [no; 5], "a star is for checkers alone");
    assert_eq!(ask_by_body("/v1/can-run", &checks(&[]), None).status, 401);
    // The answers to a single check: a grant short is 403, whether it exists or not.
    let single = |grants: Value, account: &str, id: &str| {
        let path = format!("/v1/accounts/{account}/organizations/{id}/can-run");
        ask(&path, Some(&format!("Bearer {}", token(grants)))).status
    };
    let checker = || grants("acme", None, "checker");
    assert_eq!(single(checker(), "acme", "42"), 200);
    assert_eq!(single(checker(), "acme", "unheard"), 200);
    assert_eq!(single(checker(), "other", "42"), 403);
    assert_eq!(single(checker(), "nobody", "42"), 403);
    assert_eq!(single(grants("acme", Some("42"), "owner"), "acme", "43"), 403);
}
