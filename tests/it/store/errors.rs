//! Messages when ClickHouse is away, refuses, or is unsuitable.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use seatmeter::config;
use seatmeter::core::id::Id;
use seatmeter::core::load::Missing;
use seatmeter::store::{Store, StoreError, VERSION_MIN};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{TestDatabase, rows, source};

/// Must never appear in a message.
const PASSWORD: &str = "s3cret?&p@ss";

fn config(url: &str) -> config::ClickHouse {
    config::ClickHouse {
        url: url.into(),
        database: "usage".into(),
        user: "meter".into(),
        password: PASSWORD.into(),
        cluster: None,
        shards: 1,
        insert_quorum: 0,
        request_timeout: Duration::from_secs(10),
        ca_file: None,
    }
}

async fn check_server(config: &config::ClickHouse) -> StoreError {
    let error = Store::connect(config).unwrap().check_server().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

/// A text in the format of the client.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The answer to `SELECT version()`, in the format of the client.
fn version_answer(version: &str) -> Vec<u8> {
    [vec![1], text("version()"), text("String"), text(version)].concat()
}

/// A count, in the format of the client.
fn count_answer(count: u64) -> Vec<u8> {
    let bytes = [vec![1], text("c"), text("UInt64"), count.to_le_bytes().to_vec()].concat();
    http_answer("200 OK", &bytes)
}

fn error_answer(code: u32) -> Vec<u8> {
    let message = format!("Code: {code}. DB::Exception: so it says. (NAME)");
    http_answer("500 Internal Server Error", message.as_bytes())
}

fn http_answer(status: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let mut request = vec![0; 64 * 1024];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
}

/// A server that answers every request with these bytes; with none it never answers.
async fn server(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            if bytes.is_empty() {
                silent.push(stream);
            } else {
                answer(stream, &bytes).await;
            }
        }
    });
    url
}

