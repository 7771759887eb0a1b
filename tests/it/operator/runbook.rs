//! The runbook has a section for each alert, each reason of `/readyz` and each error that ends a
//! process, and its words are those of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{RUNBOOK, files, root, rules};
use crate::documents::{self, quoted, read, section};
use crate::store::TestDatabase;

/// What a section of an alert or a reason says.
const PARTS: [&str; 4] = ["Counts", "Look", "Do", "Over"];

/// Errors that end no process: a report is answered 422.
const HARMLESS: [&str; 1] = ["needs more memory for this report"];

/// The anchors of its headings.
pub(super) fn anchors() -> BTreeSet<String> {
    documents::anchors(&root().join(RUNBOOK)).into_iter().collect()
}

/// Title and text of each part of a section.
fn subsections(title: &str) -> Vec<(String, String)> {
    let section = section(RUNBOOK, title);
    let parts = section.split("\n### ").skip(1);
    parts
        .map(|part| {
            let (title, text) = part.split_once('\n').unwrap();
            (title.to_owned(), text.to_owned())
        })
        .collect()
}

#[track_caller]
fn assert_says_all(title: &str, text: &str) {
    let said: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.split(':').next())
        .flat_map(|parts| parts.split(", "))
        .collect();
    for part in PARTS {
        assert!(said.contains(part), "'{title}' does not say '{part}', only {said:?}");
    }
}

/// The Rust files of the program, by path, with the lines of a literal joined.
fn source_files() -> Vec<(String, String)> {
    fn collect(folder: &Path, into: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                into.push((name, text.split("\\\n").map(str::trim_start).collect()));
            }
        }
    }
    let mut sources = Vec::new();
    collect(&root().join("src"), &mut sources);
    sources
}

/// Their texts alone.
fn sources() -> Vec<String> {
    source_files().into_iter().map(|(_, text)| text).collect()
}

/// The first two literals after each place where the text stands.
fn literals<'t>(program: &'t str, start: &str) -> Vec<(&'t str, &'t str)> {
    let places = program.split(start).skip(1);
    places
        .filter_map(|rest| {
            let (arguments, _) = rest.split_once(')')?;
            let mut literals = arguments.split('"').skip(1).step_by(2);
            Some((literals.next()?, literals.next()?))
        })
        .collect()
}

#[test]
fn every_alert_has_a_section_that_says_what_to_do() {
    let sections = subsections("Alerts");
    for (title, text) in &sections {
        assert_says_all(title, text);
    }
    let titles: BTreeSet<String> = sections.into_iter().map(|(title, _)| title).collect();
    let alerts: BTreeSet<String> = rules::alerts().into_iter().collect();
    assert_eq!(titles, alerts);
}

#[test]
fn every_reason_of_readiness_has_a_section() {
    let sources = sources();
    let program = sources.concat();
    let sections = subsections("What `/readyz` means");
    let mut components = BTreeSet::new();
    for (title, text) in &sections {
        assert_says_all(title, text);
        let (component, reasons) = title.split_once(": ").unwrap();
        components.insert(component);
        for reason in reasons.split(", ") {
            assert!(program.contains(reason), "nothing says {reason:?} ({component})");
        }
    }
    // Dependencies are retried; the last one is of a unit test.
    let mut waits = literals(&program, "Dependency::new(");
    waits.extend(literals(&program, ".dependency("));
    assert!(waits.len() >= 5, "{waits:?}");
    for (component, trouble) in waits.into_iter().filter(|(component, _)| *component != "store") {
        let title = format!("{component}: {trouble}");
        assert!(sections.iter().any(|(other, _)| *other == title), "no section '{title}'");
    }
    // Other components are of the log alone.
    let tells = |source: &&String| source.contains(".not_ready(") || source.contains(".degraded(");
    for source in sources.iter().filter(tells) {
        for name in ["COMPONENT", "GROUP", "PARTITIONS"] {
            let Some((_, rest)) = source.split_once(&format!("const {name}: &str = \"")) else {
                continue;
            };
            let component = rest.split('"').next().unwrap();
            assert!(components.contains(component), "no section of {component}");
        }
    }
}

