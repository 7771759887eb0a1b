//! The embedded parts, used as the rest of the program and its users use them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clickhouse::Row;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use roaring::RoaringTreemap;
use seatmeter::embedded::kafka::MockBroker;
use serde::{Deserialize, Serialize};

use crate::support::engine::{exe, execute, post};
use crate::support::program::command;
use crate::support::{Database, Kafka, PrivateEngine, Program, engine, eventually};

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
struct Seat {
    user: u64,
    name: String,
    since: Option<u32>,
}

fn seat(user: u64) -> Seat {
    Seat { user, name: format!("user {user}\n\t'\"\\\0"), since: user.is_multiple_of(2).then_some(7) }
}

const SEATS: &str =
    "CREATE TABLE seats (user UInt64, name String, since Nullable(UInt32)) ENGINE = MergeTree ORDER BY user";

async fn insert_seats(client: &clickhouse::Client, users: std::ops::Range<u64>) {
    let mut insert = client.insert::<Seat>("seats").await.unwrap();
    for user in users {
        insert.write(&seat(user)).await.unwrap();
    }
    insert.end().await.unwrap();
}

#[tokio::test]
async fn the_clickhouse_crate_inserts_and_selects() {
    let database = engine().create();
    let client = database.client();
    client.query(SEATS).execute().await.unwrap();
    insert_seats(&client, 0..3).await;
    let rows: Vec<Seat> = client.query("SELECT ?fields FROM seats ORDER BY user").fetch_all().await.unwrap();
    assert_eq!(rows, [seat(0), seat(1), seat(2)]);
}

#[derive(Debug, PartialEq, Row, Deserialize)]
struct AllTypes {
    text: String,
    texts: Vec<String>,
    most: u64,
    least: i64,
    nothing: Option<String>,
    day: String,
    instant: String,
}

#[tokio::test]
async fn parameters_of_every_type_arrive() {
    let database = engine().create();
    let client = database.client();
    let awkward = "tab\t newline\n quote' back\\slash \u{1F600} {x:String}";
    let select = "SELECT {text: String} AS text, {texts: Array(String)} AS texts, {most: UInt64} AS most, \
                  {least: Int64} AS least, {nothing: Nullable(String)} AS nothing, toString({day: Date}) AS day, \
                  toString({instant: DateTime64(3, 'UTC')}) AS instant";
    let row: AllTypes = client
        .query(select)
        .param("text", awkward)
        .param("texts", vec![awkward, ""])
        .param("most", u64::MAX)
        .param("least", i64::MIN)
        .param("nothing", None::<String>)
        .param("day", "2026-03-01")
        .param("instant", "2026-03-01 09:12:33.123")
        .fetch_one()
        .await
        .unwrap();
    let expected = AllTypes {
        text: awkward.to_owned(),
        texts: vec![awkward.to_owned(), String::new()],
        most: u64::MAX,
        least: i64::MIN,
        nothing: None,
        day: "2026-03-01".to_owned(),
        instant: "2026-03-01 09:12:33.123".to_owned(),
    };
    assert_eq!(row, expected);
}

#[test]
fn parameters_of_the_url_and_of_forms_arrive() {
    let url = engine().url.clone();
    assert_eq!(execute(&format!("{url}/?param_x=a%5Ctb"), "SELECT length({x:String})"), "3\n");
    let (status, text) = post(&format!("{url}/?param_x=1"), "SELECT {y:String}");
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("Code: 456"), "{text}");
}

