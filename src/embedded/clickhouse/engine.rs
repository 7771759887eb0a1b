//! The engine on its data directory.

use std::path::{Path, PathBuf};

use super::access::DEFAULT_DATABASE;
use super::idle::Idle;
use super::settings::{base_settings, quoted};
use crate::embedded::libchdb::{Connection, EngineError, Library};

/// The engine on its data directory.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    library: Library,
    data_dir: PathBuf,
    /// The permissions of its user; see [`access`](super::access).
    access_file: PathBuf,
    idle: Idle,
}

impl Engine {
    pub(super) fn new(library: Library, data_dir: &Path, access_file: PathBuf) -> Engine {
        Engine { library, data_dir: data_dir.to_owned(), access_file, idle: Idle::default() }
    }

    /// Opens a connection, and starts the engine with the first one.
    pub(super) fn connect(&self) -> Result<Connection, EngineError> {
        // If tables were loaded in the background, the first queries after a start would miss some
        // of them.
        let arguments = [
            format!("--path={}", self.data_dir.display()),
            format!("--config-file={}", self.access_file.display()),
            format!("--database={DEFAULT_DATABASE}"),
            "--async_load_databases=0".to_owned(),
            "--async_load_system_database=0".to_owned(),
        ];
        let mut connection = self.library.connect(&arguments)?;
        connection.query(base_settings().as_bytes(), "Null", &[])?;
        Ok(connection)
    }

    /// Connections that wait for a request like their last one.
    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// Asks every running statement to stop, when the server stops.
    pub(super) fn cancel_all(&self) -> Result<(), EngineError> {
        self.connect()?.query(b"KILL QUERY WHERE 1 ASYNC", "Null", &[]).map(drop)
    }

    /// Asks the statement with that mark to stop, if it runs.
    pub(super) fn cancel(&self, mark: &str) -> Result<(), EngineError> {
        let statement = format!(
            "KILL QUERY WHERE endsWith(Settings['log_comment'], {}) ASYNC",
            quoted(mark, '\'')
        );
        self.connect()?.query(statement.as_bytes(), "Null", &[]).map(drop)
    }
}