/// A server whose user may create nothing, and that has this many of the two databases, empty.
async fn server_without_rights(databases: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut length = stream.read(&mut request).await.unwrap();
            // Head and body may come one after the other.
            while let Ok(Ok(more @ 1..)) =
                tokio::time::timeout(Duration::from_millis(50), stream.read(&mut request[length..]))
                    .await
            {
                length += more;
            }
            let request = String::from_utf8_lossy(&request[..length]);
            let bytes = if request.contains("system.tables") {
                count_answer(0)
            } else if request.contains("system.databases") {
                count_answer(databases)
            } else if request.contains("CREATE") {
                error_answer(497)
            } else {
                error_answer(60)
            };
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

#[tokio::test]
async fn a_user_who_may_create_no_database_is_told_so_where_it_is_missing() {
    let url = server_without_rights(0).await;
    let error = Store::connect(&config(&url)).unwrap().migrate().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no database 'usage_internal', and user 'meter' may not create it: create it, or \
        grant the user CREATE DATABASE (Code: 497. DB::Exception: so it says. (NAME))"
    );
    let url = server_without_rights(1).await;
    let error = Store::connect(&config(&url)).unwrap().migrate().await.unwrap_err();
    assert!(
        error.to_string().starts_with("migration 1 (schema_migrations) failed: "),
        "it uses databases that are there: {error}"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_named_and_waited_for() {
    // Bound and dropped: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let error = check_server(&config(&url)).await;
    assert!(error.is_retryable());
    assert_eq!(
        error.to_string(),
        format!(
            "ClickHouse at {url} cannot be reached: Connection refused (os error 111); check \
            clickhouse.url and that the server is up"
        )
    );
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    let error = check_server(&config("http://no-such-host.invalid:8123")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("ClickHouse at http://no-such-host.invalid:8123 cannot be reached: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_user_is_told_which_keys_to_check() {
    let database = TestDatabase::absent();
    let refused = config::ClickHouse { url: database.config().url, ..config("") };
    let error = check_server(&refused).await;
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        format!(
            "ClickHouse at {} does not let user 'meter' in: check clickhouse.user and \
            clickhouse.password",
            database.config().url.trim_end_matches('/')
        )
    );
}

#[tokio::test]
async fn a_password_in_the_url_is_not_repeated() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = check_server(&config(&format!("http://meter:s3cret-too@127.0.0.1:{port}"))).await;
    assert!(!format!("{error:?}").contains("s3cret-too"), "{error:?}");
}

#[tokio::test]
async fn an_old_server_is_refused_and_a_current_one_is_not() {
    let url = server(http_answer("200 OK", &version_answer("24.3.5.46"))).await;
    let error = check_server(&config(&url)).await;
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        format!(
            "ClickHouse at {url} is version 24.3, and seatmeter needs {VERSION_MIN} or newer: \
            upgrade the server"
        )
    );
    let url = server(http_answer("200 OK", &version_answer("25.8.1.1"))).await;
    let version = Store::connect(&config(&url)).unwrap().check_server().await.unwrap();
    assert_eq!(version, VERSION_MIN);
    let database = TestDatabase::absent();
    assert!(database.store().check_server().await.unwrap() >= VERSION_MIN);
}

#[tokio::test]
async fn a_server_that_is_not_clickhouse_is_told_so() {
    let url = server(http_answer("502 Bad Gateway", b"<html>\n<h1>Bad Gateway</h1></html>")).await;
    let error = check_server(&config(&url)).await;
    assert!(error.is_retryable(), "a proxy may come to its senses");
    assert_eq!(
        error.to_string(),
        format!(
            "{url} did not answer as ClickHouse does: <html> <h1>Bad Gateway</h1></html>; \
            clickhouse.url must name its HTTP interface (8123 or 8443)"
        )
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_request_timeout() {
    let url = server(Vec::new()).await;
    let quick = config::ClickHouse { request_timeout: Duration::from_millis(300), ..config(&url) };
    let error = check_server(&quick).await;
    assert!(error.is_retryable());
    let expected = format!("ClickHouse at {url} did not answer within 300 ms, the request timeout");
    assert_eq!(error.to_string(), expected);
    let rows = super::one_of_each(&source(0));
    let error = Store::connect(&quick).unwrap().write_rows(&[rows]).await.unwrap_err();
    assert_eq!(error.to_string(), expected, "writes are given up, too");
}

#[tokio::test]
async fn a_missing_schema_asks_for_migrate() {
    let database = TestDatabase::absent();
    let missing = Missing { accounts: vec![Id::from_text("acme")], ..Missing::default() };
    let without_database = database.store().load(&source(0), &missing).await.unwrap_err();
    database.store().migrate_to(&[], &[]).await.unwrap();
    let without_tables =
        database.store().write_rows(&[super::one_of_each(&source(0))]).await.unwrap_err();
    for error in [without_database, without_tables] {
        assert!(matches!(error, StoreError::NotMigrated { .. }), "{error:?}");
        assert!(error.to_string().contains("lacks the schema: run `seatmeter migrate`"), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_cluster_that_the_server_does_not_know_is_refused() {
    let database = TestDatabase::absent();
    let clustered =
        config::ClickHouse { cluster: Some("no such cluster".into()), ..database.config() };
    let error = check_server(&clustered).await;
    assert!(!error.is_retryable());
    assert!(
        error.to_string().starts_with("clickhouse.cluster = 'no such cluster' on ClickHouse at "),
        "{error}"
    );
    assert!(error.to_string().contains("the server knows no such cluster"), "{error}");
}

#[tokio::test]
async fn a_refused_insert_names_its_cause_and_the_rest_is_still_written() {
    let database = TestDatabase::migrated().await;
    database.execute("DROP TABLE zone_facts");
    let error = database.store().write_rows(&[super::one_of_each(&source(0))]).await.unwrap_err();
    assert!(error.to_string().contains("zone_facts"), "{error}");
    assert_eq!(
        database.text("SELECT count() FROM plan_facts"),
        "8\n",
        "every other INSERT has run to its end"
    );
    let nothing = database.store().write_rows(&[rows(&source(0), 1)]).await.unwrap();
    assert_eq!(nothing.tables, [], "without rows there is nothing to insert");
}

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/keys")).join(name)
}

/// An HTTPS server with a certificate of the tests' own authority.
async fn tls_server(bytes: Vec<u8>) -> String {
    let certificate = CertificateDer::from_pem_file(key_file("tls.cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(key_file("tls.private.pem")).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, &bytes).await;
            }
        }
    });
    url
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_configured() {
    let url = tls_server(http_answer("200 OK", &version_answer("26.7.1.1"))).await;
    let error = check_server(&config(&url)).await;
    assert!(error.to_string().contains("invalid peer certificate: UnknownIssuer"), "{error}");
    let trusting = config::ClickHouse { ca_file: Some(key_file("tls.ca.pem")), ..config(&url) };
    Store::connect(&trusting).unwrap().check_server().await.unwrap();
}

#[test]
fn a_ca_file_that_is_none_is_refused_at_once() {
    for (file, cause) in [
        ("no-such-file.pem", "No such file or directory"),
        ("tls.private.pem", "it holds no PEM certificate"),
    ] {
        let config =
            config::ClickHouse { ca_file: Some(key_file(file)), ..config("https://127.0.0.1:1") };
        let error = format!("{:#}", Store::connect(&config).unwrap_err());
        assert!(error.contains("clickhouse.ca_file = "), "{error}");
        assert!(error.contains(file) && error.contains(cause), "{error}");
    }
}
