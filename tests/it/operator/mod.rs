//! What operators install (`config/`) agrees with the program: alerts, dashboards, the runbook and
//! the packages name only metrics, sections, options, commands and columns that exist.

mod dashboards;
mod packaging;
mod promql;
mod restore;
mod rules;
mod runbook;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::documents::read;

/// Where the runbook lies, as alerts name it.
const RUNBOOK: &str = "config/runbook.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents of a YAML file of the project.
#[track_caller]
fn yaml_documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The only document of a YAML file of the project.
#[track_caller]
fn yaml(path: &str) -> Value {
    let mut documents = yaml_documents(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// The files of a folder of the project, as paths from its root, in order.
#[track_caller]
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut names: Vec<String> = paths
        .map(|path: PathBuf| format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

/// The items of a list; none where there is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field that has to be a text.
#[track_caller]
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Every metric that the program registers: the literals of its telemetry that are names.
fn registered() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files("src/telemetry") {
        let source = read(&path);
        let literals = source.lines().filter_map(|line| {
            let (declared, rest) = line.split_once(": &str = \"")?;
            declared.contains("const ").then(|| rest.split('"').next().unwrap_or_default())
        });
        let is_metric =
            |name: &&str| name.starts_with("seatmeter_") || name.starts_with("process_");
        names.extend(literals.filter(is_metric).map(str::to_owned));
    }
    assert!(names.len() > 40, "only {names:?}");
    names
}

/// Fails where a metric neither is registered nor recorded by a rule.
#[track_caller]
fn assert_metrics_exist(origin: &str, names: &BTreeSet<String>) {
    let (registered, recorded) = (registered(), rules::recorded());
    for name in names {
        let is_known = registered.contains(promql::family(name)) || recorded.contains(name);
        assert!(is_known, "{origin}: there is no metric {name}");
    }
}

#[test]
fn every_metric_is_on_a_dashboard_or_in_an_alert() {
    let mut shown = rules::metrics();
    shown.extend(dashboards::metrics());
    let families: BTreeSet<&str> = shown.iter().map(|name| promql::family(name)).collect();
    let registered = registered();
    let missing: Vec<_> =
        registered.iter().filter(|name| !families.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "nobody sees {missing:?}");
}