/// The texts of the errors in a file.
fn errors(path: &str) -> Vec<String> {
    let source: String = read(path).split("\\\n").map(str::trim_start).collect();
    let attributes = source.split("#[error(").skip(1);
    attributes
        .filter_map(|rest| {
            let (_, text) = rest.split_once('"')?;
            let is_text = rest.trim_start().starts_with('"');
            is_text.then(|| text.split("\"\n").next().unwrap().split("\")]").next().unwrap().into())
        })
        .collect()
}

#[test]
fn every_error_that_ends_a_process_has_a_section() {
    let text =
        section(RUNBOOK, "Errors that end a process").replace("\n  ", " ").replace('\n', " ");
    let fragments: Vec<&str> = quoted(&text).filter(|part| part.len() > 6).collect();
    let mut found = 0;
    for path in ["src/ingest/error.rs", "src/store/error.rs", "src/store/migrate_error.rs"] {
        for error in errors(path) {
            found += 1;
            let is_named = fragments.iter().any(|part| error.contains(*part));
            let is_harmless = HARMLESS.iter().any(|part| error.contains(part));
            assert!(is_named || is_harmless, "{RUNBOOK} does not name {error:?}");
        }
    }
    assert!(found > 30, "only {found}");
    for (title, text) in subsections("Errors that end a process") {
        assert_says_all(&title, &text);
    }
}

#[test]
fn sections_that_are_named_exist() {
    let runbook = read(RUNBOOK);
    let titles: BTreeSet<&str> = runbook
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    let joined = runbook.replace("\n  ", " ").replace('\n', " ");
    // Dashboards, their panels and rows are named in the same way.
    let others: BTreeSet<String> = files("config/grafana/dashboards")
        .iter()
        .flat_map(|path| {
            let dashboard: serde_json::Value = serde_json::from_str(&read(path)).unwrap();
            let panels = super::list(&dashboard["panels"]).to_vec();
            let name = path.rsplit('/').next().unwrap().trim_end_matches(".json").to_owned();
            panels.into_iter().map(|panel| super::text(&panel, "title").to_owned()).chain([name])
        })
        .collect();
    let named = joined.split(" *").skip(1).filter_map(|rest| rest.split_once('*'));
    let mut count = 0;
    for (name, _) in named.filter(|(name, _)| !name.is_empty() && !name.starts_with([' ', '*'])) {
        count += 1;
        let is_other = others.iter().any(|other| other.starts_with(name));
        assert!(titles.contains(name) || is_other, "{RUNBOOK} names *{name}*");
    }
    assert!(count > 20, "only {count}");
}

#[test]
fn every_table_that_holds_an_account_is_erased() {
    let text = section(RUNBOOK, "Erase a person or an account");
    let named: BTreeSet<&str> = quoted(&text).collect();
    let mut tables = 0;
    for path in files("schemas/clickhouse/tables") {
        let sql = read(&path);
        let holds = |column: &str| sql.contains(&format!("\n    {column} "));
        let Some((_, rest)) = sql.split_once("CREATE TABLE IF NOT EXISTS ") else { continue };
        let table = rest.split_whitespace().next().unwrap();
        tables += 1;
        assert!(named.contains(table), "{RUNBOOK} does not name the table {table}");
        let listed = text
            .lines()
            .any(|line| line.starts_with("| `") && quoted(line).any(|name| name == table));
        let is_personal = holds("account_id") || holds("payload");
        assert_eq!(listed, is_personal, "{table} is listed or not");
    }
    assert!(tables > 15, "only {tables}");
}

/// Level and body of each log line of a file of the program.
fn log_lines(path: &str) -> Vec<(&'static str, String)> {
    let source: String = read(path).split("\\\n").map(str::trim_start).collect();
    let code = source.split("#[cfg(test)]").next().unwrap();
    let mut lines = Vec::new();
    for level in ["error", "warn", "info", "debug"] {
        for rest in code.split(&format!("{level}!(")).skip(1) {
            lines.push((level, rest.split(");").next().unwrap().to_owned()));
        }
    }
    lines
}

/// A row of the table of log lines.
struct ToldLogLine {
    level: String,
    event: String,
    /// Part of the text, where it has one of its own.
    text: Option<String>,
    fields: BTreeSet<String>,
}

