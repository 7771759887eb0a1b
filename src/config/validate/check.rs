//! The part that sections share: the list of their problems, and rules of more than one.

use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::config::problem::ConfigProblem;

/// The machine, as far as validation needs it.
pub(in crate::config) struct Surroundings<'a> {
    /// Cores that this process may use.
    pub(in crate::config) cores: usize,
    /// Reads a file that holds a secret.
    pub(in crate::config) read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The sections' problems.
pub(super) struct Check<'a> {
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) surroundings: &'a Surroundings<'a>,
}

impl Check<'_> {
    /// Records a problem; `message` follows the key.
    pub(super) fn problem(&mut self, key: impl Into<String>, message: String) {
        self.problems.push(ConfigProblem::new(key, message));
    }

    /// Records that a value, which is not a secret, is not allowed.
    pub(super) fn refuse(&mut self, key: &str, value: &str, why: impl Display) {
        self.problem(key, format!(" = {value:?}: {why}"));
    }

    pub(super) fn refuse_number(&mut self, key: &str, value: i64, why: &str) {
        self.problem(key, format!(" = {value}: {why}"));
    }

    pub(super) fn integer<T>(&mut self, key: &str, value: i64, allowed: RangeInclusive<T>) -> T
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

    pub(super) fn milliseconds(
        &mut self,
        key: &str,
        value: i64,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.integer(key, value, allowed))
    }

    /// A secret that is given either directly or by a file.
    pub(super) fn secret(
        &mut self,
        key: &str,
        value: String,
        file_key: &str,
        file: &str,
    ) -> String {
        if file.is_empty() {
            return value;
        }
        if !value.is_empty() {
            self.problem(file_key, format!(": {key} is set too; keep one of them"));
        }
        self.secret_file(file_key, file).unwrap_or_default()
    }

    /// True if it is an https URL. Text before `@` or after `?` may be a password, and is not
    /// quoted; `way_out` says where user and password belong.
    pub(super) fn http_url(&mut self, key: &str, text: &str, way_out: &str) -> bool {
        const EXPECTED: &str = "expected http://HOST:PORT or https://HOST:PORT";
        let url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            Ok(_) if !text.contains(['@', '?', '#']) => {
                self.refuse(key, text, EXPECTED);
                return false;
            }
            Ok(_) | Err(_) => {
                self.problem(key, format!(": not a URL; {EXPECTED}"));
                return false;
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(key, format!(": holds a user or a password; {way_out}"));
        } else if url.query().is_some() || url.fragment().is_some() {
            self.problem(key, format!(": must end before `?` and `#`; {way_out}"));
        }
        url.scheme() == "https"
    }

    /// The content of the file without the line end that editors put there.
    pub(super) fn secret_file(&mut self, key: &str, path: &str) -> Option<String> {
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

pub(super) fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
