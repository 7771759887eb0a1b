//! The rules of `config/prometheus`: what they name exists, and each alert has its section of the
//! runbook and a unit test. promtool runs the tests themselves: `.ci/operator/check`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{RUNBOOK, assert_metrics_exist, list, promql, runbook, text, yaml};

const RULES: &str = "config/prometheus/rules.yml";

/// Their unit tests.
const TESTS: [&str; 2] =
    ["config/prometheus/rules.test.yml", "config/prometheus/rules.days.test.yml"];

/// All rules, recording and alerting.
fn all() -> Vec<Value> {
    let groups = yaml(RULES);
    let rules: Vec<Value> =
        list(&groups["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect();
    assert!(rules.len() > 30, "only {}", rules.len());
    rules
}

/// The names of all alerts.
pub(super) fn alerts() -> Vec<String> {
    all().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// The metrics that rules record.
pub(super) fn recorded() -> BTreeSet<String> {
    all().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// The metrics that rules read.
pub(super) fn metrics() -> BTreeSet<String> {
    all().iter().flat_map(|rule| promql::metrics(text(rule, "expr"))).collect()
}

#[test]
fn rules_read_metrics_that_exist() {
    for rule in all() {
        let expression = text(&rule, "expr");
        let metrics = promql::metrics(expression);
        assert!(!metrics.is_empty(), "{expression}");
        assert_metrics_exist(expression, &metrics);
    }
}

#[test]
fn every_alert_has_a_severity_texts_and_its_section_of_the_runbook() {
    let anchors = runbook::anchors();
    let mut names = BTreeSet::new();
    for rule in all().iter().filter(|rule| rule["alert"].is_string()) {
        let name = text(rule, "alert");
        assert!(name.starts_with("Seatmeter") && names.insert(name.to_owned()), "{name}");
        let severity = text(&rule["labels"], "severity");
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description"] {
            assert!(text(&rule["annotations"], annotation).len() > 10, "{name}: {annotation}");
        }
        let anchor = name.to_ascii_lowercase();
        assert_eq!(
            text(&rule["annotations"], "runbook_url"),
            format!("{RUNBOOK}#{anchor}"),
            "{name}"
        );
        assert!(anchors.contains(&anchor), "{RUNBOOK} has no section {name}");
    }
    assert!(names.len() > 25, "only {names:?}");
}

#[test]
fn every_alert_has_a_unit_test_on_metrics_that_exist() {
    let mut tested = BTreeSet::new();
    for path in TESTS {
        for test in list(&yaml(path)["tests"]) {
            for series in list(&test["input_series"]) {
                let series = text(series, "series");
                let metrics: BTreeSet<String> =
                    promql::metrics(series).into_iter().filter(|name| name != "up").collect();
                assert_metrics_exist(path, &metrics);
            }
            for alert in list(&test["alert_rule_test"]) {
                if !list(&alert["exp_alerts"]).is_empty() {
                    tested.insert(text(alert, "alertname").to_owned());
                }
            }
            for expression in list(&test["promql_expr_test"]) {
                if !list(&expression["exp_samples"]).is_empty() {
                    let name = text(expression, "expr").split("alertname=\"").nth(1).unwrap();
                    tested.insert(name.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    let alerts = alerts();
    let untested: Vec<_> = alerts.iter().filter(|name| !tested.contains(*name)).collect();
    assert!(untested.is_empty(), "no test lets {untested:?} fire");
}