impl ToldLogLine {
    fn tells(&self, level: &str, body: &str) -> bool {
        self.level == level
            && body.contains(&format!("event = \"{}\"", self.event))
            && self.text.as_ref().is_none_or(|text| body.contains(text.as_str()))
            && self.fields.iter().all(|field| body.contains(field.as_str()))
    }
}

fn told_log_lines() -> Vec<ToldLogLine> {
    let section = section(RUNBOOK, "Levels and fields of the log");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let text = cells[2].strip_prefix('`').and_then(|text| text.strip_suffix('`'));
            ToldLogLine {
                level: cells[0].to_owned(),
                event: cells[1].trim_matches('`').to_owned(),
                text: text.map(str::to_owned),
                fields: quoted(cells[3]).map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// Files whose lines have names; the embedded engine's own lines are of the demo and of tests.
const NAMED_EVENTS: [&str; 2] = ["src/telemetry/events.rs", "src/telemetry/http.rs"];

#[test]
fn every_log_line_of_worker_and_api_is_listed_with_level_name_and_fields() {
    let told = told_log_lines();
    let mut matched = BTreeSet::new();
    let mut texts = BTreeMap::new();
    for (level, body) in NAMED_EVENTS.into_iter().flat_map(log_lines) {
        let row = told.iter().position(|row| row.tells(level, &body));
        assert!(row.is_some(), "{RUNBOOK} does not list {level}: {body}");
        matched.extend(row);
        let row = &told[row.unwrap_or_default()];
        if let Some(text) = &row.text {
            let other = texts.insert(row.event.clone(), text.clone());
            assert!(other.is_none_or(|other| other == *text), "{} names two things", row.event);
        }
    }
    for (index, ToldLogLine { level, event, .. }) in told.iter().enumerate() {
        assert!(matched.contains(&index), "nothing logs {level}: {event:?}");
    }
    assert!(matched.len() > 50, "only {matched:?}");
}

#[test]
fn nothing_is_logged_past_the_names() {
    let macros = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
    for (path, source) in source_files() {
        if NAMED_EVENTS.contains(&path.as_str()) || path.starts_with("src/embedded/") {
            continue;
        }
        let logs = |name: &&&str| {
            source.match_indices(**name).any(|(at, _)| {
                !source[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
        };
        let found: Vec<_> = macros.iter().filter(logs).collect();
        assert!(found.is_empty(), "{path} logs by {found:?}");
    }
}

/// Beginnings of statements that the engine of the tests is not to run: copies need a disk for
/// them.
const NOT_RUN: [&str; 2] = ["BACKUP ", "RESTORE "];

/// The statements in indented blocks: each ends with a semicolon.
fn statements_of_blocks(runbook: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut begun = String::new();
    for line in runbook.lines().filter_map(|line| line.strip_prefix("    ")).map(str::trim) {
        let begins = ["SELECT ", "DELETE ", "ALTER ", "BACKUP ", "RESTORE "];
        if begun.is_empty() && !begins.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        begun.push_str(line);
        begun.push(' ');
        if let Some(statement) = begun.trim_end().strip_suffix(';') {
            statements.push(statement.to_owned());
            begun.clear();
        }
    }
    assert_eq!(begun, "", "it has no end");
    statements.retain(|statement| !NOT_RUN.iter().any(|word| statement.starts_with(word)));
    statements
}

#[tokio::test]
async fn statements_run() {
    let runbook = read(RUNBOOK);
    let joined = runbook.replace("\n  ", " ").replace('\n', " ");
    // Only a server logs its queries.
    let inline: Vec<&str> = quoted(&joined)
        .filter(|part| part.starts_with("SELECT ") && !part.contains("system.query_log"))
        .collect();
    let blocks = statements_of_blocks(&runbook);
    assert!(inline.len() > 6 && blocks.len() > 9, "only {inline:?} {blocks:?}");
    let database = TestDatabase::migrated().await;
    let internal = database.config().internal_database();
    for statement in inline {
        database.analyst_text(&statement.replace("seatmeter_internal", &internal));
    }
    for statement in blocks {
        database.execute(&statement.replace("seatmeter_internal", &internal));
    }
}
