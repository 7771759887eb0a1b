//! Every integration test, in one binary: linking librdkafka once is slow enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is a failed test")]

mod contract;
mod simulation;
