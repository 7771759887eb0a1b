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
use self::check::Check;
pub(super) use self::check::Surroundings;
use super::options::{Audit, Config, Log};
use super::problem::ConfigError;
use super::raw::{Raw, RawAudit, RawLog};

/// The configuration, or all its problems.
pub(super) fn validate(raw: Raw, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let mut check = Check { problems: Vec::new(), surroundings };
    let Raw { kafka, ingest, clickhouse, http, audit, alerts, auth, canary, log } = raw;
    let kafka = check.kafka(kafka);
    let ingest = check.ingest(&ingest, kafka.session_timeout);
    let clickhouse = check.clickhouse(clickhouse);
    let http = check.http(http);
    let audit = check.audit(&audit);
    let alerts = check.alerts(alerts, &kafka.topic);
    let auth = check.auth(auth, http.listen);
    let canary = check.canary(canary);
    let log = check.log(log);
    if check.problems.is_empty() {
        Ok(Config { kafka, ingest, clickhouse, http, audit, alerts, auth, canary, log })
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

    fn log(&mut self, raw: RawLog) -> Log {
        if let Err(error) = EnvFilter::try_new(&raw.filter) {
            self.refuse("log.filter", &raw.filter, error);
        }
        if !matches!(raw.format.as_str(), "text" | "json") {
            self.refuse("log.format", &raw.format, "allowed are text and json");
        }
        Log { filter: raw.filter, json: raw.format == "json" }
    }
}
