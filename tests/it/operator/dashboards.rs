//! The dashboards of `config/grafana`: their metrics exist, their SQL runs on the engine, and each
//! panel says what it shows, in which unit, and where the runbook goes on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{assert_metrics_exist, files, list, promql, runbook, text, yaml};
use crate::documents::read;
use crate::recipes::{acme, second_source};
use crate::store::{TestDatabase, source};

const FOLDER: &str = "config/grafana/dashboards";

/// What Grafana puts in the place of variables and macros, here for the data of `recipes`.
const REPLACEMENTS: [(&str, &str); 5] = [
    ("${account:sqlstring}", "'acme'"),
    ("${organization:sqlstring}", "'42'"),
    ("${topic:sqlstring}", "'usage-events'"),
    ("$__fromTime", "toDateTime('2026-03-05 00:00:00', 'UTC')"),
    ("$__toTime", "toDateTime('2026-05-01 00:00:00', 'UTC')"),
];

fn dashboards() -> Vec<(String, Value)> {
    let all: Vec<_> = files(FOLDER)
        .into_iter()
        .map(|path| {
            let dashboard = serde_json::from_str(&read(&path))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            (path, dashboard)
        })
        .collect();
    assert!(all.len() >= 3, "only {}", all.len());
    all
}

/// The panels that show something; rows only divide them.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row")
}

/// PromQL of a dashboard, of panels and of variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let mut found: Vec<String> = panels(dashboard)
        .flat_map(|panel| list(&panel["targets"]))
        .filter_map(|target| Some(target["expr"].as_str()?.to_owned()))
        .collect();
    let variables = list(&dashboard["templating"]["list"]).iter();
    found.extend(variables.filter_map(|variable| {
        let query = variable["query"]["query"].as_str()?;
        let metric = query.strip_prefix("label_values(")?.split(',').next()?;
        Some(metric.to_owned())
    }));
    found
}

/// SQL of a dashboard, with the title of its panel or the name of its variable.
fn statements(dashboard: &Value) -> Vec<(String, String)> {
    let of_panels = panels(dashboard).flat_map(|panel| {
        list(&panel["targets"]).iter().filter_map(|target| {
            Some((text(panel, "title").to_owned(), target["rawSql"].as_str()?.to_owned()))
        })
    });
    let variables = list(&dashboard["templating"]["list"]).iter();
    let of_variables =
        variables.filter(|variable| variable["type"] == "query").filter_map(|variable| {
            Some((text(variable, "name").to_owned(), variable["query"].as_str()?.to_owned()))
        });
    of_panels.chain(of_variables).collect()
}

/// The metrics that dashboards show.
pub(super) fn metrics() -> BTreeSet<String> {
    dashboards()
        .iter()
        .flat_map(|(_, dashboard)| expressions(dashboard))
        .flat_map(|expression| promql::metrics(&expression))
        .collect()
}

#[test]
fn panels_show_metrics_that_exist() {
    for (path, dashboard) in dashboards() {
        for expression in expressions(&dashboard) {
            let metrics = promql::metrics(&expression);
            assert!(!metrics.is_empty(), "{path}: {expression}");
            assert_metrics_exist(&format!("{path}: {expression}"), &metrics);
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_where_the_runbook_goes_on() {
    let anchors = runbook::anchors();
    let mut dashboard_ids = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(dashboard_ids.insert(text(&dashboard, "uid").to_owned()), "{path}");
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{path}: {panel}");
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            assert!(text(panel, "description").len() > 10, "{path}: {title}");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{path}: {title}");
            let links = list(&panel["links"]);
            assert_eq!(links.len(), 1, "{path}: {title}");
            let url = text(&links[0], "url");
            let anchor =
                url.strip_prefix("${runbook}#").unwrap_or_else(|| panic!("{title}: {url}"));
            assert!(anchors.contains(anchor), "{path}: {title} links to {anchor}");
        }
    }
}

/// True where the panels cover a place of the grid together once at most.
fn are_apart(panels: &[Value]) -> bool {
    let mut taken = BTreeSet::new();
    panels.iter().all(|panel| {
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let (x, y, width, height) = (side("x"), side("y"), side("w"), side("h"));
        x + width <= 24 && (x..x + width).all(|x| (y..y + height).all(|y| taken.insert((x, y))))
    })
}

#[test]
fn panels_do_not_overlap() {
    for (path, dashboard) in dashboards() {
        assert!(are_apart(list(&dashboard["panels"])), "{path}");
    }
}

#[test]
fn data_sources_and_variables_of_panels_are_declared() {
    let is_provisioned = |kind: &str| {
        let sources = yaml("config/grafana/provisioning/datasources/seatmeter.yml");
        list(&sources["datasources"]).iter().any(|source| source["type"] == kind)
    };
    for (path, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"]["list"]);
        let variable = |name: &str| variables.iter().find(|variable| variable["name"] == name);
        for target in panels(&dashboard).flat_map(|panel| list(&panel["targets"])) {
            let source = &target["datasource"];
            let name = text(source, "uid").trim_matches(['$', '{', '}']);
            let declared = variable(name).unwrap_or_else(|| panic!("{path}: no variable {name}"));
            assert_eq!(declared["query"], source["type"], "{path}: {name}");
            assert!(is_provisioned(text(source, "type")), "{path}: {source}");
            let query = target["expr"].as_str().or(target["rawSql"].as_str()).unwrap();
            for used in query.split('$').skip(1).map(|rest| rest.trim_start_matches('{')) {
                let name: String =
                    used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                assert!(
                    name.starts_with("__") || variable(&name).is_some(),
                    "{path}: no variable {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn sql_of_panels_and_variables_runs_on_the_documented_views() {
    let database = TestDatabase::migrated().await;
    let seed = database.store().user_key_seed().await.unwrap();
    let rows = [acme(&source(0), seed), second_source(&source(1))];
    database.store().write_rows(&rows).await.unwrap();
    let mut run = 0;
    for (path, dashboard) in dashboards() {
        for (title, sql) in statements(&dashboard) {
            let sql = REPLACEMENTS.iter().fold(sql, |sql, (name, value)| sql.replace(name, value));
            assert!(!sql.contains('$'), "{path}: {title}: {sql}");
            let answer = database.analyst_text(&format!("{sql} FORMAT TabSeparatedWithNames"));
            // Figures of the account are there, whatever the rest of the data is.
            let is_of_account = path.ends_with("/account.json");
            assert!(!is_of_account || answer.lines().count() > 1, "{title}: {answer}");
            run += 1;
        }
    }
    assert!(run > 30, "only {run}");
}
