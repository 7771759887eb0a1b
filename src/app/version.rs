//! The versions that this program is built from.

use std::sync::LazyLock;

use crate::core::calendar::RELEASE;
use crate::embedded::provision::ENGINE_VERSION;
use crate::store::schema_version;
use crate::telemetry::metrics::Build;

/// The commit that it was built from.
const COMMIT: &str = env!("BUILD_COMMIT");

/// The program's version, its commit, the embedded engine's release, and that of the IANA time zone
/// database.
pub(super) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{} (commit {COMMIT}, embedded ClickHouse {ENGINE_VERSION}, time zones {RELEASE})",
            env!("CARGO_PKG_VERSION")
        )
    });
    &VERSION
}

/// The same for the metrics.
pub(super) fn build() -> Build {
    Build {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        engine: ENGINE_VERSION,
        schema: schema_version(),
    }
}
