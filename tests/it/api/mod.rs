//! The report API over HTTP, on the embedded engine: access, hostile input, entity tags, exports,
//! and days and months that are hard to get right.

mod access;
mod alerts;
mod audit;
mod calendar;
mod can_run;
mod client_limits;
mod contract;
mod exports;
mod freshness;
mod hostile;
mod late;
mod operations;
mod paging;
mod peaks;
mod polling;
mod quota;
mod seats;
mod standings;
pub(crate) mod support;
mod token_access;
mod tokens;
mod usage;
