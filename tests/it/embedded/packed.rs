//! Packed bodies and answers, and answers to clients that are still sending.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::LONG;
use crate::support::engine::{KEY_LINE, PASSWORD, execute, get};
use crate::support::{PrivateEngine, engine, peak_mib};

/// Posts a body with a header.
#[track_caller]
fn post(url: &str, encoding: &str, body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(url).header("X-ClickHouse-Key", PASSWORD);
    let mut answer = request.header("Content-Encoding", encoding).send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_packed_body_is_a_statement_or_its_data() {
    let database = engine().create();
    let url = format!("{}/?database={}", database.url, database.name);
    let create = "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a";
    assert_eq!(post(&url, "gzip", &gzip(create.as_bytes())).0, 200);
    assert_eq!(post(&url, "gzip", &gzip(b"INSERT INTO t FORMAT TSV\n1\n2\n")).0, 200);
    assert_eq!(
        post(&url, "zstd", &zstd::encode_all(&b"INSERT INTO t VALUES (3)"[..], 1).unwrap()).0,
        200
    );
    // What is refused plain is refused packed.
    let (status, text) = post(&url, "gzip", &gzip(b"SELECT * FROM file('/etc/passwd')"));
    assert!(status == 403 && text.starts_with("Code: 497."), "{status} {text}");
    let insert = b"INSERT INTO t VALUES (length(file('/etc/passwd')))";
    assert_eq!(post(&url, "gzip", &gzip(insert)).0, 403);
    for (encoding, body, code) in [
        ("br", &b"SELECT 1"[..], "48"),
        ("gzip", b"SELECT 1", "271"),
        ("zstd", b"SELECT 1", "271"),
        ("lz4", b"SELECT 1", "271"),
        ("deflate", b"SELECT 1", "271"),
    ] {
        let (status, text) = post(&url, encoding, body);
        assert!(status != 200 && text.starts_with(&format!("Code: {code}.")), "{encoding}: {text}");
    }
    for body in [&b"SELECT 1"[..], &[0xff; 100]] {
        let (status, text) = post(&format!("{url}&decompress=1"), "identity", body);
        assert!(status == 500, "{status} {text}");
    }
    assert_eq!(database.query("SELECT sum(a) FROM t"), "6\n");
}

/// So many MiB of lines, packed.
fn bomb(mib: usize) -> Vec<u8> {
    let lines = ("x".repeat(127) + "\n").repeat(1024 * 1024 / 128);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..mib {
        encoder.write_all(lines.as_bytes()).unwrap();
    }
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < mib * 10_000, "{}", packed.len());
    packed
}

#[test]
fn a_bomb_takes_no_more_memory_than_other_bodies() {
    let engine = PrivateEngine::start();
    let url = engine.process.url();
    execute(&url, "CREATE TABLE default.t (a String) ENGINE = Null");
    let bomb = bomb(256);
    let before = peak_mib(engine.process.pid().unwrap());
    // As a statement it is too long; as data, it is read to its end.
    let (status, text) = post(&url, "zstd", &bomb);
    assert!(status == 413 && text.starts_with("Code: 229."), "{status} {text}");
    let bomb = self::bomb(768);
    let insert = format!("{url}/?query=INSERT+INTO+default.t+FORMAT+TSV");
    let (status, text) = post(&insert, "zstd", &bomb);
    assert_eq!(status, 200, "{text}");
    let grown = peak_mib(engine.process.pid().unwrap()) - before;
    assert!(grown < 600, "{grown} MiB more");
}

#[test]
fn an_answer_is_in_clickhouses_own_compression_when_asked_for() {
    let url = format!("{}/?compress=1&query=", engine().url);
    let read = |query: &str| get(&format!("{url}{query}")).into_body().read_to_vec().unwrap();
    let small = read("SELECT+1");
    assert_eq!((small[16], small.len() > 25), (0x82, true));
    let zstd = read("SELECT+1&network_compression_method=ZSTD");
    assert_eq!(zstd[16], 0x90);
    let plain: usize = (0..1_000_000_u32).map(|n| n.to_string().len() + 1).sum();
    let large = read("SELECT+number+FROM+numbers(1000000)");
    assert!(large.len() < plain * 2 / 3, "{} of {plain}", large.len());
    assert_eq!(read("SELECT+1+WHERE+0"), b"");
}

/// A client that does not read before it has sent all still gets the reason of a refusal.
#[test]
fn a_refusal_reaches_who_is_still_sending() {
    let address = engine().url.strip_prefix("http://").unwrap().to_owned();
    let insert = "INSERT+INTO+nowhere+FORMAT+TSV";
    for (query, key, code) in [
        (format!("query={insert}"), KEY_LINE, "Code: 60."),
        (format!("query={insert}&no_such_setting=1"), KEY_LINE, "Code: 115."),
        (format!("query={insert}&role=r"), KEY_LINE, "Code: 48."),
        (format!("query={insert}"), "X-ClickHouse-Key: wrong\r\n", "Code: 516."),
    ] {
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.set_read_timeout(Some(LONG)).unwrap();
        connection.set_write_timeout(Some(LONG)).unwrap();
        let length = 64 * 1024 * 1024;
        let head = format!(
            "POST /?{query} HTTP/1.1\r\nHost: localhost\r\n{key}Content-Length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        let chunk = vec![b'1'; 1024 * 1024];
        for sent in 0..length / chunk.len() {
            let written = connection.write_all(&chunk);
            assert!(written.is_ok(), "{query}: cut off after {sent} MiB: {written:?}");
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(code), "{query}: {answer}");
    }
}
