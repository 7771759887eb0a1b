//! Changes that a statement leaves in its session.

use super::items::{Item, is};
use super::lexer::{Token, Tokens};
use super::statement::Kind;
use crate::embedded::libchdb::EngineError;

/// State of the session that a statement changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Settings, roles or parameters: `SET`.
    Settings,
    /// The current database: `USE`.
    Database,
    /// Temporary tables or views.
    Tables,
}

impl Effect {
    /// The effect of a statement, by its first words.
    pub(super) fn of(text: &[u8]) -> Effect {
        let words: Vec<Item<'_>> = Tokens::new(text)
            .map(|(token, range)| (token, &text[range]))
            .filter(|(token, _)| *token != Token::Symbol(b';'))
            .take(4)
            .collect();
        let Some((first, rest)) = words.split_first() else { return Effect::Nothing };
        let begins_with = |names: &[&str]| names.iter().any(|name| is(first, name));
        if begins_with(&["SET"]) {
            return Effect::Settings;
        }
        if begins_with(&["USE"]) {
            return Effect::Database;
        }
        let is_temporary = rest.iter().any(|word| is(word, "TEMPORARY"));
        if begins_with(&["CREATE", "REPLACE", "ATTACH"]) && is_temporary {
            return Effect::Tables;
        }
        Effect::Nothing
    }
}

/// First words of statements that only read, and may end with settings, beside a SELECT.
const READING: [&str; 6] = ["CHECK", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "SHOW"];

/// A statement of a request that only reads, so that the engine holds it to that.
///
/// # Errors
///
/// It is not known to read: settings at its end might be those of a part of it.
pub(super) fn reading_only(text: &[u8], kind: Kind) -> Result<Vec<u8>, EngineError> {
    let mut tokens =
        Tokens::new(text).filter(|(token, _)| *token != Token::Symbol(b';')).peekable();
    let first = tokens.peek().map(|(token, range)| (*token, &text[range.clone()]));
    let reads = first.is_some_and(|first| READING.iter().any(|word| is(&first, word)));
    if kind == Kind::Other && !reads {
        let text = "Cannot execute query in readonly mode: send it by POST, without readonly";
        return Err(EngineError::new(164, "READONLY", text));
    }
    let end = tokens.map(|(_, range)| range.end).last().unwrap_or(0);
    Ok([&text[..end], b"\nSETTINGS readonly = 2"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell_what_is_left_behind() {
        for (text, effect) in [
            ("SET max_threads = 1", Effect::Settings),
            ("/* a */ set param_x = 1", Effect::Settings),
            ("; SET a = 1", Effect::Settings),
            ("USE d", Effect::Database),
            ("CREATE TEMPORARY TABLE t (a Int8)", Effect::Tables),
            ("create or replace temporary table t (a Int8)", Effect::Tables),
            ("SELECT 'SET'", Effect::Nothing),
            ("CREATE TABLE temporary (a Int8)", Effect::Tables),
            ("CREATE TABLE IF NOT EXISTS t (a Int8)", Effect::Nothing),
            ("INSERT INTO t VALUES", Effect::Nothing),
            ("", Effect::Nothing),
        ] {
            assert_eq!(Effect::of(text.as_bytes()), effect, "{text}");
        }
    }

    #[test]
    fn the_setting_follows_the_last_word() {
        let select = Kind::StreamedSelect;
        for (text, kind, expected) in [
            ("SELECT 1;", select, "SELECT 1\nSETTINGS readonly = 2"),
            ("SELECT 1 -- a", select, "SELECT 1\nSETTINGS readonly = 2"),
            ("SHOW TABLES", Kind::Other, "SHOW TABLES\nSETTINGS readonly = 2"),
        ] {
            let sql = reading_only(text.as_bytes(), kind).unwrap();
            assert_eq!(sql, expected.as_bytes(), "{text}");
        }
        for text in ["WITH 1 AS x INSERT INTO t SELECT x", "DROP TABLE t", ""] {
            assert_eq!(reading_only(text.as_bytes(), Kind::Other).unwrap_err().code, 164, "{text}");
        }
    }
}
