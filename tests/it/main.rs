//! Every integration test, in one binary: linking librdkafka once is slow enough.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an error fails by panicking, in its support code too"
)]

mod alerts;
mod api;
mod canary;
mod cli;
mod clients;
mod config;
mod contract;
mod counting;
mod dashboard;
mod demo;
mod documents;
mod embedded;
mod end_to_end;
mod faults;
mod integrity;
mod kafka_access;
mod mutations;
mod operator;
mod produce;
mod recipes;
mod scenarios;
mod schema;
mod security;
mod shards;
mod simulation;
mod store;
mod support;
mod telemetry;
mod tidy;
mod upgrade;
mod verify;
mod zone_data;
