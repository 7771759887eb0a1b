//! Configuration: files and environment, parsed and validated into a form that cannot be wrong.
//!
//! Three steps, each in its file: `layers` merges the embedded defaults, the user's file and the
//! environment into [`raw::Raw`], which refuses unknown keys; `validate` turns that into a
//! [`Config`] and collects every problem on the way; `show` prints a [`Config`] with its secrets
//! masked. Nothing here opens a connection, and no secret is ever part of an error or of `Debug`.

mod layers;
mod listen;
mod nearest;
mod options;
mod problem;
mod properties;
mod raw;
mod show;
mod token;
mod validate;

use std::ffi::OsString;
use std::path::Path;

pub use self::listen::listen_address;
pub use self::options::{
    Alerts, Audit, Auth, AuthMode, Canary, ClickHouse, Config, Http, Ingest, Jwt, Kafka, Log,
    LogFormat, Telemetry, Webhook,
};
pub use self::problem::{ConfigError, ConfigProblem};
pub use self::properties::is_secret as is_secret_property;
pub use self::show::MASK;
pub use self::token::{AuthorizationServer, TokenSource, UnsecuredToken};
pub(crate) use self::validate::HS256_SECRET_BYTES_MIN;

/// `config/seatmeter.toml`: every option with its default and a comment.
pub const DEFAULTS: &str = layers::DEFAULTS;

/// Layers the embedded defaults, the file and the environment (variables that start with
/// `SEATMETER_`; others are ignored), reads the files that hold secrets, and validates it all.
///
/// # Errors
///
/// Every problem found, each with the key, its value where that is no secret, and what is allowed.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let layers::Layers { raw, mut problems, faulty } = layers::read(file, environment)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let surroundings =
        validate::Surroundings { cores, read_file: &|path: &Path| std::fs::read_to_string(path) };
    match validate::validate(raw, &surroundings) {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(ConfigError { problems }),
        Err(error) => {
            let section =
                |problem: &ConfigProblem| problem.key.split('.').next().map(str::to_owned);
            let is_sound = |problem: &ConfigProblem| {
                section(problem).is_none_or(|name| !faulty.contains(&name))
            };
            problems.extend(error.problems.into_iter().filter(is_sound));
            Err(ConfigError { problems })
        }
    }
}
