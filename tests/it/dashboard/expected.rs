//! A scenario's events and expected answers.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) path: String,
    pub(super) query: Map<String, Value>,
    pub(super) status: u64,
    pub(super) body: Value,
}

/// The events of a scenario, one a line.
pub(super) fn events(scenario: &str) -> String {
    std::fs::read_to_string(file(scenario, "events.ndjson")).unwrap()
}

/// The cases of a scenario with this path suffix and an answer.
pub(super) fn cases(scenario: &str, end: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(file(scenario, "expected.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let case = |value: Value| Case {
        path: value["path"].as_str().unwrap().to_owned(),
        query: value["query"].as_object().unwrap().clone(),
        status: value["status"].as_u64().unwrap(),
        body: value["body"].clone(),
    };
    let is_asked = |case: &Case| case.path.ends_with(end);
    let found: Vec<Case> = all.into_iter().map(case).filter(is_asked).collect();
    assert!(!found.is_empty(), "no case of {scenario} ends with {end}");
    found.into_iter().filter(|case| case.status == 200).collect()
}

/// The scenarios beside a checkout of the project; without them, the project's copy of `tiny`.
fn file(scenario: &str, kind: &str) -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = format!("{scenario}.{kind}");
    let shared = project.join("../shared/scenarios").join(&name);
    if shared.exists() { shared } else { project.join("tests/it/dashboard").join(&name) }
}

impl Case {
    /// The query of the page that shows the same, without view and account.
    pub(super) fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.query {
            query.append_pair(name, value.as_str().unwrap());
        }
        query.finish()
    }

    /// The organization in the path.
    pub(super) fn organization(&self) -> &str {
        self.path.split('/').nth(5).unwrap()
    }

    /// The list with that name in the answer.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.body[name].as_array().unwrap()
    }
}

/// A figure as the page shows it.
pub(super) fn figure(value: &Value) -> String {
    match value {
        Value::Null => "Unlimited".to_owned(),
        Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap()),
        Value::Number(number) => grouped(number.as_i64().unwrap()),
        other => panic!("no figure: {other}"),
    }
}

fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("−{grouped}") } else { grouped }
}