/// A state of `groupBitmap` as ClickHouse writes it: up to 32 values by themselves, more as a roaring bitmap.
fn bitmap_state(users: &RoaringTreemap) -> Vec<u8> {
    let mut state = Vec::new();
    match u8::try_from(users.len()) {
        Ok(count) if count <= 32 => {
            state.extend([0, count]);
            users.iter().for_each(|user| state.extend(user.to_le_bytes()));
        }
        _ => {
            state.push(1);
            let mut length = users.serialized_size();
            while length >= 0x80 {
                state.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            state.push(u8::try_from(length).unwrap());
            users.serialize_into(&mut state).unwrap();
        }
    }
    state
}

#[test]
fn bitmap_states_of_any_size_are_read_and_merged() {
    let database = engine().create();
    database.query(
        "CREATE TABLE active (day UInt16, users AggregateFunction(groupBitmap, UInt64)) ENGINE = AggregatingMergeTree \
         ORDER BY day",
    );
    let hashed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63;
    let sets: [RoaringTreemap; 6] = [
        RoaringTreemap::new(),
        [0, u64::MAX].into_iter().collect(),
        (0..32).collect(),
        (0..33).map(hashed).collect(),
        (0..70_000).collect(),
        (0..100_000).map(hashed).collect(),
    ];
    let mut data = Vec::new();
    for (day, users) in (0u16..).zip(&sets) {
        data.extend(day.to_le_bytes());
        data.extend(bitmap_state(users));
    }
    let insert = format!("{}/?database={}&query=INSERT+INTO+active+FORMAT+RowBinary", database.url, database.name);
    assert_eq!(post(&insert, &data[..]).0, 200);
    // Union is idempotent: writing the same states again changes nothing.
    assert_eq!(post(&insert, &data[..]).0, 200);
    let counted = database.query("SELECT groupBitmapMerge(users) FROM active GROUP BY day ORDER BY day");
    let expected: String = sets.iter().map(|users| format!("{}\n", users.len())).collect();
    assert_eq!(counted, expected);
    let union = sets.iter().fold(RoaringTreemap::new(), |all, users| all | users);
    assert_eq!(database.query("SELECT groupBitmapMerge(users) FROM active"), format!("{}\n", union.len()));
}

#[tokio::test]
async fn a_million_rows_go_in_and_come_out() {
    let database = engine().create();
    let client = database.client();
    client.query(SEATS).execute().await.unwrap();
    insert_seats(&client, 0..1_000_000).await;
    let counted: (u64, u64, u64) =
        client.query("SELECT count(), sum(user), countIf(since = 7) FROM seats").fetch_one().await.unwrap();
    assert_eq!(counted, (1_000_000, 499_999_500_000, 500_000));
    let mut cursor = client.query("SELECT ?fields FROM seats ORDER BY user").fetch::<Seat>().unwrap();
    let mut next = 0;
    while let Some(row) = cursor.next().await.unwrap() {
        assert_eq!(row, seat(next));
        next += 1;
    }
    assert_eq!(next, 1_000_000);
}

#[test]
fn many_clients_work_at_once_and_share_nothing_but_data() {
    let database = engine().create();
    database.query(SEATS);
    let url = format!("{}/?database={}", database.url, database.name);
    let other = engine().create();
    std::thread::scope(|scope| {
        for client in 0..16u64 {
            let (url, other) = (&url, &other);
            scope.spawn(move || {
                for round in 0..10 {
                    let user = client * 1000 + round;
                    execute(url, &format!("INSERT INTO seats VALUES ({user}, 'x', NULL)"));
                    let threads = client % 4 + 1;
                    let found = execute(
                        &format!("{url}&max_threads={threads}"),
                        &format!("SELECT user, getSetting('max_threads') FROM seats WHERE user = {user}"),
                    );
                    assert_eq!(found, format!("{user}\t{threads}\n"));
                    assert_eq!(other.query("SELECT currentDatabase()"), format!("{}\n", other.name));
                }
            });
        }
    });
    assert_eq!(database.query("SELECT count() FROM seats"), "160\n");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut engine = PrivateEngine::start();
    let database = engine.database().create();
    database.query("CREATE TABLE batches (writer UInt8, batch UInt64, row UInt16) ENGINE = MergeTree ORDER BY batch");
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
                        // The engine dies under some of them: those are not acknowledged.
                        match ureq::post(&url).send(sql) {
                            Ok(response) if response.status() == 200 => *acknowledged += 1,
                            _ => return,
                        }
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            eventually("batches are written", LONG, || (total.load(Ordering::Relaxed) >= 20).then_some(()));
            engine.process.kill().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        engine.process.restart().unwrap();
        for (writer, acknowledged) in acknowledged.iter_mut().enumerate() {
            // One INSERT of one block is one part: it is there whole or not at all, even if nobody was told.
            let stored = database.query(&format!(
                "SELECT countIf(batch < {acknowledged}), count(), max(batch) + 1, min(rows) FROM \
                 (SELECT batch, count() AS rows FROM batches WHERE writer = {writer} GROUP BY batch)"
            ));
            let unacknowledged = if stored.contains(&format!("\t{}\t", *acknowledged + 1)) { 1 } else { 0 };
            let total = *acknowledged + unacknowledged;
            assert_eq!(stored, format!("{acknowledged}\t{total}\t{total}\t1000\n"), "writer {writer}");
            *acknowledged = total;
        }
    }
}

#[test]
fn an_insert_that_breaks_off_writes_nothing() {
    let database = engine().create();
    database.query("CREATE TABLE numbers (n UInt64) ENGINE = MergeTree ORDER BY n");
    let address = database.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /?database={}&query=INSERT+INTO+numbers+FORMAT+TSV HTTP/1.1\r\nHost: {address}\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n",
        database.name
    );
    connection.write_all(head.as_bytes()).unwrap();
    eventually("the INSERT runs", LONG, || {
        let running = database.query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO numbers%'");
        (running == "1\n").then_some(())
    });
    drop(connection);
    eventually("the INSERT is cancelled", LONG, || {
        let running = database.query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO numbers%'");
        (running == "0\n").then_some(())
    });
    assert_eq!(database.query("SELECT count() FROM numbers"), "0\n");
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let engine = PrivateEngine::start();
    let mut second =
        Program::spawn(command(&["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"]).arg(engine.data.path()));
    assert_eq!(second.wait(LONG).code(), Some(1));
    let pid = engine.process.pid().unwrap();
    let stderr = second.stderr();
    assert!(stderr.contains("is in use by another engine") && stderr.contains(&format!("process {pid}")), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(execute(&engine.process.url(), "SELECT 1"), "1\n");
}

