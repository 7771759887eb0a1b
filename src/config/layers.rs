//! Embedded defaults, then the user's file, then the environment, merged into one document.
//!
//! Environment variables are parsed by the types of the embedded defaults, so that a password of
//! digits stays text. An unknown variable is refused like an unknown key.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile};

use super::raw::Raw;
use super::{ConfigError, Problem};

/// The embedded defaults: every option.
pub(super) const DEFAULTS: &str = include_str!("../../config/seatmeter.toml");

const PREFIX: &str = "SEATMETER__";

/// Merges the layers.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Raw, ConfigError> {
    let mut layers = Figment::from(Toml::string(DEFAULTS));
    let defaults: Dict =
        layers.extract().map_err(|error| problems("config/seatmeter.toml", error))?;
    if let Some(path) = file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::new(&name, format!(": the configuration file cannot be read: {error}"))
        })?;
        layers = layers.merge(Toml::string(&text));
        // First extracted without the environment, so that an error can name the file.
        layers.extract::<Raw>().map_err(|error| problems(&name, error))?;
    }
    let overrides = overrides(&defaults, environment)?;
    layers
        .merge(Serialized::from(overrides, Profile::Default))
        .extract()
        .map_err(|error| problems("environment", error))
}

/// Values from environment variables.
#[derive(Default)]
struct Overrides {
    /// By section.
    options: BTreeMap<String, Dict>,
    /// librdkafka properties, by section and table.
    tables: BTreeMap<(String, String), Dict>,
}

/// The document that the environment variables define.
fn overrides(
    defaults: &Dict,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, Dict>, ConfigError> {
    let mut overrides = Overrides::default();
    let mut problems = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if let Err(message) = override_one(defaults, &mut overrides, name, &value) {
            problems.push(Problem::new(name, message));
        }
    }
    if !problems.is_empty() {
        // Sorted, so that errors have a stable order.
        problems.sort_by(|a, b| a.key.cmp(&b.key));
        return Err(ConfigError { problems });
    }
    let Overrides { mut options, tables } = overrides;
    for ((section, key), table) in tables {
        options.entry(section).or_default().insert(key, table.into());
    }
    Ok(options)
}

/// Adds one variable.
fn override_one(
    defaults: &Dict,
    overrides: &mut Overrides,
    name: &str,
    value: &OsStr,
) -> Result<(), String> {
    const UNKNOWN: &str = ": no such option; `seatmeter check-config --defaults` lists them";
    let value = value.to_str().ok_or(": the value is not UTF-8")?;
    let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let [section, key, rest @ ..] = path.as_slice() else { return Err(UNKNOWN.into()) };
    let default = defaults
        .get(section)
        .and_then(Value::as_dict)
        .and_then(|section| section.get(key))
        .ok_or(UNKNOWN)?;
    match (default, rest) {
        // No librdkafka property that may be set has an underscore in its name. (`log_level` is
        // refused: [log] sets it.)
        (Value::Dict(..), [property]) => {
            let table = overrides.tables.entry((section.clone(), key.clone())).or_default();
            table.insert(property.replace('_', "."), value.into());
        }
        (Value::Dict(..), _) | (_, [_, ..]) => return Err(UNKNOWN.into()),
        (default, []) => {
            let value = typed(default, value)?;
            overrides.options.entry(section.clone()).or_default().insert(key.clone(), value);
        }
    }
    Ok(())
}

/// The text of an environment variable, parsed as the type of the default.
fn typed(default: &Value, text: &str) -> Result<Value, String> {
    match default {
        Value::Num(..) => {
            let number: i64 =
                text.trim().parse().map_err(|_| format!(" = {text:?}: expected a whole number"))?;
            Ok(number.into())
        }
        Value::Bool(..) => {
            let value: bool =
                text.trim().parse().map_err(|_| format!(" = {text:?}: expected true or false"))?;
            Ok(value.into())
        }
        Value::Array(..) if text.trim_start().starts_with('[') => {
            let dict: Dict = Figment::from(Toml::string(&format!("list = {text}")))
                .extract()
                .map_err(|_| ": the value starts with `[` but is not a TOML array of strings")?;
            dict.get("list").cloned().ok_or_else(|| ": expected a TOML array of strings".to_owned())
        }
        Value::Array(..) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(Value::from).collect::<Vec<_>>().into())
        }
        _ => Ok(text.into()),
    }
}

/// The error of figment without the values that it quotes: one of them may be a secret.
fn problems(origin: &str, error: figment::Error) -> ConfigError {
    let problems = error.into_iter().map(|error| problem(origin, &error)).collect();
    ConfigError { problems }
}

fn problem(origin: &str, error: &figment::Error) -> Problem {
    let key = error.path.join(".");
    let (key, message) = match &error.kind {
        // The path ends in the unknown field.
        Kind::UnknownField(_, expected) => {
            (key, format!(": no such option; there are {}", expected.join(", ")))
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            (key, format!(": expected {}, found {}", wanted(expected), found(actual)))
        }
        Kind::Message(message) if key.is_empty() => (key, format!(": {}", syntax_error(message))),
        Kind::MissingField(field) => (key, format!(".{field}: is missing")),
        _ => (key, ": not of the form that config/seatmeter.toml shows".to_owned()),
    };
    let key = if key.is_empty() { origin.to_owned() } else { format!("{origin}: {key}") };
    Problem::new(key, message)
}

/// A TOML parser's message without the document lines that it quotes.
fn syntax_error(message: &str) -> String {
    let quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
    };
    message.lines().filter(|line| !quoted(line)).map(str::trim).collect::<Vec<_>>().join(": ")
}

fn wanted(expected: &str) -> &str {
    match expected {
        "i64" => "a whole number",
        "a sequence" => "a list of strings",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn found(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}
