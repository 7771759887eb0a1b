//! `libchdb`, the ClickHouse engine as a shared library: loading, and a safe interface to the part
//! of its C API that the HTTP server needs.
//!
//! A [`Connection`] runs one statement at a time, which the borrow checker enforces: a running
//! query or insert borrows it mutably. Connections are cheap (0.4 ms, 130 KiB) and carry the
//! session (`SET`, `USE`, temporary tables), so no two requests share one at a time: the server
//! opens one, reuses one with the same settings, or keeps one per session; the engine itself starts
//! with the first and stops with the last one.
//!
//! This module never interprets SQL, never retries, and is the only one of the embedded engine with
//! `unsafe`.
#![allow(unsafe_code, reason = "calls a C interface through function pointers")]

mod symbols;

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};

use self::symbols::{
    ConnectionHandle, InsertHandle, InsertSymbols, ResultHandle, RunWithParameters, Symbols, Text,
    text,
};
pub use super::outcome::{EngineError, LoadError, Output, Summary};

/// Named query parameters; values are in ClickHouse's escaped (TSV) form, as its HTTP interface
/// takes them.
pub type Parameters = [(String, String)];

/// Ends the process at once. An engine that could not write is not closed, so its threads still
/// run; destructors of an orderly exit would free what they use, and the process would sometimes
/// die of a signal instead.
pub fn end_process(status: c_int) -> ! {
    // SAFETY: `_exit` takes any status, runs no code of this process any more, and does not return.
    unsafe { libc::_exit(status) }
}

/// The loaded library. It is never unloaded: the engine's threads run its code until the process
/// ends.
#[derive(Clone, Copy)]
pub struct Library {
    symbols: &'static Symbols,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Library").field("version", &self.version()).finish()
    }
}

impl Library {
    /// Loads the library at `path` and keeps its signal handlers from being installed: they would
    /// hang a crashing process for minutes, and SIGTERM is ours.
    ///
    /// # Errors
    ///
    /// The file cannot be loaded, or lacks a function of the C interface.
    pub fn load(path: &Path) -> Result<Library, LoadError> {
        // SAFETY: loading runs the library's initializers. The caller guarantees that the file is
        // libchdb (a pinned hash, or a file that the user named); nothing more can be checked
        // before it runs.
        let opened = unsafe { libloading::Library::new(path) };
        let library = opened
            .map_err(|error| LoadError::Open { path: path.to_owned(), reason: reason_of(&error) })
            .map(|library| &*Box::leak(Box::new(library)))?;
        let symbols: &'static Symbols = Box::leak(Box::new(Symbols::resolve(library, path)?));
        // SAFETY: the signature is that of chdb.h; it sets a flag and may be called at any time.
        unsafe { (symbols.set_signal_handlers_enabled)(0) };
        Ok(Library { symbols })
    }

    /// The library's release, such as `26.7.3`; `None` before 26.7, which does not tell it.
    pub fn version(&self) -> Option<String> {
        // SAFETY: chdb_version returns a static, NUL-terminated string.
        unsafe { text((self.symbols.version?)()) }
    }

    /// Opens a connection; the first one starts the engine on the `--path` among `arguments`, and
    /// later ones share it.
    ///
    /// # Errors
    ///
    /// The engine does not start (its reason goes to stderr), or refuses an argument.
    pub fn connect(&self, arguments: &[String]) -> Result<Connection, EngineError> {
        let refused = |text: &str| EngineError::new(EngineError::UNKNOWN, "STD_EXCEPTION", text);
        let arguments: Result<Vec<CString>, _> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(CString::new)
            .collect();
        let arguments =
            arguments.map_err(|_| refused("an argument of the engine contains a NUL byte"))?;
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len())
            .map_err(|_| refused("too many arguments for the engine"))?;
        // SAFETY: argc and argv describe live NUL-terminated strings, which the engine copies and
        // does not write to.
        let handle = unsafe { (self.symbols.connect)(count, pointers.as_mut_ptr()) };
        let handle =
            NonNull::new(handle).ok_or_else(|| refused("the engine does not open a connection"))?;
        Ok(Connection { symbols: self.symbols, handle })
    }
}

