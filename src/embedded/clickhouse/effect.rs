//! What a statement may do to the data, and until when.
//!
//! A statement's looks never tell that it only reads: that is the engine's to enforce. Whatever is not known to be over with
//! its answer is taken for a statement that goes on for ever.

use super::execute::Statement;
use super::lexer::{Token, Tokens};
use super::request::Parsed;

/// What a statement may do to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: the engine refuses to let it write to a table.
    Reads,
    /// It may write, and has done so when the engine is through with it.
    Ends,
    /// It may write later on, as a mutation or an asynchronous INSERT does.
    Lasts,
}

/// First words of statements that do in the foreground whatever they do. ALTER, DELETE, UPDATE, SYSTEM and OPTIMIZE are not
/// among them on purpose.
const ENDING: [&str; 13] = [
    "CREATE", "DESC", "DESCRIBE", "DROP", "EXISTS", "EXPLAIN", "FROM", "INSERT", "SELECT", "SET", "SHOW", "USE", "WITH",
];

/// Pairs of words in statements that hand their work to others, hold further statements, or make a view that the engine
/// fills from time to time.
const LASTING: [(&str, &str); 4] =
    [("ON", "CLUSTER"), ("PARALLEL", "WITH"), ("REFRESH", "AFTER"), ("REFRESH", "EVERY")];

pub(super) fn effect_of(request: &Parsed, statement: &Statement) -> Effect {
    let (Statement::Alone { sql, .. } | Statement::Insert { sql, .. }) = statement;
    let tokens: Vec<(Token, &[u8])> = Tokens::new(sql).map(|(token, range)| (token, &sql[range])).collect();
    let is = |item: &(Token, &[u8]), word: &str| item.0 == Token::Word && item.1.eq_ignore_ascii_case(word.as_bytes());
    let is_known = tokens.first().is_some_and(|first| {
        // A bracket opens a SELECT.
        first.0 == Token::Open || ENDING.iter().any(|word| is(first, word))
    });
    if !is_known {
        return Effect::Lasts;
    }
    if is_readonly(request) {
        return Effect::Reads;
    }
    let has = |word: &str| tokens.iter().any(|item| is(item, word));
    let is_lasting = |pair: &[(Token, &[u8])]| LASTING.iter().any(|(one, two)| is(&pair[0], one) && is(&pair[1], two));
    let may_be_async = sets_async_insert(request) || (has("INSERT") && has("SETTINGS"));
    if may_be_async || tokens.windows(2).any(is_lasting) { Effect::Lasts } else { Effect::Ends }
}

/// Whether the engine runs no INSERT, and no statement that defines something; it does run `SYSTEM STOP MERGES`.
fn is_readonly(request: &Parsed) -> bool {
    // The last value of a setting counts.
    let value = request.settings.iter().rev().find(|(name, _)| name == "readonly").map(|(_, value)| value.as_str());
    request.readonly || matches!(value, Some("1" | "2"))
}

/// Whether the settings of the request may make an INSERT an asynchronous one.
fn sets_async_insert(request: &Parsed) -> bool {
    request.settings.iter().any(|(name, value)| match name.as_str() {
        "async_insert" => !matches!(value.as_str(), "0" | "false"),
        "profile" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::statement::{Scan, alone, scan};
    use super::*;

    fn effect(settings: &[(&str, &str)], text: &str) -> Effect {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        effect_in(&Parsed { settings, ..Parsed::default() }, text)
    }

    fn effect_in(request: &Parsed, text: &str) -> Effect {
        let statement = match scan(text.as_bytes(), true) {
            Scan::Insert(insert) => {
                let (_, data) = tokio::sync::mpsc::channel(1);
                Statement::Insert { sql: insert.sql, format: insert.format, data }
            }
            _ => {
                let alone = alone(text.as_bytes());
                Statement::Alone { sql: alone.sql, format: String::new(), kind: alone.kind }
            }
        };
        effect_of(request, &statement)
    }

    #[test]
    fn only_what_the_engine_refuses_to_write_with_reads() {
        for text in ["SELECT 1", "INSERT INTO t VALUES (1)", "(SELECT 1 SETTINGS async_insert = 1)"] {
            assert_eq!(effect(&[("readonly", "2")], text), Effect::Reads, "{text}");
            assert_eq!(effect(&[("readonly", "0"), ("readonly", "1")], text), Effect::Reads, "{text}");
            assert_eq!(effect_in(&Parsed { readonly: true, ..Parsed::default() }, text), Effect::Reads, "{text}");
            for settings in [&[("readonly", "0")][..], &[("readonly", "2"), ("readonly", "0")], &[("readonly", "two")]]
            {
                assert_ne!(effect(settings, text), Effect::Reads, "{text} {settings:?}");
            }
        }
        assert_eq!(effect(&[("readonly", "2")], "SYSTEM STOP MERGES"), Effect::Lasts, "the engine runs it");
        assert_eq!(effect(&[], "SELECT 1"), Effect::Ends);
    }

    #[test]
    fn what_is_over_with_its_answer_ends() {
        for text in [
            "INSERT INTO t (a, settings_id) FORMAT RowBinary\n",
            "insert into t values (1)",
            "INSERT INTO t SELECT 1",
            "WITH 1 AS x INSERT INTO t SELECT x",
            "/* a */ CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS index_granularity = 1",
            "CREATE MATERIALIZED VIEW v TO t AS SELECT 1",
            "DROP DATABASE IF EXISTS d SYNC",
            "(SELECT 1) UNION ALL SELECT cluster, 'ON CLUSTER' FROM system.clusters",
            "SELECT 1 SETTINGS async_insert = 1",
            "SHOW TABLES",
        ] {
            assert_eq!(effect(&[("async_insert", "0"), ("max_threads", "1")], text), Effect::Ends, "{text}");
        }
    }

    #[test]
    fn what_may_go_on_or_is_not_known_lasts() {
        for text in [
            "ALTER TABLE t DELETE WHERE a = 1",
            "-- SELECT\nalter table t update a = 1 where 1",
            "DELETE FROM t WHERE 1",
            "UPDATE t SET a = 1 WHERE 1",
            "SYSTEM STOP MERGES",
            "OPTIMIZE TABLE t FINAL",
            "TRUNCATE TABLE t",
            "INSERT INTO t SETTINGS async_insert = 1 VALUES (1)",
            "INSERT INTO t SETTINGS async_insert = 1 FORMAT TSV\n1",
            "WITH 1 AS x INSERT INTO t SELECT x SETTINGS async_insert = 1",
            "DROP TABLE t ON CLUSTER c",
            "CREATE TABLE t (a Int8) ENGINE = Memory PARALLEL WITH ALTER TABLE u DELETE WHERE 1",
            "CREATE MATERIALIZED VIEW v REFRESH EVERY 1 SECOND TO t AS SELECT 1",
            "BACKUP TABLE t TO Disk('d', 'b')",
            "/* /* */ SELECT */ ALTER TABLE t DELETE WHERE 1",
            "/* SELECT 1",
            "`SELECT` 1",
            "",
            "selects",
        ] {
            assert_eq!(effect(&[], text), Effect::Lasts, "{text}");
        }
        for settings in [("async_insert", "1"), ("async_insert", "true"), ("profile", "p")] {
            assert_eq!(effect(&[settings], "INSERT INTO t VALUES (1)"), Effect::Lasts, "{settings:?}");
        }
        assert_eq!(effect(&[("async_insert", "1"), ("async_insert", "0")], "SELECT 1"), Effect::Lasts, "in doubt");
    }
}
