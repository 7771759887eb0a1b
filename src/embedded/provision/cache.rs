//! The folder of all fetched files.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Names another cache folder than `seatmeter` in the user's.
pub const CACHE_DIR_VARIABLE: &str = "SEATMETER_CACHE_DIR";

/// The folder of all fetched files.
///
/// # Errors
///
/// The system names no cache folder, and no environment variable does either.
pub(super) fn cache_dir() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(CACHE_DIR_VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let user = dirs::cache_dir().with_context(|| {
        format!("this user has no cache folder; name one by {CACHE_DIR_VARIABLE}")
    })?;
    Ok(user.join("seatmeter"))
}
