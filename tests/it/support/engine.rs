//! The embedded ClickHouse for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use seatmeter::config;
use seatmeter::embedded::clickhouse::{EngineOptions, EngineProcess};
use seatmeter::embedded::provision::{ENGINE_VERSION, OLDER_ENGINE_VERSION, older_engine_library};
use secrecy::SecretString;
use tempfile::TempDir;

use super::{process_folder, unique};

/// The password of every engine here, so that its address is enough.
pub(crate) const PASSWORD: &str = "of the tests";

/// The header line of a plain HTTP request that carries it.
pub(crate) const KEY_LINE: &str = "X-ClickHouse-Key: of the tests\r\n";

/// Names the release of the engine that the tests run on. The program knows nothing of it.
const RELEASE_VARIABLE: &str = "SEATMETER_TEST_ENGINE";

/// The program that the engine is a command of.
pub(crate) fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_seatmeter"))
}

/// A database of one test in the engine that all tests share, with the internal one that belongs to
/// it. Both are dropped with this value.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// The database of the documented views, as configured.
    pub(crate) name: String,
    /// Whether it holds the test's own tables, and no schema of the program's.
    has_own_tables: bool,
}

/// A fresh database in the shared engine. It does not exist yet: the tested code creates it, or
/// [`Database::create`].
pub(crate) fn engine() -> Database {
    static ENGINE: OnceLock<EngineProcess> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| start(&process_folder("engine"), false));
    Database::new(engine.url(), unique("test"))
}

/// The library of the release that the environment names; `None`: that of the program.
fn library() -> Option<PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || match std::env::var(RELEASE_VARIABLE) {
        Ok(release) if release == OLDER_ENGINE_VERSION => Some(older_engine_library().unwrap()),
        Ok(release) if release != ENGINE_VERSION => panic!(
            "{RELEASE_VARIABLE}={release}: there are {ENGINE_VERSION} and {OLDER_ENGINE_VERSION}"
        ),
        Ok(_) | Err(_) => None,
    };
    LIBRARY.get_or_init(find).clone()
}

/// Starts an engine on a data folder.
#[track_caller]
pub(crate) fn start(data_dir: &Path, allow_external: bool) -> EngineProcess {
    EngineProcess::start(EngineOptions {
        exe: exe().to_owned(),
        data_dir: data_dir.to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        library: library(),
        password: Some(SecretString::from(PASSWORD)),
        allow_external,
    })
    .unwrap()
}

impl Database {
    /// One that does not exist yet.
    pub(crate) fn new(url: String, name: String) -> Database {
        Database { url, name, has_own_tables: false }
    }

    /// Creates it, for tables of the test's own.
    #[track_caller]
    pub(crate) fn create(mut self) -> Database {
        execute(&self.url, &format!("CREATE DATABASE {}", self.name));
        self.has_own_tables = true;
        self
    }

    /// The configuration for it.
    pub(crate) fn config(&self) -> config::ClickHouse {
        let mut config = config::load(None, std::iter::empty()).unwrap().clickhouse;
        config.url.clone_from(&self.url);
        config.database.clone_from(&self.name);
        config.password = SecretString::from(PASSWORD);
        config
    }

    /// A client of the `clickhouse` crate, for this database.
    pub(crate) fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default()
            .with_url(&self.url)
            .with_database(&self.name)
            .with_user("default")
            .with_password(PASSWORD)
            .with_compression(clickhouse::Compression::None)
    }

    /// The database of the tables and of all views.
    pub(crate) fn internal(&self) -> String {
        self.config().internal_database()
    }

    /// Runs a statement and returns the result as tab-separated text. Its tables and views are
    /// those of the internal database, or the test's own.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> String {
        let name = if self.has_own_tables { self.name.clone() } else { self.internal() };
        execute(&format!("{}/?database={name}", self.url), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that killed its engine has nothing to drop; the data folder is removed anyway.
        for name in [&self.name, &self.internal()] {
            let _ = ureq::post(&self.url)
                .header("X-ClickHouse-Key", PASSWORD)
                .send(format!("DROP DATABASE IF EXISTS {name}"));
        }
    }
}

/// Posts a statement and returns the body; panics with the engine's error on failure.
#[track_caller]
pub(crate) fn execute(url: &str, sql: &str) -> String {
    let (status, text) = post(url, sql);
    assert_eq!(status, 200, "{text}");
    text
}

/// Posts a body and returns status and body. Uses the password in the address, if there is one.
#[track_caller]
pub(crate) fn post(url: &str, body: impl ureq::AsSendBody) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(url);
    if !url.contains('@') {
        request = request.header("X-ClickHouse-Key", PASSWORD);
    }
    let mut response = request.send(body).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Gets an address of an engine.
#[track_caller]
pub(crate) fn get(url: &str) -> ureq::http::Response<ureq::Body> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    agent.get(url).header("X-ClickHouse-Key", PASSWORD).call().unwrap()
}

/// An engine of one test, with data of its own.
#[derive(Debug)]
pub(crate) struct PrivateEngine {
    pub(crate) process: EngineProcess,
    pub(crate) data: TempDir,
}

impl PrivateEngine {
    #[track_caller]
    pub(crate) fn start() -> PrivateEngine {
        let data = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        PrivateEngine { process: start(data.path(), false), data }
    }

    /// A fresh database in it, not created yet.
    pub(crate) fn database(&self) -> Database {
        Database::new(self.process.url(), unique("test"))
    }
}
