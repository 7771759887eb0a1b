//! The functions of `libchdb`'s C interface, found by name, and copying what they return.
//!
//! It never runs a statement by itself.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;

use crate::embedded::outcome::{EngineError, LoadError, Output, Summary};

// chdb_connect hands out a pointer to a connection handle, which is itself a pointer.
pub(super) type ConnectionHandle = *mut c_void;
pub(super) type ResultHandle = *mut c_void;
pub(super) type InsertHandle = *mut c_void;
pub(super) type Text = *const c_char;

pub(super) type Connect = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut ConnectionHandle;
pub(super) type CloseConnection = unsafe extern "C" fn(*mut ConnectionHandle);
pub(super) type RunWithParameters = unsafe extern "C" fn(
    ConnectionHandle,
    Text,
    usize,
    Text,
    usize,
    *const Text,
    *const usize,
    *const Text,
    *const usize,
    usize,
) -> *mut c_void;
pub(super) type Fetch = unsafe extern "C" fn(ConnectionHandle, ResultHandle) -> ResultHandle;
pub(super) type Cancel = unsafe extern "C" fn(ConnectionHandle, ResultHandle);
pub(super) type Dispose = unsafe extern "C" fn(*mut c_void);
pub(super) type Message = unsafe extern "C" fn(*mut c_void) -> Text;
pub(super) type Figure = unsafe extern "C" fn(ResultHandle) -> u64;
pub(super) type Length = unsafe extern "C" fn(ResultHandle) -> usize;
pub(super) type Append = unsafe extern "C" fn(InsertHandle, *const c_void, usize) -> c_int;
pub(super) type Finish = unsafe extern "C" fn(InsertHandle) -> ResultHandle;
pub(super) type Version = unsafe extern "C" fn() -> Text;
pub(super) type Switch = unsafe extern "C" fn(c_int);

/// One function pointer for each function that is used, with the signature of chdb.h.
pub(super) struct Symbols {
    /// Since 26.7.
    pub(super) version: Option<Version>,
    /// Since 26.7.
    pub(super) inserts: Option<InsertSymbols>,
    pub(super) set_signal_handlers_enabled: Switch,
    pub(super) connect: Connect,
    pub(super) close_connection: CloseConnection,
    pub(super) query: RunWithParameters,
    pub(super) stream_query: RunWithParameters,
    pub(super) stream_fetch: Fetch,
    pub(super) stream_cancel: Cancel,
    pub(super) destroy_result: Dispose,
    pub(super) result_error: Message,
    pub(super) result_buffer: Message,
    pub(super) result_length: Length,
    pub(super) result_rows: Figure,
    pub(super) result_bytes: Figure,
    pub(super) storage_rows_read: Figure,
    pub(super) storage_bytes_read: Figure,
    pub(super) rows_written: Figure,
    pub(super) bytes_written: Figure,
}

/// The functions of an INSERT whose data is passed in chunks.
pub(super) struct InsertSymbols {
    pub(super) begin: RunWithParameters,
    pub(super) append: Append,
    pub(super) done: Finish,
    pub(super) cancel: Dispose,
    pub(super) error: Message,
    pub(super) destroy: Dispose,
}

impl std::fmt::Debug for InsertSymbols {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InsertSymbols")
    }
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Symbols")
    }
}

/// Finds a function by its name.
fn symbol<T: Copy>(
    library: &libloading::Library,
    path: &Path,
    name: &'static str,
) -> Result<T, LoadError> {
    // SAFETY: every T below is the function pointer type that chdb.h declares for the name.
    let found = unsafe { library.get::<T>(name) };
    found
        .map(|symbol| *symbol)
        .map_err(|_| LoadError::Symbol { path: path.to_owned(), symbol: name })
}