fn reason_of(error: &libloading::Error) -> String {
    // The loader's message is in the source: `cannot open shared object file: No such file or
    // directory`.
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// A session with the engine; closed on drop.
#[derive(Debug)]
pub struct Connection {
    symbols: &'static Symbols,
    handle: NonNull<ConnectionHandle>,
}

// SAFETY: the engine keeps a connection's state in its own objects behind a mutex and attaches a
// thread to it only for the time of a call (chdb-core 26.7, `ChdbClient`), so a connection may move
// between threads; `&mut self` keeps it to one at a time.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from chdb_connect and is closed once; running statements borrow
        // the connection, so none is left.
        unsafe { (self.symbols.close_connection)(self.handle.as_ptr()) };
    }
}

impl Connection {
    /// Runs a statement to its end and returns the whole result.
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<Output, EngineError> {
        let handle = self.run(self.symbols.query, sql, format, parameters);
        self.symbols.take(handle)
    }

    /// Starts a `SELECT` whose result is fetched chunk by chunk. Each chunk is a document of its
    /// own in `format`: headers and footers, where the format has any, are repeated.
    ///
    /// # Errors
    ///
    /// The engine's error; code 36, and nothing has run, for statements other than `SELECT`.
    pub fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<ResultStream<'_>, EngineError> {
        let handle = self.run(self.symbols.stream_query, sql, format, parameters);
        if handle.is_null() {
            return Err(EngineError::new(
                EngineError::UNKNOWN,
                "STD_EXCEPTION",
                "the engine returned no result",
            ));
        }
        let stream = ResultStream { connection: self, handle, rows: 0, finished: false };
        // SAFETY: the handle is live until the stream is dropped.
        match unsafe { text((stream.connection.symbols.result_error)(handle)) } {
            Some(message) if !message.is_empty() => {
                let mut stream = stream;
                stream.finished = true;
                Err(EngineError::from_message(message))
            }
            _ => Ok(stream),
        }
    }

    /// Whether the library takes the data of an INSERT in chunks. It does not before 26.7.
    pub fn takes_chunks(&self) -> bool {
        self.symbols.inserts.is_some()
    }

    /// Starts an INSERT whose data follows in chunks. `sql` has neither a `FORMAT` clause nor data.
    ///
    /// # Errors
    ///
    /// The engine's error: a syntax error, an unknown table or format; or the library takes no
    /// chunks.
    pub fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> Result<InsertStream<'_>, EngineError> {
        let Some(inserts) = &self.symbols.inserts else {
            return Err(EngineError::new(
                48,
                "NOT_IMPLEMENTED",
                "this libchdb takes no data of an INSERT in chunks",
            ));
        };
        let handle = self.run(inserts.begin, sql, format, parameters);
        if handle.is_null() {
            return Err(EngineError::new(
                EngineError::UNKNOWN,
                "STD_EXCEPTION",
                "the engine started no insert",
            ));
        }
        let symbols = self.symbols;
        let stream = InsertStream { symbols, inserts, handle, connection: PhantomData };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    fn run(
        &mut self,
        function: RunWithParameters,
        sql: &[u8],
        format: &str,
        parameters: &Parameters,
    ) -> *mut c_void {
        let names: Vec<Text> = parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect();
        let name_lengths: Vec<usize> = parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<Text> = parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: the connection is open and used by this thread alone (&mut self). Every buffer is
        // passed with its length and lives during the call; the engine copies what it keeps.
        unsafe {
            function(
                *self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                pointer_of(&names),
                pointer_of(&name_lengths),
                pointer_of(&values),
                pointer_of(&value_lengths),
                parameters.len(),
            )
        }
    }
}

/// The engine expects null for "no parameters", while an empty Vec's pointer dangles.
fn pointer_of<T>(items: &[T]) -> *const T {
    if items.is_empty() { ptr::null() } else { items.as_ptr() }
}

/// What a library before 26.7 says, in place of an empty chunk, after the chunk that holds the
/// header of a result without rows.
const NO_STREAM: &str = "No active streaming query";

