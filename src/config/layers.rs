//! Embedded defaults, then the user's file, then the environment, merged into one document.
//!
//! Environment variables are parsed by the types of the embedded defaults, so that a password of
//! digits stays text. An unknown variable is refused like an unknown key. What is refused is left
//! out, so that the rest can be judged too and all problems are told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile};

use super::nearest::suggestion;
use super::problem::{ConfigError, ConfigProblem};
use super::raw::Raw;

/// The embedded defaults: every option.
pub(super) const DEFAULTS: &str = include_str!("../../config/seatmeter.toml");

const PREFIX: &str = "SEATMETER__";

/// Every variable of the program begins with this.
const NAMESPACE: &str = "SEATMETER_";

/// Options that are lists of tables; their defaults are empty.
const TABLE_LISTS: [&str; 1] = ["webhooks"];

/// Variables that are no options of the configuration.
const OTHER_VARIABLES: [&str; 3] =
    ["SEATMETER_CONFIG", "SEATMETER_ENGINE_PASSWORD", "SEATMETER_CACHE_DIR"];

/// The merged document, and what was refused on the way.
pub(super) struct Layers {
    pub(super) raw: Raw,
    pub(super) problems: Vec<ConfigProblem>,
    /// Sections that have a problem: what is missing there may look wrong.
    pub(super) faulty: BTreeSet<String>,
}

/// Merges the layers.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, ConfigError> {
    let mut layers = Figment::from(Toml::string(DEFAULTS));
    let defaults: Dict =
        layers.extract().map_err(|error| problems("config/seatmeter.toml", error))?;
    let mut sieve = Sieve { defaults: &defaults, problems: Vec::new(), faulty: BTreeSet::new() };
    if let Some(path) = file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigProblem::new(&name, format!(": the configuration file cannot be read: {error}"))
        })?;
        let document: Dict =
            Figment::from(Toml::string(&text)).extract().map_err(|error| problems(&name, error))?;
        layers = layers.merge(Serialized::from(sieve.sift(&name, document), Profile::Default));
    }
    let overrides = sieve.overrides(environment);
    let Sieve { problems: found, faulty, .. } = sieve;
    let raw = layers
        .merge(Serialized::from(overrides, Profile::Default))
        .extract()
        .map_err(|error| problems("configuration", error))?;
    Ok(Layers { raw, problems: found, faulty })
}

/// Keeps what the defaults know, and of the same type.
struct Sieve<'a> {
    defaults: &'a Dict,
    problems: Vec<ConfigProblem>,
    faulty: BTreeSet<String>,
}

impl Sieve<'_> {
    /// The document without what is refused.
    fn sift(&mut self, origin: &str, document: Dict) -> Dict {
        let mut kept = Dict::new();
        for (section, value) in document {
            let defaults = self.defaults.get(&section).and_then(Value::as_dict);
            let (Some(defaults), Value::Dict(tag, options)) = (defaults, value) else {
                let message = match defaults {
                    None => unknown(&section, self.defaults.keys()),
                    Some(_) => ": expected a table of options".to_owned(),
                };
                self.refuse(&section, format!("{origin}: {section}"), message);
                continue;
            };
            let mut sifted = Dict::new();
            for (key, value) in options {
                let judged = match defaults.get(&key) {
                    None => Err(unknown(&key, defaults.keys())),
                    Some(default) => judge_type((&key, default), &value),
                };
                match judged {
                    Ok(()) => drop(sifted.insert(key, value)),
                    Err(message) => {
                        self.refuse(&section, format!("{origin}: {section}.{key}"), message);
                    }
                }
            }
            kept.insert(section, Value::Dict(tag, sifted));
        }
        kept
    }

    /// The document that the environment variables define.
    fn overrides(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<String, Dict> {
        // Sorted, so that errors have a stable order.
        let environment: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        let mut overrides = Overrides::default();
        for (name, value) in &environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(NAMESPACE)) else {
                continue;
            };
            let judged = if name.starts_with(PREFIX) {
                override_one(self.defaults, &mut overrides, name, value)
            } else if OTHER_VARIABLES.contains(&name) || is_service_link(name, value) {
                Ok(())
            } else {
                Err(unknown_variable(self.defaults, name))
            };
            if let Err(message) = judged {
                let section = name[NAMESPACE.len()..].trim_start_matches('_').split('_').next();
                let section = section.unwrap_or_default().to_ascii_lowercase();
                self.refuse(&section, name.to_owned(), message);
            }
        }
        let Overrides { mut options, tables } = overrides;
        for ((section, key), table) in tables {
            options.entry(section).or_default().insert(key, table.into());
        }
        options
    }

    fn refuse(&mut self, section: &str, key: String, message: String) {
        self.faulty.insert(section.to_owned());
        self.problems.push(ConfigProblem::new(key, message));
    }
}

