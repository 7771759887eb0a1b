//! Databases as earlier releases have left them, brought up to this one: their figures stay.
//!
//! Each folder beside this file is a database of one release: the statements that made it
//! (`schema.sql`), what its tables held (`tables.json`, in `FORMAT Native`) and what its documented
//! views answered (`answers.json`). `make_fixture` makes that of this release; tests/README.md says
//! when.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seatmeter::store::{DOCUMENTED_VIEWS, Placement, migrations, views};
use serde::{Deserialize, Serialize};

use crate::api::support::Api;
use crate::store::TestDatabase;
use crate::support::engine::{PASSWORD, execute, post};

/// Stands for the database of the documented views in `schema.sql`.
const DATABASE: &str = "`DATABASE`";

/// Ends a statement in `schema.sql`.
const STATEMENT_END: &str = "\n;\n";

/// A release that is not made yet; its fixture is made anew whenever the schema's files are edited.
const UNRELEASED: &str = concat!(env!("CARGO_PKG_VERSION"), "-unreleased");

/// The log whose rows a fixture holds.
const EVENTS: &str = "tests/it/dashboard/tiny.events.ndjson";

/// Views whose answers depend on when they are asked.
const LIVE_COLUMNS: [(&str, &str); 1] = [("ingest_progress", "lag")];

/// What a view answered.
#[derive(Debug, Deserialize, Serialize)]
struct RecordedAnswer {
    columns: Vec<String>,
    /// Tab-separated, in order.
    rows: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/it/upgrade")).unwrap();
    let folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty(), "there is no fixture");
    folders
}

/// The URL of a statement in a database.
fn url_in(url: &str, database: &str) -> String {
    format!("{}/?database={database}", url.trim_end_matches('/'))
}

/// What a documented view without parameters answers, in those columns; in all if none is named.
fn ask(url: &str, database: &str, view: &str, columns: Option<&[String]>) -> RecordedAnswer {
    let columns = columns.map(<[String]>::to_vec).unwrap_or_else(|| {
        let sql = format!(
            "SELECT name FROM system.columns WHERE database = '{database}' AND table = '{view}' \
             AND type NOT LIKE 'AggregateFunction%' ORDER BY position"
        );
        let is_stable = |name: &str| !LIVE_COLUMNS.contains(&(view, name));
        execute(url, &sql).lines().filter(|name| is_stable(name)).map(str::to_owned).collect()
    });
    let sql = format!("SELECT {} FROM {database}.{view} ORDER BY ALL", columns.join(", "));
    let rows = execute(url, &sql).lines().map(str::to_owned).collect();
    RecordedAnswer { columns, rows }
}

/// Documented views without parameters.
fn asked_views() -> Vec<&'static str> {
    let has_parameters = |name: &&str| {
        let view = views().into_iter().find(|view| view.name == **name);
        view.is_none_or(|view| view.sql.contains(":String}") || view.sql.contains(":Array("))
    };
    DOCUMENTED_VIEWS.into_iter().filter(|name| !has_parameters(name)).collect()
}

/// Makes the fixture's database, as the program of that release did.
fn restore(database: &TestDatabase, folder: &Path) {
    let (name, internal) = (database.name(), database.config().internal_database());
    let url = database.config().url;
    for each in [name, &internal] {
        database.engine_text(&format!("CREATE DATABASE {each}"));
    }
    let schema = fs::read_to_string(folder.join("schema.sql")).unwrap();
    for statement in schema.split(STATEMENT_END).filter(|statement| !statement.trim().is_empty()) {
        database.execute(&statement.replace(DATABASE, &format!("`{name}`")));
    }
    let tables: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(folder.join("tables.json")).unwrap()).unwrap();
    for (table, data) in tables {
        let data = STANDARD.decode(data).unwrap();
        let into = format!("{}&query=INSERT+INTO+{table}+FORMAT+Native", url_in(&url, &internal));
        let (status, text) = post(&into, &data[..]);
        assert_eq!(status, 200, "{table}: {text}");
    }
}

