//! The parts that let one binary run with nothing installed: an in-process ClickHouse behind HTTP,
//! a mock Kafka cluster, and their provisioning.
//!
//! Nothing here knows about seats or quota; `app` and the tests use these parts in place of real
//! servers.

pub mod clickhouse;
pub mod kafka;
pub mod libchdb;
mod outcome;
mod private;
pub mod provision;
