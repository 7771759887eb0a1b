//! Rules of the house that a compiler cannot check: dependencies of modules, places of `unsafe`,
//! length of files, numbers of migrations.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The most lines of a Rust file.
const FILE_LINES_MAX: usize = 610;

/// The only modules that call C, and so the only ones that may be unsafe.
const UNSAFE_MODULES: [&str; 2] = ["src/embedded/libchdb", "src/ingest/librdkafka"];

/// What each module of the crate may use of the others: dependencies point one way.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("core", &[]),
    ("report", &["core"]),
    ("config", &[]),
    ("generate", &["core"]),
    ("telemetry", &["core"]),
    ("embedded", &[]),
    ("kafka", &["config"]),
    ("store", &["config", "core", "report"]),
    ("ingest", &["config", "core", "kafka", "store", "telemetry"]),
    ("http", &["config", "core", "report", "store", "telemetry"]),
    (
        "app",
        &[
            "config",
            "core",
            "embedded",
            "generate",
            "http",
            "ingest",
            "kafka",
            "report",
            "store",
            "telemetry",
        ],
    ),
    ("main", &["app"]),
];

/// Modules that perform no I/O, await nothing, log nothing, and read neither a clock nor the
/// environment.
const PURE_MODULES: [&str; 2] = ["core", "report"];

/// Names and paths that a pure module must not mention.
const IMPURE: [&str; 22] = [
    "async",
    "await",
    "axum",
    "clickhouse",
    "rand",
    "rdkafka",
    "tokio",
    "tracing",
    "print",
    "println",
    "eprint",
    "eprintln",
    "Instant::now",
    "SystemTime",
    "Local::now",
    "Utc::now",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
];

/// Names of unfinished code.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust file of the project.
struct Source {
    /// Its path from the project's root, with `/`.
    path: String,
    text: String,
    /// Every name and path in it, outside comments and literals.
    mentions: BTreeSet<String>,
}

impl Source {
    fn new(path: &str, text: String) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut mentions = BTreeSet::new();
        collect_mentions(tokens, "", &mut mentions);
        Self { path: path.to_owned(), text, mentions }
    }

    /// The top-level module that the file belongs to; `None` outside `src`.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    fn mentions(&self, name: &str) -> bool {
        self.mentions.contains(name)
    }
}

/// Collects names, paths, and the beginnings and ends of paths: `use std::{fs, io::Read}` mentions
/// `std`, `std::fs`, `fs`, `std::io::Read`, `io::Read` and so on.
fn collect_mentions(tokens: TokenStream, prefix: &str, mentions: &mut BTreeSet<String>) {
    let mut path = prefix.to_owned();
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if !path.ends_with("::") {
                    path = prefix.to_owned();
                }
                path.push_str(&name.to_string());
                let ends =
                    path.match_indices("::").map(|(at, mark)| path[at + mark.len()..].to_owned());
                mentions.extend(ends);
                mentions.insert(path.clone());
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => path.push(':'),
            TokenTree::Group(group) => {
                let is_list_of_paths =
                    group.delimiter() == Delimiter::Brace && path.ends_with("::");
                collect_mentions(
                    group.stream(),
                    if is_list_of_paths { &path } else { "" },
                    mentions,
                );
                prefix.clone_into(&mut path);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => prefix.clone_into(&mut path),
        }
    }
}

/// Every Rust file in `src`, `tests` and `benches`.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect_files(&root().join(folder), &mut paths);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let source = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Source::new(&name, fs::read_to_string(path).unwrap())
    };
    paths.iter().map(source).collect()
}

fn collect_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect_files(&path, paths) } else { paths.push(path) }
    }
}

