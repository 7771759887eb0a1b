//! Statements that are always refused, even if external access is allowed: those that write by a
//! GET, and those that would end or block the engine itself.

use super::access::DEFAULT_DATABASE;
use super::items::{Item, is, name_of};
use super::lexer::{Token, Tokens};
use crate::embedded::libchdb::EngineError;

/// First words of statements that only read.
const READING: [&str; 11] = [
    "CHECK", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "FROM", "SELECT", "SHOW", "USE", "VALUES",
    "WITH",
];

/// Refuses a GET of a statement that does not read. The engine refuses it to write; but it takes
/// `SYSTEM STOP MERGES` and `KILL QUERY` for reading, and asks for no leave to define something
/// beside another statement.
///
/// # Errors
///
/// The statement begins with another word, or others stand beside it.
pub(super) fn check_reads(text: &[u8]) -> Result<(), EngineError> {
    let items: Vec<Item<'_>> =
        Tokens::new(text).map(|(token, range)| (token, &text[range])).collect();
    let reads = items
        .first()
        .is_none_or(|first| first.0 == Token::Open || READING.iter().any(|word| is(first, word)));
    if reads && !items.windows(2).any(is_parallel_with) {
        return Ok(());
    }
    Err(EngineError::new(
        164,
        "READONLY",
        "Cannot execute query in readonly mode: a GET only reads, so send it by POST",
    ))
}

/// Refuses a command of the engine's command line, such as `\i FILE`, which no server takes,
/// `input()`, which would wait for the standard input of this process, and to remove the database
/// that every connection begins in.
///
/// # Errors
///
/// There is a backslash outside of quotes; it reads from `input()`; it names that database.
pub(super) fn check_no_commands(text: &[u8]) -> Result<(), EngineError> {
    if Tokens::new(text).any(|(token, _)| token == Token::Symbol(b'\\')) {
        return Err(EngineError::new(
            62,
            "SYNTAX_ERROR",
            "Syntax error: a backslash outside of quotes",
        ));
    }
    let items: Vec<Item<'_>> =
        Tokens::new(text).map(|(token, range)| (token, &text[range])).collect();
    for three in items.windows(3) {
        let reads =
            is(&three[0], "FROM") || is(&three[0], "JOIN") || three[0].0 == Token::Symbol(b',');
        let is_input = name_of(&three[1]).is_some_and(|name| name.eq_ignore_ascii_case("input"));
        if reads && is_input && three[2].1 == b"(" {
            let text = "The embedded engine does not take input(): insert the data as it is, and \
                select from there";
            return Err(EngineError::new(48, "NOT_IMPLEMENTED", text));
        }
    }
    let removes = items
        .first()
        .is_some_and(|first| ["DROP", "DETACH", "RENAME"].iter().any(|word| is(first, word)));
    let of_database = items.get(1).is_some_and(|item| is(item, "DATABASE"));
    let mut named =
        items.iter().skip(2).take(3).filter(|item| !is(item, "IF") && !is(item, "EXISTS"));
    if removes
        && of_database
        && named.next().and_then(name_of).is_some_and(|name| name == DEFAULT_DATABASE)
    {
        let text = format!(
            "The embedded engine cannot be without the database {DEFAULT_DATABASE}: drop its \
            tables instead"
        );
        return Err(EngineError::new(48, "NOT_IMPLEMENTED", &text));
    }
    Ok(())
}

/// Whether another statement begins beside the one before.
pub(super) fn is_parallel_with(pair: &[Item<'_>]) -> bool {
    is(&pair[0], "PARALLEL") && is(&pair[1], "WITH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_begins_with_a_word_that_reads() {
        for text in ["SELECT 1", "(SELECT 1)", "/* a */ with 1 AS x SELECT x", "SHOW TABLES", ""] {
            check_reads(text.as_bytes()).expect(text);
        }
        let beside = "USE system PARALLEL WITH CREATE DATABASE d";
        for text in [
            beside,
            "SYSTEM STOP MERGES",
            "KILL QUERY WHERE 1",
            "SET a = 1",
            "INSERT INTO t VALUES",
            "`SELECT` 1",
        ] {
            assert_eq!(check_reads(text.as_bytes()).expect_err(text).code, 164, "{text}");
        }
    }

    #[test]
    fn what_reads_standard_input_is_refused() {
        for text in [
            "INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV",
            "SELECT 1 FROM t JOIN `INPUT` ('x')",
        ] {
            assert_eq!(check_no_commands(text.as_bytes()).expect_err(text).code, 48, "{text}");
        }
        assert!(check_no_commands(b"INSERT INTO input (a) SELECT 1, input").is_ok());
    }

    #[test]
    fn commands_of_the_command_line_are_refused() {
        assert!(check_no_commands(b"SELECT '\\\\i'").is_ok());
        for text in ["\\i /etc/passwd", "; \\i /etc/passwd", "/* a */\\i x"] {
            assert_eq!(check_no_commands(text.as_bytes()).expect_err(text).code, 62, "{text}");
        }
        for text in [
            "DROP DATABASE default",
            "drop database if exists `default` sync",
            "RENAME DATABASE default TO d",
        ] {
            assert_eq!(check_no_commands(text.as_bytes()).expect_err(text).code, 48, "{text}");
        }
        assert!(check_no_commands(b"DROP DATABASE d; DROP TABLE default").is_ok());
    }
}
