//! A running INSERT: its data goes to the engine chunk by chunk, or is collected first where the
//! engine takes no chunks.
//!
//! libchdb takes chunks since 26.7. The tests run on an older release too, so that a wrong answer
//! of one release shows; that is all the collecting is for. An older library takes the data as the
//! rest of the statement's text alone, and ends it at the first empty line, also within a binary
//! value: the rows after that are lost, in some cases without an error. So the data is written to
//! a file in memory, without a name, which the statement reads.
//!
//! It never begins to write before all of the collected data has come.

use std::sync::atomic::{AtomicU64, Ordering};

use super::statement;
use crate::embedded::libchdb::{Connection, EngineError, InsertStream, Summary};

/// Data of all INSERTs that is collected at the same time; an INSERT that needs more fails.
const COLLECTED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What all INSERTs have collected.
static COLLECTED_BYTES: AtomicU64 = AtomicU64::new(0);

/// A running INSERT; nothing of its last block is written unless it is
/// [finished](Insertion::finish).
#[derive(Debug)]
pub(super) enum Insertion<'connection> {
    Chunks(InsertStream<'connection>),
    Collected(Collected<'connection>),
}

impl<'connection> Insertion<'connection> {
    /// Begins one. `sql` has neither a `FORMAT` clause nor data.
    ///
    /// # Errors
    ///
    /// The engine's error, or the system has no memory.
    pub(super) fn begin(
        connection: &'connection mut Connection,
        sql: &'connection [u8],
        format: &'connection str,
        parameters: &'connection [(String, String)],
    ) -> Result<Insertion<'connection>, EngineError> {
        if connection.takes_chunks() {
            return connection.insert(sql, format, parameters).map(Insertion::Chunks);
        }
        let file = file::create()?;
        let share = Share { bytes: 0 };
        let collected = Collected { connection, sql, format, parameters, file, share };
        Ok(Insertion::Collected(collected))
    }

    /// Takes more of the data.
    ///
    /// # Errors
    ///
    /// The engine's error, or too much is collected.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), EngineError> {
        match self {
            Insertion::Chunks(stream) => stream.append(data),
            Insertion::Collected(collected) => collected.append(data),
        }
    }

    /// Ends the data and waits until the engine has written all of it.
    ///
    /// # Errors
    ///
    /// The engine's error; the INSERT is not acknowledged then.
    pub(super) fn finish(self) -> Result<Summary, EngineError> {
        match self {
            Insertion::Chunks(stream) => stream.finish(),
            Insertion::Collected(collected) => collected.finish(),
        }
    }
}

/// An INSERT whose data is collected.
#[derive(Debug)]
pub(super) struct Collected<'connection> {
    connection: &'connection mut Connection,
    sql: &'connection [u8],
    format: &'connection str,
    parameters: &'connection [(String, String)],
    file: file::Nameless,
    share: Share,
}

impl Collected<'_> {
    fn append(&mut self, data: &[u8]) -> Result<(), EngineError> {
        self.share.grow(data.len() as u64)?;
        file::append(&mut self.file, data)
    }

    fn finish(self) -> Result<Summary, EngineError> {
        let sql = statement::from_file(self.sql, self.format, &file::path(&self.file));
        self.connection.query(&sql, "Null", self.parameters).map(|output| output.summary)
    }
}

/// The share of one INSERT in what is collected; it ends with the INSERT.
#[derive(Debug)]
struct Share {
    bytes: u64,
}

impl Share {
    fn grow(&mut self, more: u64) -> Result<(), EngineError> {
        self.bytes += more;
        if COLLECTED_BYTES.fetch_add(more, Ordering::Relaxed) + more <= COLLECTED_BYTES_MAX {
            return Ok(());
        }
        Err(EngineError::new(
            241,
            "MEMORY_LIMIT_EXCEEDED",
            &format!(
                "This libchdb takes no chunks, and the data of all running INSERTs is more than \
                {COLLECTED_BYTES_MAX} bytes"
            ),
        ))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        COLLECTED_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file in memory, which ends with its descriptor.
#[cfg(target_os = "linux")]
mod file {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{MemfdFlags, memfd_create};

    use crate::embedded::libchdb::EngineError;

    pub(super) type Nameless = File;

    pub(super) fn create() -> Result<Nameless, EngineError> {
        memfd_create("insert", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|error| failed(&error.into()))
    }

    pub(super) fn append(file: &mut Nameless, data: &[u8]) -> Result<(), EngineError> {
        file.write_all(data).map_err(|error| failed(&error))
    }

    /// The path by which this process opens it.
    pub(super) fn path(file: &Nameless) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }

    fn failed(error: &std::io::Error) -> EngineError {
        EngineError::new(
            241,
            "MEMORY_LIMIT_EXCEEDED",
            &format!("The data of an INSERT cannot be collected: {error}"),
        )
    }
}

/// Only Linux has such files.
#[cfg(not(target_os = "linux"))]
mod file {
    use crate::embedded::libchdb::EngineError;

    pub(super) type Nameless = std::convert::Infallible;

    pub(super) fn create() -> Result<Nameless, EngineError> {
        Err(EngineError::new(
            48,
            "NOT_IMPLEMENTED",
            "INSERTs with data need libchdb 26.7 or newer here",
        ))
    }

    pub(super) fn append(file: &mut Nameless, _: &[u8]) -> Result<(), EngineError> {
        match *file {}
    }

    pub(super) fn path(file: &Nameless) -> String {
        match *file {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_inserts_collect_is_bounded() {
        let (mut first, mut second) = (Share { bytes: 0 }, Share { bytes: 0 });
        first.grow(COLLECTED_BYTES_MAX - 10).unwrap();
        second.grow(10).unwrap();
        assert_eq!(second.grow(1).unwrap_err().code, 241);
        drop(second);
        first.grow(10).unwrap();
        drop(first);
        Share { bytes: 0 }.grow(COLLECTED_BYTES_MAX).unwrap();
    }
}