/// True for a variable that Kubernetes or Docker sets for each service whose name begins like the
/// program's.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    parts.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || (parts.last() == Some(&"PORT") && value.to_string_lossy().contains("://"))
        || parts.windows(2).any(|pair| pair[0] == "PORT" && pair[1].parse::<u16>().is_ok())
}

/// Says that a key is unknown, with the nearest of those that exist.
fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let suggestion = suggestion(key, known.map(String::as_str));
    format!(": no such option{suggestion}; `seatmeter check-config --defaults` lists them")
}

/// As [`unknown`], for the name of a variable.
fn unknown_variable(defaults: &Dict, name: &str) -> String {
    let options = defaults.iter().flat_map(|(section, options)| {
        let keys = options.as_dict().into_iter().flat_map(Dict::keys);
        keys.map(move |key| format!("{PREFIX}{section}__{key}").to_ascii_uppercase())
    });
    let known: Vec<String> = options.chain(OTHER_VARIABLES.map(str::to_owned)).collect();
    unknown(name, known.iter())
}

/// What the items of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    Strings,
    Numbers,
    Tables,
}

impl Items {
    /// The items of an option by its default, where that has any.
    fn of(key: &str, defaults: &[Value]) -> Self {
        match defaults.first() {
            Some(Value::Num(..)) => Self::Numbers,
            None if TABLE_LISTS.contains(&key) => Self::Tables,
            _ => Self::Strings,
        }
    }

    fn hold(self, item: &Value) -> bool {
        match self {
            Self::Strings => matches!(item, Value::String(..)),
            Self::Numbers => matches!(item, Value::Num(_, number) if is_whole(number)),
            Self::Tables => matches!(item, Value::Dict(..)),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Numbers => "whole numbers",
            Self::Tables => "tables",
        }
    }
}

/// Judges whether a value is of the type of the default of its option.
fn judge_type((key, default): (&str, &Value), value: &Value) -> Result<(), String> {
    let expected = match (default, value) {
        (Value::String(..), Value::String(..))
        | (Value::Bool(..), Value::Bool(..))
        | (Value::Dict(..), Value::Dict(..)) => return Ok(()),
        (Value::Num(..), Value::Num(_, number)) if is_whole(number) => return Ok(()),
        (Value::Array(_, defaults), Value::Array(_, items)) => {
            let expected = Items::of(key, defaults);
            match items.iter().find(|&item| !expected.hold(item)) {
                None => return Ok(()),
                Some(item) => {
                    let (expected, found) = (expected.as_str(), found(&item.to_actual()));
                    return Err(format!(": expected a list of {expected}, found {found} in it"));
                }
            }
        }
        (Value::Num(..), _) => "a whole number",
        (Value::Bool(..), _) => "true or false",
        (Value::Array(_, defaults), _) => {
            let items = Items::of(key, defaults).as_str();
            return Err(format!(
                ": expected a list of {items}, found {}",
                found(&value.to_actual())
            ));
        }
        (Value::Dict(..), _) => "a table",
        _ => "a string",
    };
    Err(format!(": expected {expected}, found {}", found(&value.to_actual())))
}

fn is_whole(number: &figment::value::Num) -> bool {
    let number = number.to_i128().or_else(|| number.to_u128().and_then(|n| i128::try_from(n).ok()));
    number.is_some_and(|number| i64::try_from(number).is_ok())
}

