//! The result of a reader, as text: so that a fold and a store can be compared row by row, with
//! readable differences.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// Rows by key; the key starts with the kind of row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View(BTreeMap<String, String>);

impl View {
    /// Adds a row. Two rows with one key are an error of the caller.
    pub(super) fn insert(&mut self, key: String, value: String) {
        if let Some(other) = self.0.insert(key.clone(), value) {
            panic!("a view holds {key} twice, once as {other}");
        }
    }

    /// The rows, by key.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The rows in which the two differ, a line each; empty where they agree.
    pub(super) fn differences(&self, actual: &Self) -> String {
        let mut lines = String::new();
        for (key, expected) in &self.0 {
            match actual.0.get(key) {
                Some(value) if value == expected => {}
                Some(value) => writeln!(lines, "  {key}: expected {expected}, got {value}")
                    .expect("a string takes all"),
                None => writeln!(lines, "  {key}: expected {expected}, got nothing")
                    .expect("a string takes all"),
            }
        }
        for (key, value) in &actual.0 {
            if !self.0.contains_key(key) {
                writeln!(lines, "  {key}: expected nothing, got {value}")
                    .expect("a string takes all");
            }
        }
        lines
    }
}

/// An optional part of a key or value.
pub(super) fn or_none<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), T::to_string)
}