#[test]
fn failures_have_the_statuses_of_a_server() {
    let database = engine().create();
    database.query("CREATE TABLE numbers (n UInt64) ENGINE = MergeTree ORDER BY n");
    let cases = [
        ("", "SELCT 1", 400, "Code: 62."),
        ("", "SELECT * FROM nowhere", 404, "Code: 60."),
        ("", "SELECT nothing", 404, "Code: 47."),
        ("&no_such_setting=1", "SELECT 1", 404, "Code: 115."),
        ("&database=nowhere", "SELECT 1", 404, "Code: 81."),
        ("", "SELECT throwIf(number = 5) FROM numbers(10)", 500, "Code: 395."),
        ("", "SELECT 1; SELECT 2", 400, "Code: 62."),
        ("", "", 400, "Code: 62."),
        ("", "INSERT INTO nowhere FORMAT TSV\n1", 404, "Code: 60."),
        ("", "INSERT INTO numbers FORMAT TSV\nx", 400, "Code: 27."),
        ("", "INSERT INTO numbers FORMAT RowBinary\n123", 500, "Code: 33."),
        ("", "INSERT INTO numbers FORMAT NoSuchFormat\n123", 404, "Code: 73."),
        ("&session_id=s", "SELECT 1", 501, "Code: 48."),
        ("&max_execution_time=0.1", "SELECT sum(sipHash64(number)) FROM numbers(10000000000)", 408, "Code: 159."),
        ("&wait_end_of_query=1", "SELECT throwIf(number = 3000000) FROM numbers(4000000)", 500, "Code: 395."),
    ];
    for (parameters, sql, status, start) in cases {
        let url = format!("{}/?database={}{parameters}", database.url, database.name);
        let (found, text) = post(&url, sql);
        assert_eq!(found, status, "{sql}: {text}");
        assert!(text.starts_with(start), "{sql}: {text}");
    }
    assert_eq!(database.query("SELECT count() FROM numbers"), "0\n");
}

#[tokio::test]
async fn a_result_that_fails_half_way_is_no_success() {
    let database = engine().create();
    let sql = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)";
    let mut cursor = database.client().query(sql).fetch::<(u64, u8)>().unwrap();
    let mut rows = 0;
    let error = loop {
        match cursor.next().await {
            Ok(Some(_)) => rows += 1,
            Ok(None) => panic!("the result ended well after {rows} rows"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(rows > 0 && error.contains("Code: 395."), "{rows} rows, then {error}");
    // A client that knows nothing of ClickHouse sees a broken connection.
    let mut response = ureq::post(&database.url).send(sql).unwrap();
    let mut text = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut text).unwrap_err();
    assert!(String::from_utf8_lossy(&text).contains("Code: 395."));
}

#[test]
fn streamed_results_are_the_same_as_whole_ones() {
    let url = engine().url.clone();
    for format in [
        "TSV",
        "CSV",
        "JSONEachRow",
        "RowBinary",
        "TSVWithNames",
        "TSVWithNamesAndTypes",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "JSONCompactEachRowWithNames",
        "JSON",
        "Values",
        "XML",
    ] {
        let sql = format!("SELECT number AS \"n\n\"\"\", toString(number) AS s FROM numbers(200000) FORMAT {format}");
        let read = |parameters: &str| {
            let mut response = ureq::post(&format!("{url}/?{parameters}")).send(&sql).unwrap();
            let mut bytes = Vec::new();
            response.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let (streamed, whole) = (read("max_threads=1"), read("max_threads=1&wait_end_of_query=1"));
        let without_times = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().filter(|line| !line.contains("elapsed")).collect::<Vec<_>>().join("\n")
        };
        assert!(without_times(streamed) == without_times(whole), "{format}");
    }
}

#[test]
fn large_results_stream_in_constant_memory() {
    let engine = PrivateEngine::start();
    let url = engine.process.url();
    let peak_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", engine.process.pid().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let stream = |rows: u64| {
        let sql = format!("SELECT number, number, number, number FROM numbers({rows}) FORMAT RowBinary");
        let mut response = ureq::post(&url).send(sql).unwrap();
        std::io::copy(&mut response.body_mut().as_reader(), &mut std::io::sink()).unwrap()
    };
    assert_eq!(stream(1_000_000), 32_000_000);
    let before = peak_kib();
    assert_eq!(stream(20_000_000), 640_000_000);
    let grown = peak_kib() - before;
    assert!(grown < 200_000, "640 MB of result took {grown} KiB more memory");
}

