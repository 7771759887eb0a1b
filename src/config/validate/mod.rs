//! Validates a [`Raw`] document and builds the [`Config`]; collects every problem instead of
//! stopping at the first.
//!
//! Pure except for the given [`Surroundings`], so that every rule can be tested without a file. A
//! file for each section.

mod alerts;
mod auth;
mod canary;
mod check;
mod clickhouse;
mod http;
mod ingest;
mod kafka;
mod token_source;

use tracing_subscriber::EnvFilter;

pub(crate) use self::auth::HS256_SECRET_BYTES_MIN;
pub(super) use self::check::Surroundings;
use self::check::{Check, unless_empty};
use super::options::{Audit, Config, Log, LogFormat, Telemetry};
use super::problem::ConfigError;
use super::raw::{Raw, RawAudit, RawLog, RawTelemetry};

/// The configuration, or all its problems.
pub(super) fn validate(raw: Raw, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let mut check = Check { problems: Vec::new(), surroundings };
    let Raw { kafka, ingest, clickhouse, http, audit, alerts, auth, canary, log, telemetry } = raw;
    let kafka = check.kafka(kafka);
    let ingest = check.ingest(&ingest, kafka.session_timeout);
    let clickhouse = check.clickhouse(clickhouse);
    let http = check.http(http);
    let audit = check.audit(&audit);
    let alerts = check.alerts(alerts, &kafka.topic);
    let auth = check.auth(auth, http.listen);
    let canary = check.canary(canary);
    let log = check.log(log);
    let telemetry = check.telemetry(telemetry);
    if check.problems.is_empty() {
        Ok(Config { kafka, ingest, clickhouse, http, audit, alerts, auth, canary, log, telemetry })
    } else {
        Err(ConfigError { problems: check.problems })
    }
}

/// One method per section. If a value is wrong, the problem is recorded and an allowed value is
/// used in its place, so that the rest can be validated; no [`Config`] is built then.
impl Check<'_> {
    fn audit(&mut self, raw: &RawAudit) -> Audit {
        const KEY: &str = "audit.interval_ms";
        let interval = match raw.interval_ms {
            0 => None,
            interval_ms => Some(self.milliseconds(KEY, interval_ms, 1_000..=86_400_000)),
        };
        Audit { interval }
    }

    fn telemetry(&mut self, raw: RawTelemetry) -> Telemetry {
        const KEY: &str = "telemetry.otlp_interval_ms";
        let otlp_interval = self.milliseconds(KEY, raw.otlp_interval_ms, 1_000..=3_600_000);
        let otlp_endpoint = unless_empty(raw.otlp_endpoint);
        if let Some(endpoint) = &otlp_endpoint {
            let way_out = "let a collector on this machine send it on";
            self.http_url("telemetry.otlp_endpoint", endpoint, way_out);
        }
        Telemetry { otlp_endpoint, otlp_interval }
    }

    fn log(&mut self, raw: RawLog) -> Log {
        if let Err(error) = EnvFilter::try_new(&raw.filter) {
            self.refuse("log.filter", &raw.filter, error);
        }
        let formats = [LogFormat::Auto, LogFormat::Text, LogFormat::Json];
        let format = formats.into_iter().find(|format| format.as_str() == raw.format);
        let format = format.unwrap_or_else(|| {
            self.refuse("log.format", &raw.format, "allowed are auto, text and json");
            LogFormat::Auto
        });
        Log { filter: raw.filter, format }
    }
}
