//! The embedded parts, used as the rest of the program and its users use them.

mod attacks;
mod brokers;
mod doors;
mod faults;
mod insertions;
mod packed;
mod provision;
mod reuse;
mod sessions;

use std::io::Read as _;
use std::time::Duration;

use clickhouse::Row;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::support::engine::{PASSWORD, execute, get, post};
use crate::support::{Database, PrivateEngine, engine};

/// A POST with the password; a failure status is an error.
fn keyed(url: &str) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
    ureq::post(url).header("X-ClickHouse-Key", PASSWORD)
}

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
struct Seat {
    user: u64,
    name: String,
    since: Option<u32>,
}

fn seat(user: u64) -> Seat {
    Seat {
        user,
        name: format!("user {user}\n\t'\"\\\0"),
        since: user.is_multiple_of(2).then_some(7),
    }
}

const SEATS: &str = "CREATE TABLE seats (user UInt64, name String, since Nullable(UInt32)) ENGINE \
    = MergeTree ORDER BY user";

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
    let rows: Vec<Seat> =
        client.query("SELECT ?fields FROM seats ORDER BY user").fetch_all().await.unwrap();
    assert_eq!(rows, [seat(0), seat(1), seat(2)]);
}

/// Text decoders strip a byte order mark.
#[tokio::test]
async fn parameters_arrive_byte_for_byte() {
    let database = engine().create();
    let client = database.client();
    for text in [
        "\u{feff}acme",
        "a\u{feff}",
        "\u{feff}",
        "\u{fffe}acme",
        "\u{fffd}",
        "\0",
        " acme ",
        "\r\n",
        "\u{1F600}",
    ] {
        let sql = "SELECT hex({text: String}) AS bytes, hex({texts: Array(String)}[1]) AS first";
        let query = client.query(sql).param("text", text).param("texts", vec![text]);
        let (bytes, first): (String, String) = query.fetch_one().await.unwrap();
        let expected = hex::encode_upper(text);
        assert_eq!(
            (bytes.as_str(), first.as_str()),
            (expected.as_str(), expected.as_str()),
            "{text:?}"
        );
    }
    let encoded = "%EF%BB%BFacme";
    let url = format!("{}/?param_text={encoded}&query=SELECT+hex(%7Btext:String%7D)", database.url);
    assert_eq!(execute(&url, ""), format!("{}\n", hex::encode_upper("\u{feff}acme")));
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
    let select = "SELECT {text: String} AS text, {texts: Array(String)} AS texts, {most: UInt64} \
        AS most, \
                  {least: Int64} AS least, {nothing: Nullable(String)} AS nothing, toString({day: \
                  Date}) AS day, \
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

/// A state of `groupBitmap` as ClickHouse writes it: up to 32 values as a list, more as a roaring
/// bitmap.
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
        "CREATE TABLE active (day UInt16, users AggregateFunction(groupBitmap, UInt64)) ENGINE = \
        AggregatingMergeTree \
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
    let insert = format!(
        "{}/?database={}&query=INSERT+INTO+active+FORMAT+RowBinary",
        database.url, database.name
    );
    assert_eq!(post(&insert, &data[..]).0, 200);
    // Union is idempotent: writing the same states again changes nothing.
    assert_eq!(post(&insert, &data[..]).0, 200);
    let counted =
        database.query("SELECT groupBitmapMerge(users) FROM active GROUP BY day ORDER BY day");
    let expected: String = sets.iter().map(|users| format!("{}\n", users.len())).collect();
    assert_eq!(counted, expected);
    let union = sets.iter().fold(RoaringTreemap::new(), |all, users| all | users);
    assert_eq!(
        database.query("SELECT groupBitmapMerge(users) FROM active"),
        format!("{}\n", union.len())
    );
}

#[tokio::test]
async fn a_million_rows_go_in_and_come_out() {
    let database = engine().create();
    let client = database.client();
    client.query(SEATS).execute().await.unwrap();
    insert_seats(&client, 0..1_000_000).await;
    let counted: (u64, u64, u64) = client
        .query("SELECT count(), sum(user), countIf(since = 7) FROM seats")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(counted, (1_000_000, 499_999_500_000, 500_000));
    let mut cursor =
        client.query("SELECT ?fields FROM seats ORDER BY user").fetch::<Seat>().unwrap();
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
                        &format!(
                            "SELECT user, getSetting('max_threads') FROM seats WHERE user = {user}"
                        ),
                    );
                    assert_eq!(found, format!("{user}\t{threads}\n"));
                    assert_eq!(
                        other.query("SELECT currentDatabase()"),
                        format!("{}\n", other.name)
                    );
                }
            });
        }
    });
    assert_eq!(database.query("SELECT count() FROM seats"), "160\n");
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
        ("&role=r", "SELECT 1", 501, "Code: 48."),
        (
            "&max_execution_time=0.1",
            "SELECT sum(sipHash64(number)) FROM numbers(10000000000)",
            408,
            "Code: 159.",
        ),
        (
            "&wait_end_of_query=1",
            "SELECT throwIf(number = 3000000) FROM numbers(4000000)",
            500,
            "Code: 395.",
        ),
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
    // A generic HTTP client sees a broken connection.
    let mut response = keyed(&database.url).send(sql).unwrap();
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
        let sql = format!(
            "SELECT number AS \"n\n\"\"\", toString(number) AS s FROM numbers(200000) FORMAT \
            {format}"
        );
        let read = |parameters: &str| {
            let mut response = keyed(&format!("{url}/?{parameters}")).send(&sql).unwrap();
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
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", engine.process.pid().unwrap()))
                .unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let stream = |rows: u64| {
        let sql =
            format!("SELECT number, number, number, number FROM numbers({rows}) FORMAT RowBinary");
        let mut response = keyed(&url).send(sql).unwrap();
        std::io::copy(&mut response.body_mut().as_reader(), &mut std::io::sink()).unwrap()
    };
    assert_eq!(stream(1_000_000), 32_000_000);
    let before = peak_kib();
    assert_eq!(stream(20_000_000), 640_000_000);
    let grown = peak_kib() - before;
    assert!(grown < 200_000, "640 MB of result took {grown} KiB more memory");
}

#[test]
fn a_get_changes_nothing() {
    let database: Database = engine().create();
    let url = format!(
        "{}/?database={}&query=CREATE+TABLE+t+(a+Int8)+ENGINE=Memory",
        database.url, database.name
    );
    assert_eq!(get(&url).status(), 500);
    assert_eq!(database.query("SHOW TABLES"), "");
}
