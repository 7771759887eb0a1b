//! Faults of the embedded engine: crashes, broken connections, failing writes, foreign clients.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::LONG;
use crate::support::engine::{KEY_LINE, PASSWORD, exe, execute, post};
use crate::support::program::command;
use crate::support::{PrivateEngine, Program, engine, eventually};

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut engine = PrivateEngine::start();
    let database = engine.database().create();
    database.query(
        "CREATE TABLE batches (writer UInt8, batch UInt64, row UInt16) ENGINE = \
        MergeTree ORDER BY batch",
    );
    let mut acknowledged = [0u64; 4];
    for _ in 0..3 {
        let stop = AtomicBool::new(false);
        let total = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (writer, acknowledged) in acknowledged.iter_mut().enumerate() {
                let (stop, total, database) = (&stop, &total, &database);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let sql = format!(
                            "INSERT INTO batches SELECT {writer}, {}, number FROM numbers(1000)",
                            *acknowledged
                        );
                        let url = format!("{}/?database={}", database.url, database.name);
                        // The engine dies during some INSERTs, which are not acknowledged.
                        match super::keyed(&url).send(sql) {
                            Ok(response) if response.status() == 200 => *acknowledged += 1,
                            _ => return,
                        }
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            eventually("batches are written", LONG, || {
                (total.load(Ordering::Relaxed) >= 20).then_some(())
            });
            engine.process.kill().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        engine.process.restart().unwrap();
        for (writer, acknowledged) in acknowledged.iter_mut().enumerate() {
            // One INSERT of one block is one part: it is stored whole or not at all, even if it was
            // not acknowledged.
            let stored = database.query(&format!(
                "SELECT countIf(batch < {acknowledged}), count(), max(batch) + 1, min(rows) FROM \
                 (SELECT batch, count() AS rows FROM batches WHERE writer = {writer} GROUP BY \
                 batch)"
            ));
            let unacknowledged =
                if stored.contains(&format!("\t{}\t", *acknowledged + 1)) { 1 } else { 0 };
            let total = *acknowledged + unacknowledged;
            assert_eq!(
                stored,
                format!("{acknowledged}\t{total}\t{total}\t1000\n"),
                "writer {writer}"
            );
            *acknowledged = total;
        }
    }
}

#[test]
fn a_query_that_nobody_waits_for_is_stopped() {
    let database = engine().create();
    let address = database.url.strip_prefix("http://").unwrap();
    // A column instead of a constant, so that it is only in the text.
    let marker = format!("waits_for_{}", database.name);
    let running = format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%AS {marker}%' AND query NOT LIKE \
        '%LIKE%'"
    );
    for wait_end_of_query in [0, 1] {
        let sql = format!(
            "SELECT sum(sleepEachRow(1)) AS {marker} FROM numbers(60) SETTINGS max_block_size = 1"
        );
        let mut connection = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /?wait_end_of_query={wait_end_of_query}&log_comment=it%27s \
            HTTP/1.1\r\n{KEY_LINE}Host: {address}\r\nContent-Length: {}\r\n\r\n{sql}",
            sql.len()
        );
        connection.write_all(head.as_bytes()).unwrap();
        eventually("the query runs", LONG, || (database.query(&running) == "1\n").then_some(()));
        drop(connection);
        let patience = std::time::Duration::from_secs(10);
        eventually("the query is stopped", patience, || {
            (database.query(&running) == "0\n").then_some(())
        });
    }
}