#[tokio::test]
async fn databases_of_earlier_releases_are_brought_up_to_this_one_with_their_figures() {
    for folder in fixtures() {
        let database = TestDatabase::absent();
        restore(&database, &folder);
        let store = database.store();
        let planned = store.migration_plan().await.unwrap_or_else(|error| {
            panic!("{}: {error}; tests/README.md says when it is made anew", folder.display())
        });
        let report = store.migrate().await.unwrap();
        assert_eq!(report.applied.len(), planned.migrations.len(), "{planned:?}");
        assert_eq!(report.views, planned.views);
        store.check_schema().await.unwrap();
        let again = store.migration_plan().await.unwrap();
        assert!(again.migrations.is_empty() && again.views.is_empty(), "{again:?}");

        let answers: BTreeMap<String, RecordedAnswer> =
            serde_json::from_slice(&fs::read(folder.join("answers.json")).unwrap()).unwrap();
        let url = database.config().url;
        let mut rows = 0;
        for (view, recorded) in answers {
            let found = ask(&url, database.name(), &view, Some(&recorded.columns));
            assert_eq!(found.rows, recorded.rows, "{}: {view}", folder.display());
            rows += recorded.rows.len();
        }
        assert!(rows > 200, "{}: only {rows} rows", folder.display());
    }
}

#[test]
fn a_row_that_an_upgrade_loses_is_noticed() {
    let database = TestDatabase::absent();
    restore(&database, &root().join("tests/it/upgrade").join(UNRELEASED));
    let before = ask(&database.config().url, database.name(), "plans", None);
    database.execute("TRUNCATE TABLE plan_facts");
    let after = ask(&database.config().url, database.name(), "plans", None);
    assert!(before.rows.len() > after.rows.len(), "{before:?}");
}

#[test]
#[ignore = "writes the fixture of this release"]
fn make_fixture() {
    let folder = root().join("tests/it/upgrade").join(UNRELEASED);
    fs::create_dir_all(&folder).unwrap();
    let database = crate::support::engine();
    let (url, name, internal) = (database.url.clone(), database.name.clone(), database.internal());
    let api = Api::on(database, |_| {});
    let log = fs::read_to_string(root().join(EVENTS)).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    api.count(&lines);

    let server = Placement::Server;
    let tables = migrations().into_iter().flat_map(|migration| migration.statements(&server));
    let mut statements: Vec<String> = tables.map(|statement| statement.sql).collect();
    for view in views() {
        statements.push(view.statement(&server));
        statements.extend(view.statement_for_analysts(DATABASE.trim_matches('`'), &server));
    }
    let schema: String =
        statements.iter().map(|one| one.trim_end().to_owned() + STATEMENT_END).collect();
    fs::write(folder.join("schema.sql"), schema).unwrap();

    let tables = execute(
        &url,
        &format!(
            "SELECT name FROM system.tables WHERE database = '{internal}' \
             AND engine LIKE '%MergeTree' ORDER BY name"
        ),
    );
    let data: BTreeMap<&str, String> = tables
        .lines()
        .map(|table| (table, STANDARD.encode(native(&url, &internal, table))))
        .collect();
    write_json(&folder.join("tables.json"), &data);

    let answers: BTreeMap<&str, RecordedAnswer> =
        asked_views().into_iter().map(|view| (view, ask(&url, &name, view, None))).collect();
    write_json(&folder.join("answers.json"), &answers);
}

/// All rows of a table.
fn native(url: &str, database: &str, table: &str) -> Vec<u8> {
    let request = ureq::post(url_in(url, database)).header("X-ClickHouse-Key", PASSWORD);
    let mut answer = request.send(format!("SELECT * FROM {table} FORMAT Native")).unwrap();
    answer.body_mut().read_to_vec().unwrap()
}

fn write_json(path: &Path, value: &impl Serialize) {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    fs::write(path, text).unwrap();
}
