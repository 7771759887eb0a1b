//! Compares what ClickHouse holds with what the log says.
//!
//! ```text
//! log -> fold (lanes without a store) -> expected --+
//!                                                   +-> check -> differences, or agreement
//! ClickHouse ------> merged rows of the tables -----+
//! ```
//!
//! Events are decoded and counted by the core, as a worker does; everything behind that (batches,
//! loads, evictions, flushes, restarts, merges, whatever was done to the tables) is what this
//! module verifies. Workers may go on meanwhile: what the log says up to the progress as it was
//! before the rows were read is their lower bound, and what it says up to the progress as it was
//! after that is their upper bound. A row whose two bounds differ is read again until it is equal
//! once.
//!
//! It never writes, never reads the log itself (the caller hands records over), and never judges
//! rows by other rows of the same tables, but for what a log no longer holds.

pub mod check;
pub mod difference;
pub mod expected;
pub mod fold;
mod hours;
pub mod integrity;
pub mod locate;
mod members;
pub mod prior;
mod rows;
pub mod scope;
pub mod selection;
pub mod value;
