//! Fetches the dependencies of the embedded parts into the user's cache folder: the ClickHouse
//! library from npm, and (for tests) Apache Kafka's jars from Maven.
//!
//! Versions and hashes are pinned here; a mismatch is refused when fetched and when loaded, and so
//! is a file that another user may write to. Package managers do the fetching, with the registries,
//! proxies and credentials that the user has configured. A folder appears atomically, even if two
//! processes create it at once.

mod engine;
mod hash;
mod kafka;
mod progress;
mod staging;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

pub use engine::{VERSION as ENGINE_VERSION, engine_library, fetch_engine_library};
pub use kafka::kafka_jars;

/// Names another cache folder than `seatmeter` in the user's.
pub const CACHE_DIR_VARIABLE: &str = "SEATMETER_CACHE_DIR";

/// The folder of all fetched files.
///
/// # Errors
///
/// The system names no cache folder, and no environment variable does either.
fn cache_dir() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CACHE_DIR_VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let user = dirs::cache_dir().with_context(|| {
        format!("this user has no cache folder; name one by {CACHE_DIR_VARIABLE}")
    })?;
    Ok(user.join("seatmeter"))
}