/// Values from environment variables.
#[derive(Default)]
struct Overrides {
    /// By section.
    options: BTreeMap<String, Dict>,
    /// librdkafka properties, by section and table.
    tables: BTreeMap<(String, String), Dict>,
}

/// Adds one variable.
fn override_one(
    defaults: &Dict,
    overrides: &mut Overrides,
    name: &str,
    value: &OsStr,
) -> Result<(), String> {
    let unknown = || unknown_variable(defaults, name);
    let value = value.to_str().ok_or(": the value is not UTF-8")?;
    let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let [section, key, rest @ ..] = path.as_slice() else { return Err(unknown()) };
    let default = defaults
        .get(section)
        .and_then(Value::as_dict)
        .and_then(|section| section.get(key))
        .ok_or_else(unknown)?;
    match (default, rest) {
        // No librdkafka property that may be set has an underscore in its name. (`log_level` is
        // refused: [log] sets it.)
        (Value::Dict(..), [property]) => {
            let table = overrides.tables.entry((section.clone(), key.clone())).or_default();
            table.insert(property.replace('_', "."), value.into());
        }
        (Value::Dict(..), _) | (_, [_, ..]) => return Err(unknown()),
        (default, []) => {
            let value = typed((key, default), value)?;
            overrides.options.entry(section.clone()).or_default().insert(key.clone(), value);
        }
    }
    Ok(())
}

/// The text of an environment variable, parsed as the type of the default.
fn typed((key, default): (&str, &Value), text: &str) -> Result<Value, String> {
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
        Value::Array(_, defaults) if text.trim_start().starts_with('[') => {
            let items = Items::of(key, defaults).as_str();
            let unlike =
                || format!(": the value starts with `[` but is not a TOML array of {items}");
            let dict: Dict = Figment::from(Toml::string(&format!("list = {text}")))
                .extract()
                .map_err(|_| unlike())?;
            let list = dict.get("list").cloned().ok_or_else(unlike)?;
            judge_type((key, default), &list).map_err(|_| unlike())?;
            Ok(list)
        }
        Value::Array(_, defaults) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| match Items::of(key, defaults) {
                Items::Strings => Ok(Value::from(item)),
                Items::Numbers => item.parse::<i64>().map(Value::from).map_err(|_| {
                    format!(" = {item:?}: expected whole numbers with commas between")
                }),
                Items::Tables => {
                    Err(": expected a TOML array of tables, such as [{ ... }]".to_owned())
                }
            });
            Ok(items.collect::<Result<Vec<_>, _>>()?.into())
        }
        _ => Ok(text.into()),
    }
}

/// The error of figment without the values that it quotes: one of them may be a secret.
fn problems(origin: &str, error: figment::Error) -> ConfigError {
    let problems = error.into_iter().map(|error| problem(origin, &error)).collect();
    ConfigError { problems }
}

fn problem(origin: &str, error: &figment::Error) -> ConfigProblem {
    let key = error.path.join(".");
    let message = match &error.kind {
        Kind::Message(message) if key.is_empty() => format!(": {}", syntax_error(message)),
        Kind::UnknownField(name, known) => {
            format!(": {name}: no such option{}", suggestion(name, known.iter().copied()))
        }
        Kind::MissingField(name) => format!(": {name} is missing"),
        Kind::InvalidType(actual, expected) => {
            let expected = expected.replace("a sequence", "a list");
            format!(": expected {expected}, not {}", found(actual))
        }
        _ => ": not of the form that config/seatmeter.toml shows".to_owned(),
    };
    let key = match origin {
        // Of all layers together.
        "configuration" if !key.is_empty() => key,
        _ if key.is_empty() => origin.to_owned(),
        _ => format!("{origin}: {key}"),
    };
    ConfigProblem::new(key, message)
}

/// A TOML parser's message without the document lines that it quotes.
fn syntax_error(message: &str) -> String {
    let quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
    };
    message.lines().filter(|line| !quoted(line)).map(str::trim).collect::<Vec<_>>().join(": ")
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