/// Violations in the file.
fn violations(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    let mut violation = |text: String| violations.push(format!("{}: {text}", source.path));
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        violation(format!("{lines} lines; {FILE_LINES_MAX} at most"));
    }
    if !source.text.starts_with("//!") {
        violation("no module documentation".to_owned());
    }
    if source.mentions("unsafe")
        && !UNSAFE_MODULES.iter().any(|module| source.path.starts_with(module))
    {
        violation("unsafe outside the modules that speak to C".to_owned());
    }
    for name in UNFINISHED.into_iter().filter(|name| source.mentions(name)) {
        violation(format!("{name} is left over"));
    }
    let Some(module) = source.module() else { return violations };
    if PURE_MODULES.contains(&module) {
        for name in IMPURE.into_iter().filter(|name| source.mentions(name)) {
            violation(format!("mentions {name}, and {module} is pure"));
        }
    }
    if module == "lib" {
        return violations;
    }
    match MAY_USE.iter().find(|(name, _)| *name == module) {
        None => violation(format!("tidy does not know what {module} may use")),
        Some((_, may_use)) => {
            let others = MAY_USE
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| *name != module && !may_use.contains(name));
            for other in others {
                if source.mentions(&format!("crate::{other}"))
                    || source.mentions(&format!("seatmeter::{other}"))
                {
                    violation(format!("uses {other}, and {module} must not"));
                }
            }
        }
    }
    violations
}

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let violations: Vec<_> = sources().iter().flat_map(violations).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Checks how many rules a file of this text breaks.
#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let found = violations(&Source::new(path, format!("//! A module.\n{text}")));
    let expected: Vec<_> = expected.iter().map(|text| format!("{path}: {text}")).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn the_rules_bite() {
    check("src/core/x.rs", "use tokio::time;", &["mentions tokio, and core is pure"]);
    check(
        "src/core/x.rs",
        "use std::{collections::BTreeMap, fs::{self, File}};",
        &["mentions std::fs, and core is pure"],
    );
    check(
        "src/report/x.rs",
        "fn f() { let t = std::time::Instant::now(); }",
        &["mentions Instant::now, and report is pure"],
    );
    check(
        "src/report/x.rs",
        "use chrono as c; fn f() { c::Utc::now(); }",
        &["mentions Utc::now, and report is pure"],
    );
    check("src/core/x.rs", "async fn f() {}", &["mentions async, and core is pure"]);
    check("src/core/x.rs", "use crate::store::Store;", &["uses store, and core must not"]);
    check(
        "src/store/x.rs",
        "use crate::{core::id::Id, http::serve};",
        &["uses http, and store must not"],
    );
    check("src/core/x.rs", "fn f() { unsafe {} }", &["unsafe outside the modules that speak to C"]);
    check("tests/it/x.rs", "unsafe fn f() {}", &["unsafe outside the modules that speak to C"]);
    check("src/app/x.rs", "fn f() { todo!() }", &["todo is left over"]);
    check("src/later/x.rs", "", &["tidy does not know what later may use"]);
    check("src/app/x.rs", &"\n".repeat(FILE_LINES_MAX), &["501 lines; 500 at most"]);
    let undocumented = violations(&Source::new("src/app/x.rs", "fn f() {}".to_owned()));
    assert_eq!(undocumented, ["src/app/x.rs: no module documentation"]);
}

#[test]
fn the_rules_let_the_rest_pass() {
    check(
        "src/core/x.rs",
        "// tokio\n/// unsafe, async\nconst X: &str = \"std::fs \\\" tokio\"; const Y: char = \
        '\"';",
        &[],
    );
    check(
        "src/core/x.rs",
        "use crate::core::id::Id; use std::{cmp, fmt}; fn fs() { net::thread(); }",
        &[],
    );
    check(
        "src/http/x.rs",
        "use crate::{core::id::Id, report}; use tokio::net; async fn f() { \
        crate::store::ask().await }",
        &[],
    );
    check("src/ingest/librdkafka/x.rs", "fn f() { unsafe {} }", &[]);
    check("src/embedded/libchdb.rs", "fn f() { unsafe {} }", &[]);
    check("src/app/x.rs", &"\n".repeat(FILE_LINES_MAX - 1), &[]);
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut files = Vec::new();
    collect_files(&root().join("schemas/clickhouse/tables"), &mut files);
    let mut names: Vec<_> =
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert!(!names.is_empty());
    for (index, name) in names.into_iter().enumerate() {
        let stem = name
            .strip_prefix(&format!("{:04}_", index + 1))
            .and_then(|rest| rest.strip_suffix(".sql"));
        let is_named = stem.is_some_and(|stem| {
            !stem.is_empty()
                && stem
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        });
        assert!(is_named, "{name} should be {:04}_name.sql", index + 1);
    }
}

/// SQL without comments and without what stands in quotes.
fn sql_code_of(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split('\'').step_by(2).collect()
}

#[test]
fn each_migration_is_one_statement_that_may_be_repeated() {
    let mut files = Vec::new();
    for folder in ["tables", "views"] {
        collect_files(&root().join("schemas/clickhouse").join(folder), &mut files);
    }
    assert!(!files.is_empty());
    for file in files {
        let code = sql_code_of(&fs::read_to_string(&file).unwrap());
        assert!(
            !code.trim_end().trim_end_matches(';').contains(';'),
            "{} holds more than one statement",
            file.display()
        );
        let may_be_repeated =
            ["IF NOT EXISTS", "OR REPLACE", "IF EXISTS"].iter().any(|words| code.contains(words));
        assert!(may_be_repeated, "{} fails when it is applied again", file.display());
    }
}
