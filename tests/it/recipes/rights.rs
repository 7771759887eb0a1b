//! The rights that `schemas/clickhouse/README.md` names are enough: the schema is made and every
//! recipe is run by users who have no others.
//!
//! The engine's only user is `default`. So each user is a process of its own, with an engine that
//! gives `default` the user's rights.

use std::fs;
use std::path::Path;
use std::process::Command;

use seatmeter::embedded::libchdb::{Library, end_process};
use seatmeter::embedded::provision::engine_library;
use seatmeter::store::{DOCUMENTED_VIEWS, Placement, migrations, views};

use super::recipes;
use crate::documents::section;

/// The databases of the README.
const DATABASES: [&str; 2] = ["seatmeter", "seatmeter_internal"];
/// Who makes the schema. The documented views read with this user's rights.
const MAKER: &str = "migrator";
/// Names the folder of data, statements and answers to the process.
const FOLDER: &str = "SEATMETER_TEST_RIGHTS_FOLDER";

/// Results of statements as tab-separated text, or the engine's errors.
type Answers = Vec<Result<String, String>>;

#[test]
fn the_rights_of_the_readme_are_enough() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut rights = rights_of(MAKER);
    rights.push(format!("GRANT SET DEFINER ON {MAKER}"));
    let statements = schema();
    for (statement, answer) in statements.iter().zip(run(folder.path(), &rights, &statements)) {
        assert!(answer.is_ok(), "{statement}: {answer:?}");
    }

    let allowed: Vec<String> = ["USE seatmeter", "SHOW DATABASES", "SHOW TABLES"]
        .map(str::to_owned)
        .into_iter()
        .chain(recipes().into_iter().map(|(_, sql)| sql))
        .chain(DOCUMENTED_VIEWS.iter().map(|view| match *view {
            "organization_subtree" => question(view, "(account = 'acme', organization = '42')"),
            "organization_tree" => question(view, "(account = 'acme')"),
            "user_keys" => question(view, "(users = ['ann', '42'])"),
            _ => question(view, ""),
        }))
        .collect();
    let denied = [
        "SELECT user_key_seed FROM seatmeter_internal.deployment",
        "SELECT * FROM seatmeter_internal.license_intervals",
        "SELECT * FROM seatmeter_internal.organization_tree(account = 'acme')",
    ];
    let statements: Vec<String> =
        allowed.iter().cloned().chain(denied.map(str::to_owned)).collect();
    let answers = run(folder.path(), &rights_of("analyst"), &statements);
    let (granted, refused) = answers.split_at(allowed.len());
    for (statement, answer) in allowed.iter().zip(granted) {
        assert!(answer.is_ok(), "{statement}: {answer:?}");
    }
    assert_eq!(granted[1].as_deref(), Ok("seatmeter\n"));
    let listed = granted[2].as_deref().unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), DOCUMENTED_VIEWS);
    for (statement, answer) in denied.iter().zip(refused) {
        let error = answer.as_deref().unwrap_err();
        assert!(error.contains("Not enough privileges"), "{statement}: {error}");
    }
}

fn question(view: &str, parameters: &str) -> String {
    format!("SELECT * FROM {view}{parameters} LIMIT 3")
}

/// What `migrate` does, with the maker named.
fn schema() -> Vec<String> {
    let [documented, internal] = DATABASES;
    let mut statements =
        DATABASES.map(|name| format!("CREATE DATABASE IF NOT EXISTS {name}")).to_vec();
    statements.push(format!("USE {internal}"));
    let server = Placement::Server;
    let tables = migrations().into_iter().flat_map(|migration| migration.statements(&server));
    statements.extend(tables.map(|statement| statement.sql));
    for view in views() {
        let for_analysts = view.statement_for_analysts(documented, &server).map(|statement| {
            statement.replace("\nSQL SECURITY", &format!("\nDEFINER = {MAKER} SQL SECURITY"))
        });
        statements.extend([view.statement(&server)].into_iter().chain(for_analysts));
    }
    statements.push("INSERT INTO deployment (made_at) SELECT now64(3)".to_owned());
    statements
        .push("INSERT INTO organizations_seen SELECT 'acme', arrayJoin(['', '42'])".to_owned());
    statements.push("SELECT count() FROM schema_views".to_owned());
    statements
}

/// The GRANT statements of the README to a user, without the user.
fn rights_of(user: &str) -> Vec<String> {
    let rights: Vec<String> = section("schemas/clickhouse/README.md", "Rights")
        .lines()
        .filter_map(|line| Some(line.strip_suffix(&format!(" TO {user};"))?.to_owned()))
        .collect();
    assert!(!rights.is_empty(), "the README grants nothing to {user}");
    rights
}

/// Runs statements on the folder's data as a user with these rights.
fn run(folder: &Path, rights: &[String], statements: &[String]) -> Answers {
    let access = folder.join("access.xml");
    fs::write(&access, access_file(&access, rights)).unwrap();
    fs::write(folder.join("statements"), serde_json::to_vec(statements).unwrap()).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recipes::rights::as_process", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let answers: Answers =
        serde_json::from_slice(&fs::read(folder.join("answers")).unwrap()).unwrap();
    assert_eq!(answers.len(), statements.len());
    answers
}

fn access_file(path: &Path, rights: &[String]) -> String {
    let user = |name: &str, rights: &[String]| {
        let grants: String = rights.iter().map(|right| format!("<query>{right}</query>")).collect();
        format!(
            "<{name}><password></password><networks><ip>::/0</ip></networks>\
             <profile>default</profile><quota>default</quota><grants>{grants}</grants></{name}>"
        )
    };
    format!(
        "<clickhouse><users_config>{path}</users_config><profiles><default/></profiles>\
         <quotas><default/></quotas><users>{default}{maker}</users></clickhouse>",
        path = path.display(),
        default = user("default", rights),
        maker = user(MAKER, &rights_of(MAKER)),
    )
}

#[test]
#[ignore = "no test, but the process of a user"]
fn as_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let statements: Vec<String> =
        serde_json::from_slice(&fs::read(folder.join("statements")).unwrap()).unwrap();
    let library = Library::load(&engine_library(None).unwrap()).unwrap();
    let arguments = [
        format!("--path={}", folder.join("data").display()),
        format!("--config-file={}", folder.join("access.xml").display()),
    ];
    let mut connection = library.connect(&arguments).unwrap();
    let answers: Answers = statements
        .iter()
        .map(|statement| match connection.query(statement.as_bytes(), "TabSeparated", &[]) {
            Ok(output) => Ok(String::from_utf8_lossy(&output.bytes).into_owned()),
            Err(error) => Err(error.to_string()),
        })
        .collect();
    fs::write(folder.join("answers"), serde_json::to_vec(&answers).unwrap()).unwrap();
    drop(connection);
    end_process(0);
}