#[test]
fn an_insert_that_breaks_off_writes_nothing() {
    let database = engine().create();
    database.query("CREATE TABLE numbers (n UInt64) ENGINE = MergeTree ORDER BY n");
    let address = database.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /?database={}&query=INSERT+INTO+numbers+FORMAT+TSV HTTP/1.1\r\n{KEY_LINE}Host: \
        {address}\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n",
        database.name
    );
    connection.write_all(head.as_bytes()).unwrap();
    eventually("the INSERT runs", LONG, || {
        let running = database
            .query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO numbers%'");
        (running == "1\n").then_some(())
    });
    drop(connection);
    eventually("the INSERT is cancelled", LONG, || {
        let running = database
            .query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO numbers%'");
        (running == "0\n").then_some(())
    });
    assert_eq!(database.query("SELECT count() FROM numbers"), "0\n");
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let engine = PrivateEngine::start();
    let mut second = Program::spawn(
        // A port alone is an address, too.
        command(&["clickhouse", "--listen", "0", "--data-dir"]).arg(engine.data.path()),
    );
    assert_eq!(second.wait(LONG).code(), Some(1));
    let pid = engine.process.pid().unwrap();
    let stderr = second.stderr();
    assert!(
        stderr.contains("is in use by another engine")
            && stderr.contains(&format!("process {pid}")),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(execute(&engine.process.url(), "SELECT 1"), "1\n");
}

/// Starts an engine that can write no file beyond 4 MB, as on a full disk: writes fail in the
/// middle of an INSERT.
fn limited_engine(data: &Path) -> (Program, String) {
    let library = seatmeter::embedded::provision::engine_library(None).unwrap();
    let mut engine = Program::spawn(
        Command::new("sh")
            .args(["-c", "ulimit -f 8000; trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(exe())
            .args(["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--library")
            .arg(library)
            .env("SEATMETER_ENGINE_PASSWORD", PASSWORD),
    );
    let line = engine.wait_for_line("listening on ", LONG);
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    (engine, url)
}

#[test]
fn a_write_that_fails_is_never_acknowledged() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut engine, url) = limited_engine(data.path());
    execute(&url, "CREATE DATABASE d");
    execute(&url, "CREATE TABLE d.t (n UInt64 CODEC(NONE)) ENGINE = MergeTree ORDER BY n");
    execute(&url, "INSERT INTO d.t SELECT number FROM numbers(1000)");
    let rows: String = (0..1_000_000).map(|n| format!("{n}\n")).collect();
    let (status, text) = post(&format!("{url}/?query=INSERT+INTO+d.t+FORMAT+TSV"), rows);
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("Code: 75."), "{text}");
    // It stops, because it holds a truncated part, and reports why in one line.
    assert_eq!(engine.wait(LONG).code(), Some(1));
    let stderr = engine.stderr();
    assert!(stderr.contains("could not write to") && stderr.lines().count() == 1, "{stderr}");

    let (mut engine, url) = limited_engine(data.path());
    assert_eq!(execute(&url, "SELECT count(), sum(n) FROM d.t"), "1000\t499500\n");
    let (status, text) = post(&url, "INSERT INTO d.t SELECT number FROM numbers(1000000)");
    assert_eq!(status, 500, "{text}");
    assert_eq!(engine.wait(LONG).code(), Some(1));
}

#[test]
fn a_library_that_cannot_be_used_is_named() {
    let data = tempfile::tempdir().unwrap();
    let foreign = data.path().join("libchdb.so");
    std::fs::write(&foreign, "not a library").unwrap();
    for library in ["/nonexistent/libchdb.so", foreign.to_str().unwrap()] {
        let mut engine = Program::spawn(
            command(&["clickhouse", "--listen", "127.0.0.1:0", "--library", library, "--data-dir"])
                .arg(data.path()),
        );
        assert_eq!(engine.wait(LONG).code(), Some(1));
        let stderr = engine.stderr();
        assert!(stderr.contains(library) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn it_stops_when_told_to_and_when_its_parent_is_gone() {
    let mut engine = PrivateEngine::start();
    let pid = engine.process.pid().unwrap();
    let status = engine.process.stop().unwrap().unwrap();
    assert!(status.success(), "{status}");
    assert!(!crate::support::is_running(&pid.to_string()));
    engine.process.restart().unwrap();
    let url = engine.process.url();
    assert_eq!(execute(&url, "SELECT 1"), "1\n");
    crate::support::signal(engine.process.pid().unwrap(), "TERM");
    let failure = eventually("it has stopped", LONG, || engine.process.failure().unwrap());
    assert!(failure.contains("exit status: 0"), "{failure}");
    assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
    assert!(engine.process.stop().unwrap().is_none());
}
