//! The packages of `config/` name options, commands and files that exist, and give a process the
//! time that its end takes. `.ci/operator/check` holds them against the schemas of others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use clap::CommandFactory as _;
use seatmeter::app::Cli;
use seatmeter::config::{self, Config};
use serde_json::Value;
use tempfile::TempDir;

use super::{files, list, text, yaml, yaml_documents};
use crate::documents::read;

const COMPOSE: &str = "config/container/compose.yaml";
const DOCKERFILE: &str = "config/container/Dockerfile";

/// What the end of a process takes beyond `ingest.revoke_deadline_ms`, as `src/app/service.rs` has
/// it.
const END_GRACE_SECONDS: u64 = 40;

type Variables = BTreeMap<String, String>;

/// Loads a configuration of these variables. A path of another machine is replaced by that of a
/// file with a secret in it.
#[track_caller]
fn load(origin: &str, variables: &Variables) -> Config {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a secret of more than thirty-two bytes").unwrap();
    let variables = variables.iter().filter(|(name, _)| name.starts_with("SEATMETER"));
    let variables = variables.map(|(name, value)| {
        let is_path = value.starts_with('/') || value.starts_with("%d/");
        let value = if is_path { secret.clone().into() } else { OsString::from(value) };
        (OsString::from(name), value)
    });
    config::load(None, variables).unwrap_or_else(|error| panic!("{origin}: {error}"))
}

/// Fails where the program does not know the command line.
#[track_caller]
fn assert_is_command(origin: &str, arguments: &[&str]) {
    let line = ["seatmeter"].iter().chain(arguments);
    if let Err(error) = Cli::command().try_get_matches_from(line) {
        panic!("{origin}: {arguments:?}: {error}");
    }
}

/// What a process has to be left to end, seconds.
fn end_seconds() -> u64 {
    load("the defaults", &Variables::new()).ingest.revoke_deadline.as_secs() + END_GRACE_SECONDS
}

#[track_caller]
fn strings(value: &Value) -> Vec<&str> {
    list(value).iter().map(|item| item.as_str().unwrap()).collect()
}

/// `NAME=value`, one a line; comments and blank lines are skipped.
fn assignments(text: &str) -> Variables {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        (name.to_owned(), value.to_owned())
    };
    lines.map(pair).collect()
}

/// The value that Compose takes where the environment has none: `${NAME:-value}`.
fn default_of(value: &str) -> &str {
    let default = value.strip_prefix("${").and_then(|rest| rest.split_once(":-"));
    default.map_or(value, |(_, default)| default.trim_end_matches('}'))
}

/// The variables that the image sets.
fn of_image() -> Variables {
    let dockerfile = read(DOCKERFILE);
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    let variables: Variables =
        lines.flat_map(|line| assignments(&line.replace(' ', "\n"))).collect();
    assert!(!variables.is_empty());
    variables
}

#[test]
fn the_composed_services_are_started_with_options_that_exist() {
    let compose = yaml(COMPOSE);
    let mut services = 0;
    for (name, service) in compose["services"].as_object().unwrap() {
        if service["image"] != "seatmeter" {
            continue;
        }
        services += 1;
        let origin = format!("{COMPOSE}: {name}");
        assert_is_command(&origin, &strings(&service["command"]));
        let mut variables = of_image();
        for (name, value) in service["environment"].as_object().unwrap() {
            variables.insert(name.clone(), default_of(value.as_str().unwrap()).to_owned());
        }
        load(&origin, &variables);
        let grace: u64 =
            text(service, "stop_grace_period").strip_suffix('s').unwrap().parse().unwrap();
        assert!(grace > end_seconds(), "{origin}: {grace} s");
        assert_eq!(service["read_only"], true, "{origin}");
    }
    assert_eq!(services, 4, "worker, API, migrate and load");
    for path in mounted(&compose) {
        let full = super::root().join("config/container").join(&path);
        assert!(full.exists(), "{COMPOSE} mounts {path}, which does not exist");
    }
}

/// The files of the project that services mount.
fn mounted(compose: &Value) -> Vec<String> {
    let services = compose["services"].as_object().unwrap().values();
    let volumes = services.flat_map(|service| strings(&service["volumes"]));
    let paths = volumes.map(|volume| volume.split(':').next().unwrap().to_owned());
    let paths: Vec<String> = paths.filter(|path| path.starts_with('.')).collect();
    assert!(paths.len() > 5, "only {paths:?}");
    paths
}

#[test]
fn the_image_is_built_by_the_compiler_that_the_program_needs() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("rust-version = \"").unwrap();
    let version = rest.split('"').next().unwrap();
    let dockerfile = read(DOCKERFILE);
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "{version}");
    let command = dockerfile.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let arguments: Vec<String> = serde_json::from_str(command).unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_is_command(DOCKERFILE, &arguments);
    // Nothing that the build reads is kept from it.
    let ignored = read(&format!("{DOCKERFILE}.dockerignore"));
    for path in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "schemas", "benches"] {
        assert!(ignored.lines().any(|line| line == format!("!{path}")), "{path}");
    }
}

