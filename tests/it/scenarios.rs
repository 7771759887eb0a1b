//! Whole logs, counted and reported: every answer that a scenario expects.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::api::support::Api;
use crate::support::engine;
use crate::support::http_proxy::HttpProxy;

/// Fields that depend on when and in which order a log is counted.
const NOT_COMPARED: [&str; 2] = ["data_through", "next_cursor"];

/// The first difference between answers and expectations of a scenario; `None` if they agree.
/// Fields beyond the expected ones are not compared, and numbers with decimals within rounding.
fn difference(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().find_map(|(name, value)| {
                if NOT_COMPARED.contains(&name.as_str()) {
                    return None;
                }
                let at = format!("{at}.{name}");
                found.get(name).map_or_else(
                    || Some(format!("{at}: missing")),
                    |found| difference(value, found, &at),
                )
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            expected.iter().zip(found).enumerate().find_map(|(index, (expected, found))| {
                difference(expected, found, &format!("{at}[{index}]"))
            })
        }
        (Value::Number(expected), Value::Number(found)) if expected.is_f64() || found.is_f64() => {
            let (expected, found) = (expected.as_f64()?, found.as_f64()?);
            ((expected - found).abs() > 0.005)
                .then(|| format!("{at}: expected {expected}, found {found}"))
        }
        _ => (expected != found).then(|| format!("{at}: expected {expected}, found {found}")),
    }
}

/// Counts a scenario's log in its own database and compares every answer.
fn check(events: &Path, expected: &Path) {
    let api = Api::open();
    count(&api, events);
    compare(&api, expected);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Counts a log.
pub(crate) fn count(api: &Api, events: &Path) {
    let log = read(events);
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let progress = api.count(&lines);
    assert_eq!(progress.next_offset, lines.len() as u64);
}

/// Compares every answer.
pub(crate) fn compare(api: &Api, expected: &Path) {
    let cases: Vec<Value> =
        serde_json::from_str(&read(expected)).expect("the expectations are JSON");
    let mut faults = Vec::new();
    for case in &cases {
        let path = case["path"].as_str().expect("a case has a path");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in case["query"].as_object().expect("a case has a query") {
            query.append_pair(name, value.as_str().expect("values of a query are texts"));
        }
        let query = query.finish();
        let answer = api.get(&format!("{path}?{query}"));
        let status = case["status"].as_u64().expect("a case has a status");
        let fault = if u64::from(answer.status) != status {
            Some(format!("expected status {status}, found {}: {}", answer.status, answer.text()))
        } else if case["body"].is_null() {
            None
        } else {
            difference(&case["body"], &answer.json(), "")
        };
        faults.extend(fault.map(|fault| format!("{path}?{query}\n    {fault}")));
    }
    assert!(
        faults.is_empty(),
        "{} of {} differ:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
    assert!(!cases.is_empty());
}

#[test]
fn the_comparison_notices_what_it_should() {
    use serde_json::json;
    let expected = json!({"a": [1, {"b": null}], "c": 0.33, "data_through": "x"});
    let check = |found: Value, at: Option<&str>| {
        let difference = difference(&expected, &found, "");
        let path = difference.as_ref().map(|text| text.split(':').next().unwrap_or_default());
        assert_eq!(path, at, "{found}");
    };
    check(json!({"a": [1, {"b": null, "more": 1}], "c": 0.333, "data_through": "y"}), None);
    check(json!({"a": [1, {"b": 0}], "c": 0.33}), Some(".a[1].b"));
    check(json!({"a": [1, {}], "c": 0.33}), Some(".a[1].b"));
    check(json!({"a": [1], "c": 0.33}), Some(".a"));
    check(json!({"a": ["1", {"b": null}], "c": 0.33}), Some(".a[0]"));
    check(json!({"a": [1, {"b": null}], "c": 0.34}), Some(".c"));
}

/// A log whose answers were derived by hand from the contract.
#[test]
fn the_scenario_of_the_project() {
    check_own("own");
}

/// Ids that text decoders and path handling would change, and names in all forms in which people
/// write and search them.
#[test]
fn the_scenario_of_ids_and_names() {
    check_own("ids-and-names");
}

fn check_own(name: &str) {
    let (events, expected) = own_files(name);
    check(&events, &expected);
}

/// Log and expectations of a scenario of the project.
pub(crate) fn own_files(name: &str) -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios");
    (folder.join(format!("{name}.events.ndjson")), folder.join(format!("{name}.expected.json")))
}

/// Settings of a profile that change what a statement means.
const PROFILES: [&str; 4] = [
    "prefer_column_name_to_alias=1",
    "join_default_strictness=ANY",
    "aggregate_functions_null_for_empty=1",
    "join_use_nulls=1&transform_null_in=1&enable_analyzer=0&use_query_cache=1&limit=1&final=1&\
     extremes=1",
];

/// Seats in a deep tree: neither schema nor loads nor reports may see the profile of the ClickHouse
/// user.
#[test]
fn the_scenario_of_a_deep_tree_under_any_profile() {
    let (events, expected) = own_files("deep-tree");
    let database = engine();
    let url = database.url.clone();
    let under = |profile: &str| HttpProxy::with_profile(&url, profile).url;
    let api = Api::on(database, |config| config.clickhouse.url = under(&PROFILES.join("&")));
    count(&api, &events);
    compare(&api, &expected);
    for profile in PROFILES {
        compare(&api.beside(|config| config.clickhouse.url = under(profile)), &expected);
    }
    compare(&api.beside(|config| config.clickhouse.url.clone_from(&url)), &expected);
}

/// Zones whose clock changes since 2026 differ from the 2025 forecast.
#[test]
fn the_zone_rules_of_2026() {
    check_own("zone-rules-of-2026");
}

/// Scenarios beside a checkout of the project, if there are any.
fn beside_the_checkout(name: &str) -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/scenarios");
    let files = (
        folder.join(format!("{name}.events.ndjson")),
        folder.join(format!("{name}.expected.json")),
    );
    (files.0.exists() && files.1.exists()).then_some(files)
}

#[test]
fn the_tiny_scenario_of_the_workplace() {
    if let Some((events, expected)) = beside_the_checkout("tiny") {
        check(&events, &expected);
    }
}

#[test]
fn the_small_scenario_of_the_workplace() {
    if let Some((events, expected)) = beside_the_checkout("small") {
        check(&events, &expected);
    }
}
