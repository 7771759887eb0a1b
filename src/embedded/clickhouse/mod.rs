//! ClickHouse without a server: its engine in a separate process, behind ClickHouse's HTTP
//! interface.
//!
//! `seatmeter clickhouse` [serves](serve) `libchdb` over HTTP, so that the `clickhouse` crate,
//! curl, Grafana and analysts use it as they use a ClickHouse server. `demo` and the tests start it
//! as a [child process](EngineProcess).
//!
//! Each request is independent, on a connection that no other uses meanwhile, unless it names a
//! session. An INSERT is
//! streamed into the engine and acknowledged when it is written; an INSERT whose body breaks off is
//! cancelled. A SELECT is streamed out chunk by chunk where its format allows, and in constant
//! memory; with `wait_end_of_query=1`, and in formats that frame the rows (JSON, Parquet, Pretty),
//! it is buffered whole. A failed statement has ClickHouse's HTTP status, code header and message,
//! and reaches a client that is still sending. A failed write to the disk ends the process.
//!
//! Sessions keep settings, the current database and temporary tables between requests. Bodies may
//! be packed, by HTTP or in ClickHouse's own way (`compress=1`, `decompress=1`). There is one user
//! (`default`); unsupported features are refused by name.
//!
//! Whoever asks shows a password, and is no web page of somebody else. A GET only reads. What
//! reaches files, programs or other hosts (`file()`, `url()`, `INTO OUTFILE`) is off, so that even
//! a password that got out gives nobody the rights of this process: by the engine's own access
//! control, by a guard for what escapes that, and by the system, where it can confine the process
//! to its data folder.

mod access;
mod answer;
mod body;
mod commands;
mod confine;
mod connections;
mod door;
mod effect;
mod encoding;
mod engine;
mod execute;
mod frames;
mod framing;
mod guard;
mod handler;
mod harmless;
mod idle;
mod insertion;
mod items;
mod lexer;
mod linger;
mod lock;
mod native;
mod password;
mod place;
mod process;
mod refusals;
mod request;
mod sentinel;
mod server;
mod sessions;
mod settings;
mod statement;
mod structure;
mod unpack;
mod values;

pub use lock::{DataDirLock, Use};
pub use process::{EngineOptions, EngineProcess, PASSWORD_VARIABLE};
pub use server::{ServeOptions, serve};
