//! Parses a request's text: an INSERT followed by data, or a statement without data.
//!
//! The engine takes the data of an INSERT and the name of a format separately from the statement,
//! while a request has them in one text. Removing the `FORMAT` clause and passing the name
//! separately also ensures that this server frames a result by the format that the engine writes.
//! Nothing else of a statement is changed.

use std::ops::Range;

use super::lexer::{Token, Tokens};

/// A text may hold at most this much before the data of an INSERT begins.
pub(super) const HEAD_BYTES_MAX: usize = 1024 * 1024;

/// Kind of a request's text, by its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// More of the text is needed to decide.
    More,
    /// An INSERT whose data begins at `data_at`.
    Insert(Insert),
    /// A statement without data: all of the text belongs to it.
    Alone,
}

/// An INSERT without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insert {
    /// The statement without its `FORMAT` clause.
    pub(super) sql: Vec<u8>,
    /// The format of the data.
    pub(super) format: String,
    /// Offset of the data in the text.
    pub(super) data_at: usize,
}

/// Looks at a text that begins with a statement; `complete` if nothing follows it.
pub(super) fn scan(text: &[u8], complete: bool) -> Scan {
    let mut tokens = Depths::new(text);
    let is_insert = match tokens.next() {
        None if !complete => return Scan::More,
        Some(Item { end, .. }) if end == text.len() && !complete => return Scan::More,
        Some(item) => item.is(text, "INSERT"),
        None => false,
    };
    if !is_insert {
        return Scan::Alone;
    }
    let undecided = if complete { Scan::Alone } else { Scan::More };
    if !skip_target(&mut tokens, text) {
        return undecided;
    }
    while let Some(item) = tokens.next() {
        let cut_off = item.end == text.len() && !complete;
        if item.token == Token::Unterminated || cut_off {
            return undecided;
        }
        if item.depth > 0 || item.token != Token::Word {
            continue;
        }
        if item.is(text, "VALUES") {
            return Scan::Insert(Insert {
                sql: text[..item.start].to_vec(),
                format: "Values".into(),
                data_at: item.end,
            });
        }
        if item.is(text, "FORMAT") {
            return match tokens.next() {
                Some(name) if name.token == Token::Word => {
                    with_format(text, &item, &name, complete)
                }
                Some(_) => Scan::Alone,
                None => undecided,
            };
        }
        if ["SELECT", "WITH", "FROM", "WATCH"].iter().any(|word| item.is(text, word)) {
            return Scan::Alone;
        }
    }
    // An INSERT without a format takes VALUES, whose keyword may be omitted.
    if complete {
        return Scan::Insert(Insert {
            sql: text.to_vec(),
            format: "Values".into(),
            data_at: text.len(),
        });
    }
    Scan::More
}

/// Steps over `[INTO] [TABLE | FUNCTION] [database .] name`, so that a table called `values` or
/// `format` is not taken for a keyword.
fn skip_target(tokens: &mut Depths<'_>, text: &[u8]) -> bool {
    let Some(mut item) = tokens.next() else { return false };
    for keyword in ["INTO", "TABLE", "FUNCTION"] {
        if item.is(text, keyword) {
            match tokens.next() {
                Some(next) => item = next,
                None => return false,
            }
        }
    }
    while tokens.peek_is_dot() {
        tokens.next();
        if tokens.next().is_none() {
            return false;
        }
    }
    true
}

/// Offset of the data after `FORMAT name`: after blanks and at most one line break, as in
/// ClickHouse.
fn with_format(text: &[u8], keyword: &Item, name: &Item, complete: bool) -> Scan {
    let mut data_at = name.end;
    while matches!(text.get(data_at), Some(b' ' | b'\t' | 0x0c)) {
        data_at += 1;
    }
    if text.get(data_at) == Some(&b'\r') {
        data_at += 1;
    }
    match text.get(data_at) {
        Some(b'\n') => data_at += 1,
        // The line break may be the next byte to come.
        None if !complete => return Scan::More,
        _ => {}
    }
    let format = String::from_utf8_lossy(&text[name.start..name.end]).into_owned();
    Scan::Insert(Insert { sql: text[..keyword.start].to_vec(), format, data_at })
}

