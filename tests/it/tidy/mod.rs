//! Rules of the house that a compiler cannot check: dependencies of modules, circles of files,
//! names of types, places of `unsafe`, lengths, numbers of migrations.

mod circles;
mod names;
mod source;

use std::fs;

use source::{Source, collect_files, root, sources};

/// The most lines of a Rust file.
const FILE_LINES_MAX: usize = 500;

/// Longer files from before the rule.
const LONG_FILES: [&str; 1] = ["tests/it/dashboard/browser.rs"];

/// The most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// The most characters of a line.
const COLUMNS_MAX: usize = 100;

/// The only modules that may be unsafe: two call C, and one gives the processor a hint.
const UNSAFE_MODULES: [&str; 3] =
    ["src/core/prefetch", "src/embedded/libchdb", "src/ingest/librdkafka"];

/// What each module of the crate may use of the others: dependencies point one way.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("core", &[]),
    ("report", &["core"]),
    ("config", &[]),
    ("generate", &["core"]),
    ("telemetry", &["core"]),
    ("embedded", &[]),
    ("kafka", &["config"]),
    ("canary", &["config"]),
    ("store", &["config", "core", "report"]),
    ("standing", &["core", "report", "store", "telemetry"]),
    ("verify", &["core", "store"]),
    ("alerts", &["config", "core", "kafka", "report", "store", "telemetry"]),
    ("ingest", &["alerts", "config", "core", "kafka", "store", "telemetry"]),
    ("http", &["config", "core", "report", "standing", "store", "telemetry"]),
    (
        "app",
        &[
            "alerts",
            "canary",
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
            "verify",
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

/// Violations in the file.
fn violations(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    let mut violation = |text: String| violations.push(format!("{}: {text}", source.path));
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX && !LONG_FILES.contains(&source.path.as_str()) {
        violation(format!("{lines} lines; {FILE_LINES_MAX} at most"));
    }
    for (number, line) in source.text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX && !is_table_row(line) {
            violation(format!("line {} has more than {COLUMNS_MAX} characters", number + 1));
        }
    }
    for (name, lines) in source.functions() {
        if lines > FUNCTION_LINES_MAX {
            violation(format!("{name} has {lines} lines; {FUNCTION_LINES_MAX} at most"));
        }
    }
    if !source.text.starts_with("//!") {
        violation("no module documentation".to_owned());
    }
    if source.mentions("unsafe")
        && !UNSAFE_MODULES.iter().any(|module| source.path.starts_with(module))
    {
        violation("unsafe outside the modules that may be".to_owned());
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

/// True for a row of a table in a module's documentation, which cannot be broken.
fn is_table_row(line: &str) -> bool {
    let line = line.trim_start();
    ["//! |", "/// |"].iter().any(|start| line.starts_with(start)) && line.ends_with('|')
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
    check("src/core/x.rs", "fn f() { unsafe {} }", &["unsafe outside the modules that may be"]);
    check("tests/it/x.rs", "unsafe fn f() {}", &["unsafe outside the modules that may be"]);
    check("src/app/x.rs", "fn f() { todo!() }", &["todo is left over"]);
    check("src/later/x.rs", "", &["tidy does not know what later may use"]);
    check("src/app/x.rs", &"\n".repeat(FILE_LINES_MAX), &["501 lines; 500 at most"]);
    let long = format!("// {}", "x".repeat(98));
    check("src/app/x.rs", &long, &["line 2 has more than 100 characters"]);
    let lines = format!("struct S; impl S {{\nfn f() {{\n{}}}\n}}", "\n".repeat(69));
    check("src/app/x.rs", &lines, &["f has 71 lines; 70 at most"]);
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
    check("src/app/x.rs", &format!("//! | {} |", "é".repeat(98)), &[]);
    check("src/app/x.rs", &format!("// {}", "é".repeat(97)), &[]);
    check("src/app/x.rs", &format!("fn f() {{\n{}}}", "\n".repeat(68)), &[]);
}

#[test]
fn no_files_of_the_program_form_a_circle() {
    let sources = sources();
    let program = sources.iter().filter(|source| source.path.starts_with("src/"));
    if let Some(circle) = circles::first(program) {
        panic!("a circle of files: {}", circle.join(" -> "));
    }
}

#[test]
fn no_two_types_have_one_name() {
    assert_eq!(names::duplicates(sources().iter()), Vec::<String>::new(), "rename one of them");
}

/// Files beside a folder of their name that holds Rust files: the module's file belongs into it.
fn files_beside_their_folder<'p>(paths: &[&'p str]) -> Vec<&'p str> {
    let is_beside = |path: &&&str| {
        let folder = path.strip_suffix(".rs").map(|stem| format!("{stem}/"));
        folder.is_some_and(|folder| paths.iter().any(|other| other.starts_with(&folder)))
    };
    paths.iter().filter(is_beside).copied().collect()
}

#[test]
fn a_module_of_several_files_has_a_folder_with_a_mod_rs() {
    let examples = ["src/a/mod.rs", "src/a/b.rs", "src/a/b/c.rs", "src/ab.rs"];
    assert_eq!(files_beside_their_folder(&examples), ["src/a/b.rs"]);
    let sources = sources();
    let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    assert_eq!(files_beside_their_folder(&paths), Vec::<&str>::new(), "move it to mod.rs");
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
