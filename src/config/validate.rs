//! Validates a [`Raw`] document and builds the [`Config`]; collects every problem instead of
//! stopping at the first.
//!
//! Pure except for the given [`Surroundings`], so that every rule can be tested without a file. A
//! file for each section.

mod auth;
mod clickhouse;
mod http;
mod ingest;
mod kafka;
mod token_source;

use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

pub(crate) use self::auth::HS256_SECRET_BYTES_MIN;
use super::raw::{Raw, RawLog};
use super::{Config, ConfigError, Log, Problem};

/// What validation needs from the machine.
pub(super) struct Surroundings<'a> {
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// Reads a file that holds a secret.
    pub(super) read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The configuration, or all its problems.
pub(super) fn validate(raw: Raw, surroundings: &Surroundings<'_>) -> Result<Config, ConfigError> {
    let mut check = Check { problems: Vec::new(), surroundings };
    let Raw { kafka, ingest, clickhouse, http, auth, log } = raw;
    let kafka = check.kafka(kafka);
    let ingest = check.ingest(&ingest, kafka.session_timeout);
    let clickhouse = check.clickhouse(clickhouse);
    let http = check.http(http);
    let auth = check.auth(auth, http.listen);
    let log = check.log(log);
    if check.problems.is_empty() {
        Ok(Config { kafka, ingest, clickhouse, http, auth, log })
    } else {
        Err(ConfigError { problems: check.problems })
    }
}

struct Check<'a> {
    problems: Vec<Problem>,
    surroundings: &'a Surroundings<'a>,
}

/// One method per section. If a value is wrong, the problem is recorded and an allowed value is
/// used in its place, so that the rest can be validated; no [`Config`] is built then.
impl Check<'_> {
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

/// Shared by the sections.
impl Check<'_> {
    /// Records a problem; `message` follows the key.
    fn problem(&mut self, key: impl Into<String>, message: String) {
        self.problems.push(Problem::new(key, message));
    }

    /// Records that a value, which is not a secret, is not allowed.
    fn refuse(&mut self, key: &str, value: &str, why: impl Display) {
        self.problem(key, format!(" = {value:?}: {why}"));
    }

    fn refuse_number(&mut self, key: &str, value: i64, why: &str) {
        self.problem(key, format!(" = {value}: {why}"));
    }

    fn integer<T>(&mut self, key: &str, value: i64, allowed: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        match T::try_from(value) {
            Ok(value) if allowed.contains(&value) => value,
            _ => {
                self.refuse_number(
                    key,
                    value,
                    &format!("allowed are {} to {}", allowed.start(), allowed.end()),
                );
                *allowed.start()
            }
        }
    }

    fn milliseconds(&mut self, key: &str, value: i64, allowed: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.integer(key, value, allowed))
    }

    /// A secret that is given either directly or by a file.
    fn secret(&mut self, key: &str, value: String, file_key: &str, file: &str) -> String {
        if file.is_empty() {
            return value;
        }
        if !value.is_empty() {
            self.problem(file_key, format!(": {key} is set too; keep one of them"));
        }
        self.secret_file(file_key, file).unwrap_or_default()
    }

    /// The content of the file without the line end that editors put there.
    fn secret_file(&mut self, key: &str, path: &str) -> Option<String> {
        match (self.surroundings.read_file)(Path::new(path)) {
            Ok(content) => Some(
                content
                    .strip_suffix('\n')
                    .map_or(&*content, |line| line.strip_suffix('\r').unwrap_or(line))
                    .to_owned(),
            ),
            Err(error) => {
                self.refuse(key, path, format!("the file cannot be read: {error}"));
                None
            }
        }
    }
}

fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