/// An INSERT that reads its data from a file. `sql` has no `FORMAT` clause, and nothing in `path`
/// has to be quoted.
pub(super) fn from_file(sql: &[u8], format: &str, path: &str) -> Vec<u8> {
    let mut tokens = Depths::new(sql);
    tokens.next();
    skip_target(&mut tokens, sql);
    let settings = tokens.find(|item| item.depth == 0 && item.is(sql, "SETTINGS"));
    let (head, settings) = sql.split_at(settings.map_or(sql.len(), |settings| settings.start));
    // A comment may end the head.
    let source = format!("\nFROM INFILE '{path}' COMPRESSION 'none' ");
    [head, source.as_bytes(), settings, b"\nFORMAT ", format.as_bytes()].concat()
}

/// A statement without data, ready for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alone {
    /// The statement without its `FORMAT` clause.
    pub(super) sql: Vec<u8>,
    /// The format of that clause.
    pub(super) format: Option<String>,
    pub(super) kind: Kind,
    /// Number of statements in the text; 1 is expected.
    pub(super) count: usize,
}

/// Kind of a statement, for running it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A SELECT whose result may be fetched in chunks.
    StreamedSelect,
    /// A SELECT with something around its rows.
    FramedSelect,
    /// Any other statement; it may write.
    Other,
}

/// Removes the `FORMAT` clause from a statement.
pub(super) fn alone(text: &[u8]) -> Alone {
    let items: Vec<Item> = Depths::new(text).collect();
    let is_separator = |item: &Item| item.token == Token::Symbol(b';');
    let count = items.split(is_separator).filter(|statement| !statement.is_empty()).count();
    let clause = format_clause(text, &items);
    let sql = match &clause {
        Some((range, _)) => [&text[..range.start], &text[range.end..]].concat(),
        None => text.to_vec(),
    };
    let starts_select = items.first().is_some_and(|first| {
        first.token == Token::Open
            || ["SELECT", "WITH", "FROM"].iter().any(|word| first.is(text, word))
    });
    // Totals and the brackets of an array surround the rows, so such chunks cannot be joined.
    let is_framed = items.iter().any(|item| {
        ["TOTALS", "extremes", "output_format_json_array_of_rows"]
            .iter()
            .any(|word| item.is(text, word))
    });
    // ClickHouse also takes WITH before an INSERT.
    let is_insert = items.iter().any(|item| item.depth == 0 && item.is(text, "INSERT"));
    let kind = match (starts_select && !is_insert, is_framed) {
        (true, false) => Kind::StreamedSelect,
        (true, true) => Kind::FramedSelect,
        (false, _) => Kind::Other,
    };
    Alone { sql, format: clause.map(|(_, name)| name), kind, count }
}

/// `FORMAT name` outside of all brackets, followed by nothing but `SETTINGS` or the end.
fn format_clause(text: &[u8], items: &[Item]) -> Option<(Range<usize>, String)> {
    let at = items.windows(2).rposition(|pair| {
        pair[0].depth == 0 && pair[0].is(text, "FORMAT") && pair[1].token == Token::Word
    })?;
    let ends = match items.get(at + 2) {
        None => true,
        Some(next) => next.token == Token::Symbol(b';') || next.is(text, "SETTINGS"),
    };
    // In `SELECT 1 AS format settings` or `x.format`, the word is a name.
    let is_name =
        at == 0 || items[at - 1].is(text, "AS") || items[at - 1].token == Token::Symbol(b'.');
    (ends && !is_name).then(|| {
        let name = &items[at + 1];
        (
            items[at].start..name.end,
            String::from_utf8_lossy(&text[name.start..name.end]).into_owned(),
        )
    })
}

