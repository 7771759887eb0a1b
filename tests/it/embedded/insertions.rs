//! INSERTs byte for byte, on either release of the engine: the older one is given the data at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::keyed;
use crate::simulation::dice::Dice;
use crate::support::engine::{KEY_LINE, post};
use crate::support::{Database, engine, eventually};

/// What ends a statement, a value or its data somewhere in an engine's parsers.
const PIECES: [&[u8]; 14] = [
    b"\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\0",
    b";",
    b"'",
    b"\"",
    b"`",
    b"--",
    b"/*",
    b"\\",
    b"$$",
    b"{x:String}",
    b"FORMAT CSV\n\n1",
];

/// INSERTs of random values.
const ROUNDS: usize = 50;

/// A table of one column, in which rows stay in their order.
fn texts() -> Database {
    let database = engine().create();
    database.query("CREATE TABLE texts (text String) ENGINE = Memory");
    database
}

/// The address for rows of the table.
fn rows_url(database: &Database) -> String {
    let insert = "INSERT+INTO+texts+FORMAT+RowBinary";
    format!("{}/?database={}&query={insert}", database.url, database.name)
}

fn append_text(data: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        data.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    data.push(u8::try_from(length).unwrap());
    data.extend_from_slice(text);
}

/// The table as it would be inserted again.
#[track_caller]
fn stored(database: &Database) -> Vec<u8> {
    let url = format!("{}/?database={}", database.url, database.name);
    let mut answer = keyed(&url).send("SELECT text FROM texts FORMAT RowBinary").unwrap();
    answer.body_mut().with_config().limit(1 << 28).read_to_vec().unwrap()
}

#[track_caller]
fn check_stored(database: &Database, data: &[u8]) {
    let (status, text) = post(&rows_url(database), data);
    assert_eq!(status, 200, "{text}: {}", data.escape_ascii());
    let stored = stored(database);
    assert!(stored == data, "{}\nis stored as\n{}", data.escape_ascii(), stored.escape_ascii());
    database.query("TRUNCATE TABLE texts");
}

#[test]
fn every_byte_arrives_wherever_it_is() {
    let database = texts();
    let mut data = Vec::new();
    for shift in 0..=255_u8 {
        let text: Vec<u8> = (0..=255_u8).map(|byte| byte.wrapping_add(shift)).collect();
        append_text(&mut data, &text);
    }
    check_stored(&database, &data);
    for byte in 0..=255_u8 {
        let mut data = Vec::new();
        (0..4).for_each(|length| append_text(&mut data, &vec![byte; length]));
        check_stored(&database, &data);
    }
}

#[test]
fn nothing_in_the_data_ends_it() {
    let database = texts();
    let mut dice = Dice::new(26, 5);
    for _ in 0..ROUNDS {
        let mut data = Vec::new();
        for _ in 0..=dice.below(20) {
            let text: Vec<u8> =
                (0..dice.below(5)).flat_map(|_| dice.pick(&PIECES).to_vec()).collect();
            append_text(&mut data, &text);
        }
        check_stored(&database, &data);
    }
}

/// More than the server reads, and the engine writes, at a time.
#[test]
fn many_rows_arrive() {
    let database = texts();
    let mut data = Vec::new();
    for number in 0..1_500_000_u32 {
        append_text(&mut data, &number.to_le_bytes());
    }
    let (status, text) = post(&rows_url(&database), &data[..]);
    assert_eq!(status, 200, "{text}");
    let sql = "SELECT count(), uniqExact(text), sum(reinterpretAsUInt32(text)) FROM texts";
    assert_eq!(database.query(sql), "1500000\t1500000\t1124999250000\n");
}

#[test]
fn settings_and_other_formats_are_taken() {
    let database = texts();
    let url = format!("{}/?database={}", database.url, database.name);
    let insert = |sql: &str| post(&url, sql);
    for sql in [
        "INSERT INTO texts (text) SETTINGS max_insert_block_size = 1 VALUES ('a'), ('b')",
        "INSERT INTO texts FORMAT CSV\n\"c\nd\"\n",
        "INSERT INTO texts SETTINGS max_threads = 1 FORMAT JSONEachRow\n{\"text\": \"e\"}",
        "INSERT INTO texts FORMAT RowBinary\n",
    ] {
        let (status, text) = insert(sql);
        assert_eq!(status, 200, "{sql}: {text}");
    }
    assert_eq!(database.query("SELECT text FROM texts ORDER BY text"), "a\nb\nc\\nd\ne\n");
    for (sql, code) in [
        ("INSERT INTO nowhere FORMAT CSV\n1", "Code: 60."),
        ("INSERT INTO texts FORMAT NoSuch\n1", "Code: 73."),
        ("INSERT INTO texts FORMAT RowBinary\n\u{19}too short", "Code: 33."),
    ] {
        let (status, text) = insert(sql);
        assert!(status != 200 && text.contains(code), "{sql}: {text}");
    }
}

#[test]
fn data_that_breaks_off_is_not_stored() {
    let database = texts();
    let address = database.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {address}\r\n{KEY_LINE}Content-Length: 1000\r\n\r\n",
        rows_url(&database).strip_prefix(&database.url).unwrap()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(b"\x01a\x01b").unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    // The answer, or its absence, shows that the statement is over.
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let running =
        "SELECT count() FROM system.processes WHERE startsWith(query, 'INSERT INTO texts')";
    eventually("the INSERT is over", Duration::from_secs(60), || {
        (database.query(running) == "0\n").then_some(())
    });
    assert_eq!(database.query("SELECT count() FROM texts"), "0\n");
}
