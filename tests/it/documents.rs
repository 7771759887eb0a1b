//! The documents agree with the program: commands, views, metrics and log lines that they name
//! exist, and so do the files that they link to.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

/// Lines of the README at most, and columns of a line.
const README_LINES_MAX: usize = 300;
const README_COLUMNS_MAX: usize = 120;

/// Every document.
const DOCUMENTS: [&str; 10] = [
    "README.md",
    ".github/CHANGELOG.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    "benches/README.md",
    "config/README.md",
    "config/runbook.md",
    "config/sizing.md",
    "schemas/clickhouse/README.md",
    "tests/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the project.
#[track_caller]
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A section of a document: what stands between this heading of the second level and the next one.
#[track_caller]
pub(crate) fn section(path: &str, title: &str) -> String {
    let text = read(path);
    let (_, rest) = text
        .split_once(&format!("\n## {title}\n"))
        .unwrap_or_else(|| panic!("{path} has no section '{title}'"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// What stands in backticks.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The first cell of each row of the tables in a text, without their heads.
pub(crate) fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
}

#[test]
fn cargo_run_sets_no_variable_that_the_program_refuses() {
    assert!(!read("build.rs").contains("rustc-env=SEATMETER_"), "`cargo run` would hand it on");
}

#[test]
fn the_readme_is_short() {
    let readme = read("README.md");
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines; {README_LINES_MAX} at most");
    for (number, line) in (1..).zip(readme.lines()) {
        let columns = line.chars().count();
        assert!(
            columns <= README_COLUMNS_MAX,
            "README.md:{number} has {columns} columns; {README_COLUMNS_MAX} at most"
        );
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = read("README.md");
    let command = seatmeter::app::Cli::command();
    let names: Vec<_> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert!(names.len() >= 10, "only {names:?}");
    let is_named = |name: &str| {
        let after = |start: &str| {
            readme
                .split(start)
                .skip(1)
                .any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-'))
        };
        after(&format!("`{name}")) || after(&format!("seatmeter {name}"))
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
    assert!(!is_named("no-such-command"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut links = 0;
    for document in DOCUMENTS {
        let text = read(document);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            links += 1;
            let target = root().join(document).parent().unwrap().join(file);
            assert!(
                file.is_empty() || target.exists(),
                "{document} links to {file}, which does not exist"
            );
            let target: PathBuf = if file.is_empty() { root().join(document) } else { target };
            assert!(
                anchor.is_empty() || anchors(&target).contains(&anchor.to_owned()),
                "{document} links to {link}"
            );
        }
    }
    assert!(links > 10, "only {links}");
}

/// The anchors of a document's headings.
pub(crate) fn anchors(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        letters
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn views_that_documents_name_exist() {
    let mut views = 0;
    for (document, title) in [("README.md", "Reports"), ("schemas/clickhouse/README.md", "Views")] {
        let section = section(document, title);
        for cell in
            section.lines().filter(|line| line.starts_with('|')).flat_map(|row| row.split(" | "))
        {
            let is_view =
                |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            for name in quoted(cell).filter(is_view) {
                views += 1;
                let file = root().join(format!("schemas/clickhouse/views/{name}.sql"));
                assert!(file.exists(), "{document} names the view {name}, which does not exist");
            }
        }
    }
    assert!(views > 20, "only {views}");
}

#[test]
fn metrics_and_log_lines_of_the_runbook_exist() {
    let metrics = read("src/telemetry/names.rs") + &read("src/telemetry/http.rs");
    let runbook = read("config/runbook.md");
    let is_database = |name: &str| {
        ["seatmeter_internal", "seatmeter_shard"].iter().any(|of| name.starts_with(of))
    };
    let is_metric = |name: &&str| name.starts_with("seatmeter_") && !is_database(name);
    let names: Vec<&str> = quoted(&runbook).filter(is_metric).collect();
    assert!(names.len() > 8, "only {names:?}");
    for name in names {
        assert!(
            metrics.contains(&format!("\"{}", name.trim_end_matches('*'))),
            "there is no metric {name}"
        );
    }
    // A literal may go on in the next line.
    let events: String =
        read("src/telemetry/events.rs").split("\\\n").map(str::trim_start).collect();
    let section = section("config/runbook.md", "What log lines mean");
    let lines: Vec<&str> = first_cells(&section).flat_map(quoted).collect();
    assert!(lines.len() > 12, "only {lines:?}");
    for part in lines.iter().flat_map(|line| line.split('…')) {
        assert!(events.contains(part.trim()), "nothing logs {part:?}");
    }
}
