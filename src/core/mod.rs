//! The metering rules as pure code: bytes in, rollup rows out.
//!
//! Nothing here performs I/O, awaits, logs, or reads a clock or the environment; `tests/it/tidy`
//! enforces it. So a replay of the same log prefix yields the same rows, and the simulation runs
//! thousands of histories a second.

pub mod account;
pub mod audit;
pub mod calendar;
pub mod continuity;
pub mod counters;
pub mod decode;
pub mod dedup;
pub mod event;
pub mod id;
pub mod lane;
pub mod load;
pub mod numbered;
pub mod prefetch;
pub mod progress;
pub mod quota;
pub mod rollup;
pub mod row_bytes;
pub mod seats;
pub mod takeover;
pub mod topics;