impl Symbols {
    /// Finds every function of the library.
    ///
    /// # Errors
    ///
    /// The first one that it lacks.
    pub(super) fn resolve(
        library: &'static libloading::Library,
        path: &Path,
    ) -> Result<Symbols, LoadError> {
        let version: Option<Version> = symbol(library, path, "chdb_version").ok();
        // A library that tells its version has them all.
        let inserts = version.map(|_| InsertSymbols::resolve(library, path)).transpose()?;
        macro_rules! symbols {
            ($($field:ident = $name:literal),* $(,)?) => {
                Symbols { version, inserts, $($field: symbol(library, path, $name)?),* }
            };
        }
        Ok(symbols! {
            set_signal_handlers_enabled = "chdb_set_signal_handlers_enabled",
            connect = "chdb_connect",
            close_connection = "chdb_close_conn",
            query = "chdb_query_with_params_n",
            stream_query = "chdb_stream_query_with_params_n",
            stream_fetch = "chdb_stream_fetch_result",
            stream_cancel = "chdb_stream_cancel_query",
            destroy_result = "chdb_destroy_query_result",
            result_error = "chdb_result_error",
            result_buffer = "chdb_result_buffer",
            result_length = "chdb_result_length",
            result_rows = "chdb_result_rows_read",
            result_bytes = "chdb_result_bytes_read",
            storage_rows_read = "chdb_result_storage_rows_read",
            storage_bytes_read = "chdb_result_storage_bytes_read",
            rows_written = "chdb_result_rows_written",
            bytes_written = "chdb_result_bytes_written",
        })
    }

    /// Copies a result out of the engine and frees it, so that nothing outlives its connection.
    pub(super) fn take(&self, handle: ResultHandle) -> Result<Output, EngineError> {
        if handle.is_null() {
            return Err(EngineError::new(
                EngineError::UNKNOWN,
                "STD_EXCEPTION",
                "the engine returned no result",
            ));
        }
        // SAFETY: the handle is a live result of this library, used by this thread alone; the
        // buffer is read before the result is destroyed, and the handle is not used afterwards.
        unsafe {
            let outcome =
                match text((self.result_error)(handle)).filter(|message| !message.is_empty()) {
                    Some(message) => Err(EngineError::from_message(message)),
                    None => Ok(self.copy(handle)),
                };
            (self.destroy_result)(handle);
            outcome
        }
    }

    /// # Safety
    ///
    /// `handle` is a live, successful result of this library.
    unsafe fn copy(&self, handle: ResultHandle) -> Output {
        // SAFETY: the buffer holds `length` bytes as long as the result lives.
        let bytes = unsafe {
            let (buffer, length) = ((self.result_buffer)(handle), (self.result_length)(handle));
            if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec()
            }
        };
        // SAFETY: plain accessors of a live result.
        let summary = unsafe {
            Summary {
                read_rows: (self.storage_rows_read)(handle),
                read_bytes: (self.storage_bytes_read)(handle),
                written_rows: (self.rows_written)(handle),
                written_bytes: (self.bytes_written)(handle),
                result_rows: (self.result_rows)(handle),
                result_bytes: (self.result_bytes)(handle),
            }
        };
        Output { bytes, summary }
    }
}

impl InsertSymbols {
    fn resolve(library: &'static libloading::Library, path: &Path) -> Result<Self, LoadError> {
        Ok(InsertSymbols {
            begin: symbol(library, path, "chdb_stream_insert_with_params_n")?,
            append: symbol(library, path, "chdb_stream_append")?,
            done: symbol(library, path, "chdb_stream_done")?,
            cancel: symbol(library, path, "chdb_stream_cancel_insert")?,
            error: symbol(library, path, "chdb_stream_insert_error")?,
            destroy: symbol(library, path, "chdb_destroy_insert_stream")?,
        })
    }
}

/// # Safety
///
/// `pointer` is null or a NUL-terminated string that lives during the call.
pub(super) unsafe fn text(pointer: Text) -> Option<String> {
    // SAFETY: by the contract above.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