/// The values of a key of a unit.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn units_start_commands_with_options_that_exist() {
    let mut units = 0;
    for path in files("config/systemd") {
        let unit = read(&path);
        units += 1;
        let values = |key| values(&unit, key);
        let start = values("ExecStart")[0];
        let arguments = start.strip_prefix("/usr/bin/seatmeter ").unwrap();
        assert_is_command(&path, &arguments.split(' ').collect::<Vec<_>>());
        load(&path, &assignments(&values("Environment").join("\n")));
        if values("Type") != ["oneshot"] {
            let timeout: u64 = values("TimeoutStopSec")[0].parse().unwrap();
            assert!(timeout > end_seconds(), "{path}: {timeout} s");
        }
    }
    assert_eq!(units, 3);
}

/// The pods that a manifest describes, with what they are of.
fn pods(path: &str) -> Vec<(String, Value)> {
    yaml_documents(path)
        .into_iter()
        .filter(|object| object["spec"]["template"].is_object())
        .map(|object| {
            let origin = format!("{path}: {}", text(&object["metadata"], "name"));
            (origin, object["spec"]["template"]["spec"].clone())
        })
        .collect()
}

#[test]
fn pods_are_started_with_options_that_exist() {
    let common = assignments(&read("config/kubernetes/seatmeter.env"));
    let manifests = files("config/kubernetes").into_iter().filter(|path| path.ends_with(".yaml"));
    let mut containers = 0;
    for (origin, pod) in manifests.flat_map(|path| pods(&path)) {
        for container in list(&pod["containers"]) {
            containers += 1;
            assert_is_command(&origin, &strings(&container["args"]));
            let mut variables = of_image();
            variables.extend(common.clone());
            for variable in list(&container["env"]) {
                variables
                    .insert(text(variable, "name").to_owned(), text(variable, "value").to_owned());
            }
            load(&origin, &variables);
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{origin}");
            assert_mounts_exist(&origin, &pod, container);
        }
        if pod["restartPolicy"].is_null() {
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(grace > end_seconds(), "{origin}: {grace} s");
        }
    }
    assert_eq!(containers, 3, "worker, API and migrate");
}

/// Files that options name lie in volumes of the pod.
#[track_caller]
fn assert_mounts_exist(origin: &str, pod: &Value, container: &Value) {
    for mount in list(&container["volumeMounts"]) {
        let name = text(mount, "name");
        let is_there = list(&pod["volumes"]).iter().any(|volume| volume["name"] == name);
        assert!(is_there, "{origin}: no volume {name}");
    }
    let common = assignments(&read("config/kubernetes/seatmeter.env"));
    for path in common.values().filter(|value| value.starts_with('/')) {
        let is_mounted = list(&container["volumeMounts"])
            .iter()
            .any(|mount| path.starts_with(text(mount, "mountPath")));
        assert!(is_mounted, "{origin}: {path} is in no volume");
    }
}

#[test]
fn the_kustomization_has_every_manifest() {
    let kustomization = yaml("config/kubernetes/kustomization.yaml");
    let mut listed = strings(&kustomization["resources"]);
    listed.push("kustomization.yaml");
    listed.sort_unstable();
    let found = files("config/kubernetes");
    let found: Vec<&str> = found
        .iter()
        .filter(|path| path.ends_with(".yaml"))
        .map(|path| path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(listed, found);
}

#[test]
fn the_autoscaler_goes_by_a_metric_that_is_recorded() {
    let path = "config/kubernetes/worker-autoscaler.yaml";
    let autoscaler = yaml(path);
    let metric = text(&autoscaler["spec"]["metrics"][0]["external"]["metric"], "name");
    let recorded = super::rules::recorded();
    let is_served = |rule: &String| rule.replace(':', "_") == metric && read(path).contains(rule);
    assert!(recorded.iter().any(is_served), "{metric}: {recorded:?}");
    assert!(autoscaler["spec"]["scaleTargetRef"]["name"] == "seatmeter-worker");
}

#[test]
fn documents_name_options_that_exist() {
    let defaults = config::DEFAULTS;
    for path in ["config/README.md", "config/runbook.md", "README.md"] {
        let document = read(path);
        for rest in document.split("SEATMETER__").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
                .collect();
            let (section, key) = name.split_once("__").unwrap();
            let is_pattern = section == "SECTION";
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            let is_property = key.starts_with("properties");
            let is_known = defaults.contains(&format!("\n[{section}]\n"))
                && defaults.contains(&format!("\n{key} = "));
            assert!(is_pattern || is_property || is_known, "{path} names SEATMETER__{name}");
        }
    }
}
