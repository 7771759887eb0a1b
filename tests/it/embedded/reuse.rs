//! Requests that name the same settings may share a connection, one after the other; none finds
//! anything of those before it.

use crate::support::engine::{execute, get, post};
use crate::support::{engine, unique};

#[test]
fn a_request_finds_nothing_of_those_before_it() {
    let database = engine().create();
    // A value that no other test sends: this test has its connections for itself.
    let url = format!(
        "{}/?database={}&max_rows_in_join=1000&log_comment={}",
        database.url,
        database.name,
        unique("reuse")
    );
    let default = execute(&url, "SELECT getSetting('max_block_size')");
    let with_setting = "SELECT getSetting('max_block_size') SETTINGS max_block_size = 7";
    let in_part = "SELECT * FROM (SELECT getSetting('max_block_size') SETTINGS max_block_size = 7)";
    let parameter = "SELECT {text:String}";
    for _ in 0..3 {
        assert_eq!(execute(&url, with_setting), "7\n");
        execute(&url, in_part);
        assert_eq!(
            execute(&format!("{url}&max_block_size=9"), "SELECT getSetting('max_block_size')"),
            "9\n"
        );
        assert_eq!(execute(&url, "SELECT getSetting('max_block_size')"), default);
        assert_eq!(execute(&format!("{url}&param_text=a"), parameter), "a\n");
        assert_eq!(execute(&format!("{url}&param_text=b"), parameter), "b\n");
        let missing = post(&url, parameter);
        assert!(missing.1.contains("Code: 456"), "{}", missing.1);
        execute(&url, "SET max_block_size = 11");
        execute(&url, "USE system");
        execute(&url, "CREATE TEMPORARY TABLE left_behind (n UInt8)");
        assert_eq!(post(&url, "SELECT * FROM left_behind").0, 404);
        assert_eq!(execute(&url, "SELECT getSetting('max_block_size')"), default);
        assert_eq!(execute(&url, "SELECT currentDatabase()"), format!("{}\n", database.name));
        let comment = execute(&url, "SELECT getSetting('log_comment') LIKE 'reuse%'");
        assert_eq!(comment, "1\n");
    }
}

#[test]
fn a_connection_that_read_for_a_get_still_only_reads() {
    let database = engine().create();
    let url = format!("{}/?database={}&max_rows_in_join=1001", database.url, database.name);
    execute(&url, "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n");
    for _ in 0..3 {
        assert_eq!(get(&format!("{url}&query=SELECT+1")).status(), 200);
        assert_eq!(get(&format!("{url}&query=INSERT+INTO+t+SELECT+1")).status(), 500);
        assert_eq!(execute(&url, "SELECT count() FROM t"), "0\n");
        // ClickHouse takes no settings of a request that is held to reading alone.
        let held = post(&format!("{url}&readonly=1"), "SELECT 1");
        assert_eq!(held, post(&format!("{url}&readonly=1"), "SELECT 1"));
    }
    assert_eq!(post(&format!("{url}&query=INSERT+INTO+t+FORMAT+TSV"), "1\n").0, 200);
    assert_eq!(post(&format!("{url}&query=INSERT+INTO+t+FORMAT+TSV"), "x\n").0, 400);
    assert_eq!(post(&format!("{url}&query=INSERT+INTO+t+FORMAT+TSV"), "2\n").0, 200);
    assert_eq!(execute(&url, "SELECT sum(n) FROM t"), "3\n");
}
