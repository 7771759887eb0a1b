//! The engine tells whether anything may have been written, and says nothing where it does not know.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seatmeter::store::{Store, Writes};

use super::LONG;
use crate::support::engine::{KEY_LINE, execute, get, post};
use crate::support::{Database, PrivateEngine, eventually};

fn store(database: &Database) -> Store {
    Store::connect(&database.config()).unwrap()
}

/// The writes once none is running: a client has its answer a moment before its statement is counted as ended.
async fn settled(store: &Store) -> Writes {
    for _ in 0..1_000 {
        let writes = store.writes().await.expect("the engine tells");
        if writes.are_over() {
            return writes;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a write never ends");
}

#[tokio::test]
async fn whatever_may_write_is_counted_and_nothing_else() {
    let engine = PrivateEngine::start();
    let database = engine.database().create();
    let store = store(&database);
    let url = format!("{}/?database={}", database.url, database.name);
    let mut before = settled(&store).await;
    for sql in [
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT 2",
        "INSERT INTO t FORMAT TSV\nnot a number",
        "SELECT count() FROM t",
        "DROP TABLE nowhere",
        "DROP TABLE t",
    ] {
        post(&url, sql);
        let after = settled(&store).await;
        assert!(!after.begun_as_at(&before), "{sql}");
        before = after;
    }
    for sql in ["SELECT 1", "SHOW TABLES", "INSERT INTO t VALUES (1)", "CREATE TABLE u (a UInt8) ENGINE = Memory"] {
        for readonly in [1, 2] {
            post(&format!("{url}&readonly={readonly}"), sql);
            assert_eq!(store.writes().await.as_ref(), Some(&before), "{sql}");
        }
    }
    assert_eq!(get(&format!("{url}&query=SELECT+1")).status(), 200);
    let writes = get(&format!("{}/writes", database.url));
    assert_eq!(writes.headers()["cache-control"], "no-store");
    assert_eq!(store.writes().await, Some(before));
}

/// What the API and the worker read with must not count, or nothing would ever be quiet.
#[tokio::test]
async fn queries_of_ours_only_read() {
    use seatmeter::core::calendar::Day;
    use seatmeter::core::id::Id;
    use seatmeter::core::load::{CounterBlock, Missing};
    use seatmeter::core::rollup::Source;
    let engine = PrivateEngine::start();
    let store = store(&engine.database());
    store.migrate().await.unwrap();
    let before = settled(&store).await;
    store.account_context("a").await.unwrap();
    store.ingest_progress("usage-events").await.unwrap();
    store.progress("usage-events").await.unwrap();
    let [account, organization, user] = ["a", "o", "u"].map(Id::from_text);
    let month = Day(20_500).year_month();
    let missing = Missing {
        accounts: vec![account.clone()],
        users: vec![(account.clone(), user)],
        counters: vec![CounterBlock { account, organization, month }],
    };
    store.load(&Source::new("usage-events", "", 0), &missing).await.unwrap();
    assert_eq!(store.writes().await, Some(before));
}

#[tokio::test]
async fn an_insert_is_not_over_while_its_data_comes() {
    let engine = PrivateEngine::start();
    let database = engine.database().create();
    database.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    let store = store(&database);
    let before = settled(&store).await;
    for is_cut in [false, true] {
        let mut client = TcpStream::connect(database.url.strip_prefix("http://").unwrap()).unwrap();
        let path = format!("/?database={}&query=INSERT+INTO+t+FORMAT+TSV", database.name);
        let head = format!("POST {path} HTTP/1.1\r\n{KEY_LINE}Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.write_all(format!("{head}2\r\n1\n\r\n").as_bytes()).unwrap();
        let running = loop {
            let writes = store.writes().await.unwrap();
            if !writes.are_over() {
                break writes;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(!running.begun_as_at(&before));
        if is_cut {
            drop(client);
        } else {
            client.write_all(b"0\r\n\r\n").unwrap();
            let mut line = String::new();
            BufReader::new(client).read_line(&mut line).unwrap();
            assert!(line.contains("200"), "{line}");
        }
        assert!(settled(&store).await.begun_as_at(&running));
    }
    assert_eq!(database.query("SELECT count() FROM t"), "1\n");
}

#[test]
fn a_statement_that_may_go_on_spoils_it_until_the_next_start() {
    let mut engine = PrivateEngine::start();
    let database = engine.database().create();
    database.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    let told = || get(&format!("{}/writes", database.url)).body_mut().read_to_string().unwrap();
    let name = || told().split(' ').nth(1).map(str::to_owned);
    let mut names = vec![name().expect("the engine tells")];
    for (parameters, sql) in [
        ("", "ALTER TABLE t DELETE WHERE a = 1"),
        ("", "DELETE FROM t WHERE a = 1"),
        ("&async_insert=1", "INSERT INTO t VALUES (1)"),
    ] {
        execute(&format!("{}/?database={}{parameters}", database.url, database.name), sql);
        assert_eq!(told(), "untold\n", "{sql}");
        database.query("INSERT INTO t VALUES (2)");
        assert_eq!(told(), "untold\n", "{sql}");
        engine.process.restart().unwrap();
        eventually("it tells again", LONG, || told().starts_with("engine ").then_some(()));
        names.push(name().unwrap());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "each process has a name of its own");
}

/// A server that answers every request in the same way, and counts them.
fn server(answer: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let counter = Arc::clone(&counter);
            // A client that goes away ends its connection.
            std::thread::spawn(move || drop(serve(client, answer, &counter)));
        }
    });
    (url, asked)
}

fn serve(client: TcpStream, answer: &str, counter: &AtomicU32) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while client.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            counter.fetch_add(1, Ordering::SeqCst);
            client.get_mut().write_all(answer.as_bytes())?;
            if answer.is_empty() {
                break;
            }
        }
        line.clear();
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_tell_is_left_in_peace() {
    for (answer, times) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno page\n", 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nuntold\n", 1),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 3),
        // It does not end, so it takes longer than anybody waits for it.
        ("HTTP/1.0 200 OK\r\n\r\nengine a begun 1 ended 1\n", 1),
        ("", 3),
        ("HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\nengine a begun 1 ended 1\n", 3),
    ] {
        let (url, asked) = server(answer);
        let database = Database { url, name: "d".to_owned() };
        let store = store(&database);
        for _ in 0..3 {
            assert_eq!(store.writes().await.is_some(), answer.contains("gth: 25"), "{answer}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), times, "{answer}");
    }
}
