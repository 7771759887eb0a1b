//! Exact metering of seats and test quota: Kafka in, ClickHouse rollups, reports out.
//!
//! # Code map
//!
//! Data flows one way, and dependencies point one way: `core <- report <- store <- {standing,
//! verify} <- {ingest, http} <- app <- main`.
//!
//! ```text
//! bytes -> decode -> event -> lane (state machine of one partition) -> rollup rows
//!     -> ClickHouse -> report SQL -> HTTP
//!          '---------------- core: no I/O, no async, no clock, no logging --------------'
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`core`] | decodes events and counts them: events, calendar, seats, quota, duplicates, lanes, rollup rows; pure |
//! | [`report`] | parses the parameters of a report, and assembles its answer from rows; pure |
//! | [`config`] | reads options from defaults, file and environment, and validates them |
//! | [`kafka`] | turns what librdkafka reports into causes that an operator can act on; secrets, certificates, ACLs |
//! | [`store`] | the only module that knows ClickHouse: schema, migrations, writes, loads, progress, report queries |
//! | [`standing`] | holds in memory what every organization may still run |
//! | [`ingest`] | consumes the topic: consumer, rebalances, workers that own lanes, flushes, supervision |
//! | [`verify`] | folds the log anew, and compares what ClickHouse holds with it |
//! | [`canary`] | events of an account of its own, what every report must say of them, and asking the API |
//! | [`http`] | serves the report API and the dashboard: routes, access, parameters, cached answers |
//! | [`embedded`] | ClickHouse as a library behind HTTP, librdkafka's mock broker, and fetching what they run on |
//! | [`generate`] | generates realistic usage events from a seed |
//! | [`telemetry`] | every metric, log event and health state by name |
//! | [`app`] | the command line: one file per command, composition, shutdown |
//!
//! # The invariant
//!
//! The same prefix of a partition's log always yields the same rows, and every row is a
//! join-semilattice value. So a row that is written twice, late, out of order, or by a stalled
//! former owner changes nothing, and always `committed <= progress <= applied`.

pub mod alerts;
pub mod app;
pub mod canary;
pub mod config;
pub mod core;
pub mod embedded;
pub mod generate;
pub mod http;
pub mod ingest;
pub mod kafka;
pub mod report;
pub mod standing;
pub mod store;
pub mod telemetry;
pub mod verify;