/// Starts an engine that can write no file beyond 4 MB, as on a full disk: writes fail in the middle of an INSERT.
fn limited_engine(data: &Path) -> (Program, String) {
    let library = seatmeter::embedded::provision::engine_library(None).unwrap();
    let mut engine = Program::spawn(
        Command::new("sh")
            .args(["-c", "ulimit -f 8000; trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(exe())
            .args(["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--library")
            .arg(library),
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
    // It stops, since it holds a part that is cut short, and says why in one line.
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
            command(&["clickhouse", "--listen", "127.0.0.1:0", "--library", library, "--data-dir"]).arg(data.path()),
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

#[test]
fn strangers_are_kept_out() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let start = |listen: &str, password: &str| {
        let mut command = command(&["clickhouse", "--listen", listen, "--data-dir"]);
        Program::spawn(command.arg(data.path()).env("SEATMETER_ENGINE_PASSWORD", password))
    };
    let mut engine = start("127.0.0.1:0", "secret");
    let line = engine.wait_for_line("listening on ", LONG);
    let url = line.strip_prefix("listening on ").unwrap();
    let ask = |header: (&str, &str)| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.post(url).header(header.0, header.1).send("SELECT 1").unwrap().status().as_u16()
    };
    assert_eq!(ask(("X-ClickHouse-Key", "secret")), 200);
    assert_eq!(ask(("Authorization", "Basic ZGVmYXVsdDpzZWNyZXQ=")), 200);
    assert_eq!(ask(("X-ClickHouse-Key", "Secret")), 403);
    assert_eq!(ask(("Accept", "*/*")), 403);
    drop(engine);

    let shared = crate::support::engine();
    let page = ureq::post(&shared.url).header("Origin", "http://evil.example").send("SELECT 1");
    assert!(matches!(page, Err(ureq::Error::StatusCode(403))), "{page:?}");
    let renamed = ureq::get(format!("{}/?query=SELECT+1", shared.url)).header("Host", "evil.example").call();
    assert!(matches!(renamed, Err(ureq::Error::StatusCode(403))), "{renamed:?}");
}

#[test]
fn without_a_password_it_listens_on_loopback_only() {
    let data = tempfile::tempdir().unwrap();
    let mut engine = Program::spawn(command(&["clickhouse", "--listen", "0.0.0.0:0", "--data-dir"]).arg(data.path()));
    assert_eq!(engine.wait(LONG).code(), Some(1));
    assert!(engine.stderr().contains("0.0.0.0:0"), "{}", engine.stderr());
}

#[test]
fn a_get_changes_nothing() {
    let database: Database = engine().create();
    let url = format!("{}/?database={}&query=CREATE+TABLE+t+(a+Int8)+ENGINE=Memory", database.url, database.name);
    assert!(matches!(ureq::get(&url).call(), Err(ureq::Error::StatusCode(500))));
    assert_eq!(database.query("SHOW TABLES"), "");
}

/// Sends records and reads them back.
fn check_broker(bootstrap_servers: &str, topic: &str) {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("group.id", topic).set("auto.offset.reset", "earliest");
    let producer: BaseProducer = config.create().unwrap();
    for n in 0..10 {
        producer.send(BaseRecord::to(topic).key("k").payload(&format!("{n}"))).unwrap();
    }
    producer.flush(LONG).unwrap();
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let read = (0..10).map(|_| {
        let message = eventually("the next record", LONG, || consumer.poll(Duration::from_millis(100)));
        String::from_utf8(message.unwrap().payload().unwrap().to_vec()).unwrap()
    });
    assert_eq!(read.collect::<Vec<_>>(), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_mock_broker_takes_and_gives_records() {
    let broker = MockBroker::start("usage-events", 4).unwrap();
    check_broker(&broker.bootstrap_servers(), "usage-events");
}

#[test]
fn kafka_takes_and_gives_records() {
    let kafka = Kafka::shared();
    check_broker(kafka.bootstrap_servers(), &kafka.topic("usage-events", 1));
}

#[test]
fn kafka_keeps_its_records_over_a_crash() {
    let mut kafka = Kafka::start();
    if kafka.is_mock() {
        return;
    }
    let topic = kafka.topic("usage-events", 2);
    check_broker(kafka.bootstrap_servers(), &topic);
    kafka.kill();
    kafka.restart();
    let held: i64 = (0..2).map(|partition| kafka.watermarks(&topic, partition).1).sum();
    assert_eq!(held, 10);
    kafka.add_partitions(&topic, 3);
    kafka.delete_topic(&topic);
}
