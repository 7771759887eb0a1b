//! The process's recorder of metrics, and what every process records.

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::names::BUILD_INFO;
use super::process;
use crate::core::calendar::RELEASE;

/// Upper bounds of the duration histograms, seconds.
const DURATION_BOUNDS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Versions of the program and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// The program's version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The release of the embedded engine.
    pub engine: &'static str,
    /// The version of the ClickHouse schema that the program knows.
    pub schema: u32,
}

/// Installs the recorder. Fails if one is installed.
pub(super) fn install(build: Build) -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &DURATION_BOUNDS)?
        .install_recorder()?;
    process::describe();
    describe_gauge!(BUILD_INFO, "Always 1; its labels are what the program is built from");
    let Build { version, commit, engine, schema } = build;
    gauge!(
        BUILD_INFO,
        "version" => version, "commit" => commit, "engine" => engine, "timezones" => RELEASE,
        "schema" => schema.to_string()
    )
    .set(1.0);
    Ok(handle)
}
