//! `/openapi.json`: it has every endpoint, and every answer conforms to it.

use std::collections::HashSet;
use std::sync::LazyLock;

use seatmeter::http::{Access, endpoints};
use serde_json::{Value, json};

use super::support::{Answer, Api, event};
use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};

static API: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    let with = |data: Value| {
        let mut data = data;
        data["account_id"] = json!("a");
        data
    };
    api.count(&[
        event(
            "organization.updated",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "o", "name": "O"})),
        ),
        event(
            "organization.updated",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "p", "parent_id": "o"})),
        ),
        event("license.purchased", "2026-01-01T00:00:00Z", &with(json!({"seats": 5}))),
        event(
            "license.assigned",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "o", "user_id": 1, "project_id": 7})),
        ),
        event(
            "license.assigned",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "p", "user_id": 2})),
        ),
        event(
            "user.login",
            "2026-01-01T08:00:00Z",
            &with(json!({"user_id": 1, "organization_id": "o"})),
        ),
        event(
            "user.updated",
            "2026-01-01T08:00:00Z",
            &with(json!({"user_id": 1, "email": "one@example.com"})),
        ),
        event(
            "plan.started",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "o", "plan": "p", "monthly_quota": 3})),
        ),
        event(
            "plan.started",
            "2026-01-01T00:00:00Z",
            &with(json!({"organization_id": "p", "plan": "p", "monthly_quota": null})),
        ),
        event(
            "test.executed",
            "2026-01-02T00:00:00Z",
            &with(json!({"organization_id": "o", "origin": "run", "tests": 2})),
        ),
    ]);
    let quota = AlertEventRow::quota("a", "o", "quota", "80");
    let resolved = quota.closed("resolved", FOUND_AT_MS + 1);
    let pace = AlertEventRow::quota("a", "p", "pace", "runs_out");
    api.sql(&storing(&[quota, resolved, pace, AlertEventRow::seats("a", "90")]));
    api
});

fn document() -> Value {
    API.report("/openapi.json")
}

/// The description of the only operation of a path.
fn operation<'d>(document: &'d Value, path: &str) -> &'d Value {
    let operations = document["paths"][path].as_object().expect("the path is described");
    assert_eq!(operations.len(), 1, "{path}");
    operations.values().next().unwrap()
}

/// The schema of an answer, with everything that it refers to; `None` if the document has no such
/// answer.
fn schema(document: &Value, path: &str, status: u16, media_type: &str) -> Option<Value> {
    let response = &operation(document, path)["responses"][status.to_string()];
    let mut schema = response["content"][media_type]["schema"].as_object()?.clone();
    schema.insert("components".to_owned(), document["components"].clone());
    Some(Value::Object(schema))
}

/// Validates an answer by the document.
#[track_caller]
fn check(document: &Value, path: &str, answer: &Answer) {
    let operation = operation(document, path);
    assert!(
        operation["responses"].get(answer.status.to_string()).is_some(),
        "{path} does not tell of {}",
        answer.status
    );
    if answer.status == 304 {
        return;
    }
    let media_type = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = schema(document, path, answer.status, media_type)
        .unwrap_or_else(|| panic!("{path} does not tell of {media_type} at {}", answer.status));
    if !media_type.ends_with("json") {
        return;
    }
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema is one");
    let body = answer.json();
    let faults: Vec<String> = validator
        .iter_errors(&body)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{path} {}: {faults:?}\n{body}", answer.status);
}

#[test]
fn the_document_describes_every_endpoint_and_no_other() {
    let document = document();
    assert!(!document.to_string().contains("allOf"), "generators of clients lose fields by it");
    assert_eq!(document["openapi"], "3.1.0");
    let described: HashSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let served: HashSet<&str> = endpoints().iter().map(|endpoint| endpoint.path).collect();
    assert_eq!(described, served);
    let mut ids = HashSet::new();
    for endpoint in endpoints() {
        let operation = operation(&document, endpoint.path);
        let method = if endpoint.methods == "POST" { "post" } else { "get" };
        assert!(document["paths"][endpoint.path].get(method).is_some(), "{}", endpoint.path);
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "operation ids are unique"
        );
        let security = operation["security"].as_array().expect("it says whether it needs a token");
        assert_eq!(security.is_empty(), endpoint.access == Access::Public, "{}", endpoint.path);
        for (name, parameter) in
            operation["parameters"].as_array().into_iter().flatten().map(|one| (&one["name"], one))
        {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{} {name}",
                endpoint.path
            );
        }
    }
}

