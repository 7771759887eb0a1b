//! Sessions of the embedded engine: what they keep, what they do not, and what they let nobody do.

use crate::support::engine::{PASSWORD, execute, get, post};
use crate::support::{Database, PrivateEngine, engine, unique};

/// A session of one test.
struct Session {
    database: Database,
    id: String,
}

impl Session {
    fn new() -> Session {
        Session { database: engine().create(), id: unique("session") }
    }

    fn url(&self, parameters: &str) -> String {
        format!("{}/?session_id={}{parameters}", self.database.url, self.id)
    }

    #[track_caller]
    fn query(&self, sql: &str) -> String {
        execute(&self.url(""), sql)
    }

    /// The beginning of a refusal.
    #[track_caller]
    fn refusal(&self, parameters: &str, sql: &str) -> String {
        let (status, text) = post(&self.url(parameters), sql);
        assert_ne!(status, 200, "{sql}: {text}");
        text
    }
}

#[test]
fn a_session_keeps_tables_settings_parameters_and_database() {
    let session = Session::new();
    session.query("CREATE TEMPORARY TABLE kept (n UInt64)");
    session.query("INSERT INTO kept VALUES (1), (2)");
    let packed = post(&session.url("&query=INSERT+INTO+kept+FORMAT+TSV"), "3\n4\n");
    assert_eq!(packed.0, 200, "{}", packed.1);
    assert_eq!(session.query("SELECT sum(n) FROM kept"), "10\n");
    // A GET reads them too, and still only reads.
    let read = get(&session.url("&query=SELECT+sum(n)+FROM+kept+SETTINGS+max_threads=1;"));
    assert_eq!(read.into_body().read_to_string().unwrap(), "10\n");
    assert_eq!(get(&session.url("&query=SHOW+TABLES")).status(), 200);
    for write in ["INSERT+INTO+kept+SELECT+5", "DROP+TABLE+kept", "SET+max_threads=1"] {
        assert_eq!(get(&session.url(&format!("&query={write}"))).status(), 500, "{write}");
    }
    let with = "WITH+1+AS+x+INSERT+INTO+kept+SELECT+x";
    assert_eq!(get(&session.url(&format!("&query={with}"))).status(), 500);
    assert_eq!(post(&session.url("&readonly=1"), "DROP TABLE kept").0, 500);
    assert_eq!(session.query("SELECT sum(n) FROM kept"), "10\n");

    session.query("SET max_threads = 3, log_comment = 'it''s \\\\ mine'");
    let settings = "SELECT getSetting('max_threads'), getSetting('max_block_size')";
    let default = session.database.query("SELECT getSetting('max_block_size')");
    let own = format!("3\t{default}");
    assert_eq!(session.query(settings), own);
    // What a request names holds for it alone.
    let other = execute(&session.url("&max_threads=7&max_block_size=1000"), settings);
    assert_eq!(other, "7\t1000\n");
    assert_eq!(session.query(settings), own);
    assert!(post(&session.url("&max_threads=7"), "SELECT nothing").0 == 404);
    assert_eq!(session.query(settings), own);

    let current = "SELECT currentDatabase()";
    let name = &session.database.name;
    assert_eq!(session.query(current), "default\n");
    let named = execute(&session.url(&format!("&database={name}")), current);
    assert_eq!(named, format!("{name}\n"));
    assert_eq!(session.query(current), "default\n");
    session.query(&format!("USE {name}"));
    assert_eq!(session.query(current), format!("{name}\n"));
    assert_eq!(execute(&session.url("&database=system"), current), "system\n");
    assert_eq!(session.query(current), format!("{name}\n"));
    assert_eq!(post(&session.url("&database=nowhere"), current).0, 404);
    assert_eq!(session.query(current), format!("{name}\n"));
}

#[test]
fn a_session_is_of_those_who_name_it_and_show_the_password() {
    let session = Session::new();
    session.query("CREATE TEMPORARY TABLE kept ENGINE = Memory AS SELECT 1 AS n");
    let url = &session.database.url;
    assert!(post(url, "SELECT * FROM kept").1.starts_with("Code: 60."));
    assert!(
        post(&format!("{url}/?session_id=other"), "SELECT * FROM kept").1.starts_with("Code: 60.")
    );
    // Neither as another user nor without the password, whatever the name.
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (user, key) in [("default", "wrong"), ("admin", PASSWORD), ("default", "")] {
        let asked = agent
            .post(session.url("&close_session=1"))
            .header("X-ClickHouse-User", user)
            .header("X-ClickHouse-Key", key)
            .send("SELECT * FROM kept");
        assert_eq!(asked.unwrap().status(), 403, "{user} {key}");
    }
    assert_eq!(session.query("SELECT * FROM kept"), "1\n");
    // No other session sees that its tables exist.
    let others = "SELECT count() FROM system.tables WHERE name = 'kept'";
    assert_eq!(execute(url, others), "0\n");
}

