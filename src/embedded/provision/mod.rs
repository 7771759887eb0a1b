//! Fetching what the embedded parts run on, into the user's cache folder: the ClickHouse library from npm, and (for tests)
//! Apache Kafka's jars from Maven.
//!
//! Versions are pinned here, and so are hashes; what does not match is not used, neither when it is fetched nor when it is
//! loaded, and nothing is loaded that somebody else may write to. Package managers do the fetching, with the
//! registries, proxies and credentials that the user has set up for them. A folder appears whole or not at all, also when two
//! processes want it at once.

mod engine;
mod hash;
mod kafka;
mod progress;
mod staging;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

pub use engine::{engine_library, fetch_engine_library};
pub use kafka::kafka_jars;

/// Names another cache folder than `seatmeter` in the user's.
pub const CACHE_DIR_VARIABLE: &str = "SEATMETER_CACHE_DIR";

/// The folder that everything fetched goes to.
///
/// # Errors
///
/// The system names no cache folder, and no environment variable does either.
fn cache_dir() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CACHE_DIR_VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let user = dirs::cache_dir()
        .with_context(|| format!("this user has no cache folder; name one by {CACHE_DIR_VARIABLE}"))?;
    Ok(user.join("seatmeter"))
}