/// A token, where it is, and how many brackets are open around it.
#[derive(Clone, Debug)]
struct Item {
    token: Token,
    start: usize,
    end: usize,
    depth: usize,
}

impl Item {
    fn is(&self, text: &[u8], word: &str) -> bool {
        self.token == Token::Word
            && text[self.start..self.end].eq_ignore_ascii_case(word.as_bytes())
    }
}

struct Depths<'text> {
    text: &'text [u8],
    tokens: Tokens<'text>,
    depth: usize,
    at: usize,
}

impl<'text> Depths<'text> {
    fn new(text: &'text [u8]) -> Depths<'text> {
        Depths { text, tokens: Tokens::new(text), depth: 0, at: 0 }
    }

    fn peek_is_dot(&self) -> bool {
        let next = Tokens::new(&self.text[self.at..]).next();
        matches!(next, Some((Token::Symbol(b'.'), _)))
    }
}

impl Iterator for Depths<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let (token, range) = self.tokens.next()?;
        self.at = range.end;
        if token == Token::Close {
            self.depth = self.depth.saturating_sub(1);
        }
        let item = Item { token, start: range.start, end: range.end, depth: self.depth };
        if token == Token::Open {
            self.depth += 1;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a text of statement and data, in every possible way of being cut in two.
    fn check_insert(statement: &str, sql: &str, format: &str, data: &str) {
        let text = [statement, data].concat();
        let expected = Scan::Insert(Insert {
            sql: sql.into(),
            format: format.into(),
            data_at: statement.len(),
        });
        assert_eq!(scan(text.as_bytes(), true), expected, "{text}");
        for cut in 0..text.len() {
            let early = scan(&text.as_bytes()[..cut], false);
            assert!(early == Scan::More || early == expected, "{text}, cut at {cut}: {early:?}");
        }
    }

    fn check_alone(text: &str) {
        assert_eq!(scan(text.as_bytes(), true), Scan::Alone, "{text}");
    }

    #[test]
    fn data_follows_the_format() {
        check_insert(
            "INSERT INTO t(a) FORMAT RowBinary\n",
            "INSERT INTO t(a) ",
            "RowBinary",
            "\n\0FORMAT x",
        );
        check_insert("INSERT INTO t FORMAT CSV\r\n", "INSERT INTO t ", "CSV", "\n1");
        check_insert("insert into d.`t`  format TSV  ", "insert into d.`t`  ", "TSV", "1\t2");
        check_insert(
            "INSERT INTO t SETTINGS a=1 FORMAT TSV\n",
            "INSERT INTO t SETTINGS a=1 ",
            "TSV",
            "1",
        );
    }

    #[test]
    fn data_follows_values() {
        check_insert("INSERT INTO t VALUES", "INSERT INTO t ", "Values", " (1), ('a')");
        check_insert("INSERT INTO t (a, b) VALUES", "INSERT INTO t (a, b) ", "Values", "(1, 2)");
        check_insert(
            "INSERT INTO FUNCTION file('FORMAT', CSV) VALUES",
            "INSERT INTO FUNCTION file('FORMAT', CSV) ",
            "Values",
            "(1)",
        );
    }

    #[test]
    fn names_are_no_keywords() {
        check_insert("INSERT INTO values VALUES", "INSERT INTO values ", "Values", "(1)");
        check_insert(
            "INSERT INTO format.values (values, format) FORMAT CSV\n",
            "INSERT INTO format.values (values, format) ",
            "CSV",
            "1",
        );
        check_insert(
            "INSERT INTO t /* FORMAT CSV */ FORMAT TSV\n",
            "INSERT INTO t /* FORMAT CSV */ ",
            "TSV",
            "1",
        );
    }

    #[test]
    fn a_file_takes_the_place_of_data() {
        for (sql, head, settings) in [
            ("INSERT INTO t (settings)", "INSERT INTO t (settings)", ""),
            ("INSERT INTO d.settings SETTINGS a=1 ", "INSERT INTO d.settings ", "SETTINGS a=1 "),
            ("insert t -- a", "insert t -- a", ""),
            (
                "INSERT INTO FUNCTION null('settings UInt8') settings a = 'x'",
                "INSERT INTO FUNCTION null('settings UInt8') ",
                "settings a = 'x'",
            ),
        ] {
            assert_eq!(
                String::from_utf8(from_file(sql.as_bytes(), "CSV", "/x")).unwrap(),
                format!("{head}\nFROM INFILE '/x' COMPRESSION 'none' {settings}\nFORMAT CSV")
            );
        }
    }

    #[test]
    fn statements_without_data_stand_alone() {
        for text in [
            "INSERT INTO t SELECT 1",
            "INSERT INTO t (a) WITH 1 AS x SELECT x",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "SELECT 1 FORMAT CSV",
            "CREATE TABLE insert (a Int8)",
            "",
            "-- nothing",
        ] {
            check_alone(text);
        }
    }

    #[test]
    fn other_statements_are_known_by_their_first_word() {
        assert_eq!(scan(b"SELECT ", false), Scan::Alone);
        assert_eq!(scan(b"INSER", false), Scan::More);
        assert_eq!(scan(b"  /* INSERT", false), Scan::More);
    }

    fn check_format(text: &str, sql: &str, format: Option<&str>) {
        let found = alone(text.as_bytes());
        assert_eq!(
            (String::from_utf8(found.sql).unwrap().as_str(), found.format.as_deref()),
            (sql, format),
            "{text}"
        );
    }

    #[test]
    fn the_format_clause_is_taken_out() {
        check_format("SELECT 1 FORMAT JSON", "SELECT 1 ", Some("JSON"));
        check_format(
            "SELECT 1 FORMAT JSON SETTINGS max_threads=1",
            "SELECT 1  SETTINGS max_threads=1",
            Some("JSON"),
        );
        check_format("SELECT 1 format Null;", "SELECT 1 ;", Some("Null"));
        check_format(
            "SELECT formatDateTime(now(), 'FORMAT x')",
            "SELECT formatDateTime(now(), 'FORMAT x')",
            None,
        );
    }

    #[test]
    fn names_are_no_format_clause() {
        for text in [
            "SELECT 1 AS format",
            "SELECT 1 AS format SETTINGS max_threads=1",
            "SELECT format FROM t",
            "SELECT x.format y",
            "SELECT (SELECT 1 FORMAT CSV)",
        ] {
            check_format(text, text, None);
        }
    }

    fn check_kind(text: &str, kind: Kind) {
        assert_eq!(alone(text.as_bytes()).kind, kind, "{text}");
    }

    #[test]
    fn only_unframed_selects_stream() {
        check_kind("SELECT 1", Kind::StreamedSelect);
        check_kind("(SELECT 1) UNION ALL SELECT 2", Kind::StreamedSelect);
        check_kind("/* a */ WITH 1 AS insert_me SELECT insert_me", Kind::StreamedSelect);
        check_kind("SELECT a, count() FROM t GROUP BY a WITH TOTALS", Kind::FramedSelect);
        check_kind("SELECT 1 SETTINGS extremes = 1", Kind::FramedSelect);
    }

    #[test]
    fn what_may_write_is_no_select() {
        check_kind("SHOW TABLES", Kind::Other);
        check_kind("INSERT INTO t SELECT 1", Kind::Other);
        check_kind("WITH 1 AS x INSERT INTO t SELECT x", Kind::Other);
    }

    #[test]
    fn statements_are_counted() {
        let count = |text: &str| alone(text.as_bytes()).count;
        assert_eq!(count("SELECT 1; SELECT 2"), 2);
        assert_eq!(count("SELECT ';', 2 ;; -- end"), 1);
        assert_eq!(count(" -- a\n;"), 0);
    }
}