/// A running `SELECT`; dropping it before its end cancels the query.
#[derive(Debug)]
pub struct ResultStream<'connection> {
    connection: &'connection mut Connection,
    handle: ResultHandle,
    /// Rows of its chunks so far.
    rows: u64,
    finished: bool,
}

impl ResultStream<'_> {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    ///
    /// The engine's error; the query is over then.
    pub fn next_chunk(&mut self) -> Result<Option<Output>, EngineError> {
        if self.finished {
            return Ok(None);
        }
        let symbols = self.connection.symbols;
        // SAFETY: connection and stream are live, and used by this thread alone (&mut self).
        let chunk =
            unsafe { (symbols.stream_fetch)(*self.connection.handle.as_ptr(), self.handle) };
        match symbols.take(chunk) {
            Ok(output) if output.bytes.is_empty() => {
                self.finished = true;
                Ok(None)
            }
            Ok(output) => {
                self.rows += output.summary.result_rows;
                Ok(Some(output))
            }
            Err(error) => {
                self.finished = true;
                let is_end = self.rows == 0 && error.message == NO_STREAM;
                if is_end && !self.connection.takes_chunks() { Ok(None) } else { Err(error) }
            }
        }
    }
}

impl Drop for ResultStream<'_> {
    fn drop(&mut self) {
        let symbols = self.connection.symbols;
        // SAFETY: the handle is live and destroyed once; a cancel is valid for a stream that has
        // not ended.
        unsafe {
            if !self.finished {
                (symbols.stream_cancel)(*self.connection.handle.as_ptr(), self.handle);
            }
            (symbols.destroy_result)(self.handle);
        }
    }
}

/// A running INSERT; dropping it without [`finish`](InsertStream::finish) cancels it, and nothing
/// of its last block is written.
#[derive(Debug)]
pub struct InsertStream<'connection> {
    symbols: &'static Symbols,
    inserts: &'static InsertSymbols,
    handle: InsertHandle,
    connection: PhantomData<&'connection mut Connection>,
}

impl InsertStream<'_> {
    /// Passes a chunk of the data to the engine, which copies it; waits while the engine is behind.
    ///
    /// # Errors
    ///
    /// The INSERT has failed: bad data, a full disk.
    pub fn append(&mut self, data: &[u8]) -> Result<(), EngineError> {
        // SAFETY: the stream is live and used by this thread alone; the data is copied during the
        // call.
        match unsafe { (self.inserts.append)(self.handle, data.as_ptr().cast(), data.len()) } {
            0 => Ok(()),
            // The reason, if the engine has not recorded it yet, comes with chdb_stream_done.
            _ => Err(self.error().map_or_else(|| self.done().err(), Some).unwrap_or_else(|| {
                EngineError::new(
                    EngineError::UNKNOWN,
                    "STD_EXCEPTION",
                    "the engine refused the data of an INSERT",
                )
            })),
        }
    }

    /// Ends the data and waits until the engine has written all of it.
    ///
    /// # Errors
    ///
    /// The engine's error; the INSERT is not acknowledged then, though blocks of it may have been
    /// written.
    pub fn finish(mut self) -> Result<Summary, EngineError> {
        self.done()
    }

    fn done(&mut self) -> Result<Summary, EngineError> {
        // SAFETY: the stream is live and used by this thread alone; the engine allows done once per
        // stream, and `append` calls it only when the INSERT has failed, after which callers drop
        // the stream.
        let result = unsafe { (self.inserts.done)(self.handle) };
        self.symbols.take(result).map(|output| output.summary)
    }

    fn error(&self) -> Option<EngineError> {
        // SAFETY: the stream is live.
        let message = unsafe { text((self.inserts.error)(self.handle)) };
        message.filter(|message| !message.is_empty()).map(EngineError::from_message)
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the stream is live and destroyed once; cancelling a finished or failed stream is
        // a no-op.
        unsafe {
            (self.inserts.cancel)(self.handle);
            (self.inserts.destroy)(self.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_foreign_library_is_refused_by_name() {
        let missing = Library::load(Path::new("/nonexistent/libchdb.so")).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/libchdb.so"), "{missing}");
        assert!(missing.contains("No such file"), "{missing}");
    }
}
