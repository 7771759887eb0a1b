//! Exact metering of seats and test quota: Kafka in, ClickHouse rollups, reports out.
//!
//! # Code map
//!
//! Data flows one way, and dependencies point one way: `core <- report <- store <- {ingest, http} <- app <- main`.
//!
//! ```text
//! bytes -> decode -> event -> lane (state machine of one partition) -> rollup rows -> ClickHouse -> report SQL -> HTTP
//!          '---------------- core: no I/O, no async, no clock, no logging --------------'
//! ```
//!
//! # The invariant
//!
//! The same prefix of a partition's log always yields the same rows, and every row is a join-semilattice value. So a row
//! that is written twice, late, out of order, or by a stalled former owner changes nothing, and always
//! `committed <= progress <= applied`.

pub mod app;
pub mod config;
pub mod core;
pub mod embedded;
pub mod generate;
pub mod http;
pub mod ingest;
pub mod kafka;
pub mod report;
pub mod store;
pub mod telemetry;
