//! The report API over HTTP, on the embedded engine: access, hostile input, entity tags, exports, and the days and
//! months that break others.

mod access;
mod calendar;
mod contract;
mod doors;
mod exports;
mod freshness;
mod hostile;
mod late;
mod operations;
mod paging;
mod polling;
mod seats;
pub(crate) mod support;
