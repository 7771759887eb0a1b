//! Checks the data of an INSERT in the format Values, whose cells may be expressions: keeps them
//! from reading files.
//!
//! The engine takes a cell that is no literal for SQL. So the data is looked through as it comes,
//! with as much of the lexer's state as strings need; outside of them, what could hide a name
//! (comments, other quotes, letters beyond ASCII, names from parameters) is refused, and so are
//! tables, whose columns a string may [describe](super::structure).

use super::guard::EXTERNAL_FUNCTIONS;
use super::refusals::external;
use crate::embedded::libchdb::EngineError;

/// Longer words are not among the names searched for.
const WORD_BYTES_MAX: usize = 32;

/// Words before a table that is part of an expression.
const TABLE_WORDS: [&str; 2] = ["SELECT", "IN"];

/// The type of a parameter that is a name.
const NAME_TYPE: &[u8] = b"Identifier";

/// Scans data chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct ValuesWatch {
    in_string: bool,
    /// The byte before was a backslash in a string.
    escaped: bool,
    /// The unfinished word at the end of the last chunk.
    word: Vec<u8>,
    last: u8,
}

impl ValuesWatch {
    /// Scans the next chunk.
    ///
    /// # Errors
    ///
    /// The data calls something that reaches outside, or could hide it.
    pub(super) fn look(&mut self, piece: &[u8]) -> Result<(), EngineError> {
        piece.iter().try_for_each(|&byte| self.step(byte))
    }

    fn step(&mut self, byte: u8) -> Result<(), EngineError> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'\'' => self.in_string = false,
                _ => {}
            }
            return Ok(());
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            if self.word.len() < WORD_BYTES_MAX {
                self.word.push(byte);
            }
            self.last = byte;
            return Ok(());
        }
        if let Some(name) = EXTERNAL_FUNCTIONS.iter().find(|name| name.as_bytes() == self.word) {
            return Err(external(name));
        }
        if self.word == NAME_TYPE
            || TABLE_WORDS.iter().any(|word| self.word.eq_ignore_ascii_case(word.as_bytes()))
        {
            return Err(unclear());
        }
        self.word.clear();
        let begins_comment =
            matches!((self.last, byte), (b'/', b'*') | (b'-', b'-')) || byte == b'#';
        self.last = byte;
        match byte {
            b'\'' => self.in_string = true,
            b'"' | b'`' | b'$' | b'\\' | 0x80.. => return Err(unclear()),
            _ if begins_comment => return Err(unclear()),
            _ => {}
        }
        Ok(())
    }
}

fn unclear() -> EngineError {
    let text = "VALUES take strings in single quotes, numbers and plain expressions, but outside \
        of strings no subqueries, no \
                names from parameters, no comments, no other quotes, and no letters beyond ASCII, \
                unless the engine is \
                started with --allow-external";
    EngineError::new(497, "ACCESS_DENIED", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans a text whole, and in chunks of every length.
    fn look(text: &str) -> Result<(), EngineError> {
        let outcome = ValuesWatch::default().look(text.as_bytes());
        for length in 1..8 {
            let mut watch = ValuesWatch::default();
            let pieces = text.as_bytes().chunks(length).try_for_each(|piece| watch.look(piece));
            assert_eq!(pieces, outcome, "{text} in pieces of {length}");
        }
        outcome
    }

    #[test]
    fn literals_and_plain_expressions_pass() {
        for text in [
            "(1, 'it''s', 'file(\\'x\\')'), (-2.5, 'größe /* \" */', NULL)",
            " (now(), [1, 2], {'a': 1}, toDate('2026-01-01') + 1)",
            "(profile, files, 1 - -1)",
            "({a:String}, 'SELECT 1', inf, extract(year FROM now()))",
        ] {
            look(text).expect(text);
        }
    }

    #[test]
    fn files_are_not_read_and_nothing_hides_it() {
        for text in [
            "(1, file('/etc/passwd'))",
            "(arrayMap(file, ['x']))",
            "('a\\'', file ('x'))",
            "('\\\\', file('x'))",
            "(`file`('x'))",
            "(\"f\\x69le\"('x'))",
            "(1 /* ' */, file('x') /* ' */)",
            "(1 -- '\n, file('x'))",
            "(1 # '\n, file('x'))",
            "($$'$$, file('x'))",
            "(arrayMap({f:Identifier}, ['x']))",
            "(arrayMap({f : Identifier }, ['x']))",
            "((select a FROM values('a String ALIAS file(''x'')', 'x')))",
            "('x' IN format('CSV', 'a String DEFAULT file(''x'')', ''))",
            "(\u{2018}'\u{2019}, file('x'))",
        ] {
            assert_eq!(look(text).expect_err(text).code, 497, "{text}");
        }
    }
}
