//! ClickHouse without a server: its engine in a process of its own, behind its own HTTP interface.
//!
//! `seatmeter clickhouse` [serves](serve) `libchdb` over HTTP, so that the `clickhouse` crate, curl, Grafana and analysts
//! use it as they use a ClickHouse server. `demo` and the tests start it as a [child process](EngineProcess).
//!
//! Each request stands alone, on a connection of its own. An INSERT is streamed into the engine and acknowledged when it is
//! written; one whose body breaks off is cancelled. A SELECT is streamed out chunk by chunk where its format allows, and in
//! constant memory; with `wait_end_of_query=1`, and in formats that frame the rows (JSON, Parquet, Pretty), it is held whole.
//! A failed statement has ClickHouse's HTTP status, code header and message. A write that the disk refuses ends the process.
//! Beyond what a ClickHouse server has, `/writes` [tells](writes) whether anything may have been written since one asked last.
//!
//! It never keeps sessions, knows one user (`default`), and does no compression: what it does not do, it refuses by name.
//! Whoever may talk to it may read files with its rights (`file()`), so it listens on loopback, or asks for a password.

mod answer;
mod body;
mod effect;
mod execute;
mod framing;
mod handler;
mod lexer;
mod lock;
mod process;
mod request;
mod sentinel;
mod server;
mod statement;
mod writes;

pub use process::{EngineOptions, EngineProcess};
pub use server::{ServeOptions, serve};