#[test]
fn a_session_ends_when_it_was_idle_or_is_closed() {
    let session = Session::new();
    let text = session.refusal("&session_check=1", "SELECT 1");
    assert!(text.starts_with("Code: 372."), "{text}");
    session.query("CREATE TEMPORARY TABLE kept (n UInt8)");
    assert_eq!(execute(&session.url("&session_check=1"), "SELECT count() FROM kept"), "0\n");
    execute(&session.url("&session_timeout=1"), "SELECT 1");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(session.refusal("&session_check=1", "SELECT 1").starts_with("Code: 372."));
    session.query("CREATE TEMPORARY TABLE kept (n UInt8)");
    assert_eq!(execute(&session.url("&close_session=1"), "SELECT count() FROM kept"), "0\n");
    assert!(session.refusal("", "SELECT * FROM kept").starts_with("Code: 60."));
    assert!(session.refusal("&session_timeout=3601", "SELECT 1").starts_with("Code: 374."));
}

#[test]
fn a_session_runs_one_statement_at_a_time_and_stands_abandoned_ones() {
    let session = Session::new();
    session.query("SET max_threads = 2");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| session.query("SELECT sleep(2)"));
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(session.refusal("", "SELECT 1").starts_with("Code: 373."));
        assert_eq!(running.join().unwrap(), "0\n");
    });
    // The next request finds it free, after an error half way too.
    for _ in 0..20 {
        session.query("SELECT number FROM numbers(200000) FORMAT Null");
        session.query("SELECT number FROM numbers(200000)");
    }
    let late = "SELECT throwIf(number = 3000000) FROM numbers(4000000)";
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut broken =
        agent.post(session.url("")).header("X-ClickHouse-Key", PASSWORD).send(late).unwrap();
    assert!(broken.body_mut().read_to_vec().is_err());
    assert_eq!(session.query("SELECT getSetting('max_threads')"), "2\n");
}

/// What an attacker with the password tries by way of a session.
#[test]
fn a_session_opens_no_door() {
    let session = Session::new();
    for (sql, code) in [
        ("SET format_template_row = '/etc/passwd'", "497"),
        ("SET additional_result_filter = 'file(''/etc/passwd'')'", "497"),
        ("SET dialect = 'kusto'", "452"),
        ("SET default_normal_view_sql_security = 'NONE'", "497"),
        ("CREATE TEMPORARY TABLE t (a String) ENGINE = File(CSV, '/etc/passwd')", "497"),
        ("CREATE TEMPORARY TABLE t (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)", "497"),
        ("CREATE TEMPORARY TABLE t AS SELECT * FROM file('/etc/passwd')", "497"),
        ("CREATE TEMPORARY TABLE t (a String DEFAULT file('/etc/passwd'))", "497"),
        ("CREATE TEMPORARY VIEW v AS SELECT file('/etc/passwd')", "497"),
    ] {
        let text = session.refusal("", sql);
        assert!(text.starts_with(&format!("Code: {code}.")), "{sql}: {text}");
    }
    // A parameter of the session names no function that the statement does not show.
    session.query("SET param_f = 'file'");
    assert_eq!(session.query("SELECT {f:String}"), "file\n");
    let mapped = "SELECT arrayMap({f:Identifier}, ['/etc/hostname'])";
    assert!(session.refusal("", mapped).starts_with("Code: 497."));
    assert_eq!(execute(&session.url("&param_f=upper"), mapped), "['/ETC/HOSTNAME']\n");
    // A session that is set to reading stays so.
    session.query("SET readonly = 1");
    assert!(session.refusal("", "SET readonly = 0").starts_with("Code: 164."));
    assert!(session.refusal("", "CREATE DATABASE never").starts_with("Code: 164."));
    assert_eq!(session.query("SELECT 1"), "1\n");
    assert!(session.refusal("&max_threads=1", "SELECT 1").starts_with("Code: 164."));
    assert_eq!(session.query("SELECT 1"), "1\n");
}

#[test]
fn temporary_tables_do_not_take_all_memory() {
    let engine = PrivateEngine::start();
    let url = format!("{}/?session_id=large", engine.process.url());
    execute(&url, "CREATE TEMPORARY TABLE kept (n UInt64)");
    execute(&url, "INSERT INTO kept SELECT number FROM numbers(20000000)");
    let (status, text) = post(&url, "INSERT INTO kept SELECT number FROM numbers(20000000)");
    assert!(status == 500 && text.starts_with("Code: 241."), "{status} {text}");
    assert!(post(&url, "SELECT * FROM kept").1.starts_with("Code: 60."), "the session has ended");
    // Sessions that keep something are bounded, others are not.
    for n in 0..256 {
        execute(&format!("{}/?session_id=kept{n}", engine.process.url()), "SET max_threads = 1");
    }
    let further = format!("{}/?session_id=further", engine.process.url());
    assert_eq!(execute(&further, "SELECT 1"), "1\n");
    let (status, text) = post(&further, "SET max_threads = 1");
    assert!(status == 500 && text.starts_with("Code: 700."), "{status} {text}");
}