#[test]
fn every_parameter_that_is_described_is_taken() {
    let document = document();
    let example = |path: &str, name: &str| match name {
        "organization_id" | "license_source" | "project_id" => "o",
        "from" | "to" if path == "/v1/audit" => "2026-01-01T00:00:00Z",
        "from" | "to" => "2026-01-01",
        "interval" => "week",
        "as_of" => "2026-01-02T00:00:00Z",
        "group_by" => "organization",
        "format" => "json",
        "user" | "email" | "search" => "x",
        "status" if path.ends_with("/quota") => "grace",
        "rule" => "pace",
        "status" | "state" => "all",
        "activated" => "true",
        "bom" => "false",
        "inactive_days" | "held_days" | "limit" | "tests" => "1",
        "sort" => "-last_active_use",
        other => panic!("{other} has no example here"),
    };
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{account_id}", "a").replace("{organization_id}", "o");
        let parameters = operation(&document, endpoint.path)["parameters"].as_array();
        for parameter in parameters.into_iter().flatten().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            // A cursor needs an earlier answer; paging has separate tests.
            if name != "cursor" {
                API.report(&format!("{path}?{name}={}", example(endpoint.path, name)));
            }
        }
    }
}

/// Endpoints with queries that they are asked with.
const QUERIES: [(&str, &[&str]); 13] = [
    ("/v1/accounts", &["", "search=a&limit=1", "limit=0"]),
    (
        "/v1/accounts/{account_id}/licenses/history",
        &[
            "",
            "from=2026-01-01&to=2026-12-31&interval=month",
            "from=2026-02-02&to=2026-01-01",
            "nonsense",
        ],
    ),
    (
        "/v1/accounts/{account_id}/licenses/usage",
        &["", "group_by=organization&from=2026-01-01&to=2026-01-31&interval=week", "group_by=x"],
    ),
    (
        "/v1/accounts/{account_id}/licenses/assignments",
        &["", "limit=1", "status=all&sort=-email", "format=csv", "cursor=x"],
    ),
    ("/v1/accounts/{account_id}/organizations", &["", "x=1"]),
    (
        "/v1/accounts/{account_id}/quota",
        &["", "limit=1", "as_of=2026-01-20T00:00:00Z", "format=csv", "status=all"],
    ),
    (
        "/v1/accounts/{account_id}/alerts",
        &["", "limit=1", "state=all", "rule=seats", "organization_id=o", "state=closed"],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/quota",
        &["", "as_of=2020-01-01T00:00:00Z", "as_of=x"],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/quota/history",
        &["", "format=csv", "as_of=2020-01-01T00:00:00Z"],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/test-activity",
        &["", "from=2026-01-01&to=2026-01-31", "format=csv", "from=x"],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/can-run",
        &["", "tests=3", "tests=0"],
    ),
    ("/v1/ingest", &["", "x=1"]),
    ("/v1/audit", &["", "from=2026-12-31T23:00:00Z&to=2027-01-01T00:00:00Z", "from=2026-01-01"]),
];

/// Bodies of `POST /v1/can-run`.
const BODIES: [&str; 5] = [
    r#"{"checks": [{"account_id": "a", "organization_id": "o", "tests": 2},
        {"account_id": "a", "organization_id": "p"}, {"account_id": "b", "organization_id": 7}]}"#,
    r#"{"checks": []}"#,
    r#"{"checks": [{"account_id": "a"}]}"#,
    r#"{"checks": [{"account_id": "a", "organization_id": "o", "x": 1}]}"#,
    "no JSON",
];

#[test]
fn every_answer_is_what_the_document_says() {
    let document = document();
    for (pattern, queries) in QUERIES {
        for organization in ["o", "p", "unheard-of"] {
            for account in ["a", "nobody"] {
                let path = pattern
                    .replace("{account_id}", account)
                    .replace("{organization_id}", organization);
                for query in queries {
                    let answer = API.get(&format!("{path}?{query}"));
                    check(&document, pattern, &answer);
                    if let Some(tag) = answer.header("etag") {
                        check(
                            &document,
                            pattern,
                            &API.request(
                                "GET",
                                &format!("{path}?{query}"),
                                &[("if-none-match", tag)],
                            ),
                        );
                    }
                }
            }
        }
    }
    for body in BODIES {
        check(&document, "/v1/can-run", &API.post("/v1/can-run", &[], body));
    }
    let large = " ".repeat(1024 * 1024 + 1);
    check(&document, "/v1/can-run", &API.post("/v1/can-run", &[], &large));
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/"] {
        check(&document, path, &API.get(path));
    }
}

#[test]
fn the_schemas_are_strict_enough_to_notice() {
    let document = document();
    let path = "/v1/accounts/{account_id}/organizations/{organization_id}/quota";
    let schema = schema(&document, path, 200, "application/json").unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let good = API.report("/v1/accounts/a/organizations/o/quota");
    assert!(validator.is_valid(&good));
    for (pointer, value) in [
        ("/window/start", json!("yesterday")),
        ("/status", json!("fine")),
        ("/used", json!("2")),
        ("/percent_used", json!(-1)),
        ("/data_through", json!(7)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
    for name in ["plan", "allowance", "data_through", "account_id", "timezone"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(name).unwrap();
        assert!(!validator.is_valid(&bad), "{name} is always there");
    }
}
