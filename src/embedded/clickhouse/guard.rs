//! Keeps statements from reaching files, programs and other hosts where the engine's own [access
//! control](super::access) does not.
//!
//! The access control does not cover: what the engine's client does by itself (`INTO OUTFILE`,
//! `FROM INFILE`, `\i`), functions and table engines that it asks no right for (`file(...)`,
//! `Executable`), disks that a statement defines, settings of subqueries, and whatever stands
//! beside another statement (`PARALLEL WITH`). They are looked for in the tokens of a statement, so
//! quoting, case and comments hide nothing; where the engine might see other tokens than this
//! lexer, the statement is refused. So are names and expressions that come from a parameter or a
//! [string](super::structure). Table functions and engines that are not known to be harmless are
//! refused by their name, as the engine lists them.

use std::collections::BTreeSet;

use super::access::FIXED_SETTINGS;
use super::commands::is_parallel_with;
use super::engine::Engine;
use super::harmless;
use super::items::{Item, is, is_string, name_of};
use super::lexer::{Token, Tokens};
use super::refusals::external;
use super::structure;
use crate::embedded::libchdb::EngineError;

/// Functions that read files or run programs and that need no right. Their names work without
/// brackets too: `arrayMap(file, ...)`, `* APPLY file`.
pub(super) const EXTERNAL_FUNCTIONS: [&str; 2] = ["file", "catboostEvaluate"];

/// The refused names.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Table functions, in lower case.
    functions: BTreeSet<String>,
    /// Engines of tables and databases, in lower case.
    engines: BTreeSet<String>,
}

impl Guard {
    /// Reads the lists of table functions and engines from the engine.
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub(super) fn of(engine: &Engine) -> Result<Guard, EngineError> {
        let mut connection = engine.connect()?;
        Ok(Guard {
            functions: harmless::other_functions(&mut connection)?,
            engines: harmless::other_engines(&mut connection)?,
        })
    }

    /// Refuses a statement that reaches outside; `parameters` are the values of its placeholders.
    ///
    /// # Errors
    ///
    /// The name that reaches outside and how to allow it; or that the text cannot be judged.
    pub(super) fn check(
        &self,
        text: &[u8],
        parameters: &[(String, String)],
    ) -> Result<(), EngineError> {
        let items: Vec<Item<'_>> =
            Tokens::new(text).map(|(token, range)| (token, &text[range])).collect();
        refuse_unclear(&items)?;
        refuse_names(&items, parameters)?;
        let is_definition = is_definition(&items);
        let mut defined =
            items.iter().skip(1).filter(|item| !is(item, "OR") && !is(item, "REPLACE"));
        if is_definition && defined.next().is_some_and(|item| is(item, "DICTIONARY")) {
            return Err(external("A dictionary"));
        }
        let attaches = items.windows(2).any(|pair| {
            is(&pair[0], "ATTACH") && !is(&pair[1], "PART") && !is(&pair[1], "PARTITION")
        });
        for (at, item) in items.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| &items[at]);
            let next = items.get(at + 1);
            let is_call = next.is_some_and(|next| next.0 == Token::Open && next.1 == b"(");
            let starts = before.is_none_or(|before| before.0 == Token::Symbol(b';'));
            if is(item, "OUTFILE")
                || is(item, "INFILE")
                || (starts && (is(item, "BACKUP") || is(item, "RESTORE")))
            {
                return Err(external(&String::from_utf8_lossy(item.1)));
            }
            if attaches && is(item, "FROM") && next.is_some_and(is_string) {
                return Err(external("ATTACH ... FROM"));
            }
            if is(item, "ENGINE") {
                self.check_engine(&items[at + 1..])?;
            }
            let Some(name) = name_of(item) else { continue };
            if is_qualified(&items[..at]) {
                continue;
            }
            // A setting that is switched on needs no value. A column may be called `dialect`, which
            // means nothing in a subquery.
            let is_fixed = name != "dialect" && FIXED_SETTINGS.contains(&name.as_ref());
            if is_fixed || EXTERNAL_FUNCTIONS.contains(&name.as_ref()) {
                return Err(external(&name));
            }
            let name = name.to_lowercase();
            let defines = before.is_some_and(|before| {
                is(before, "INTO")
                    || (is_definition
                        && ["TABLE", "EXISTS", "VIEW"].iter().any(|word| is(before, word)))
            });
            if !is_call || defines {
                continue;
            }
            if name == "disk" || self.functions.contains(&name) {
                return Err(external(&String::from_utf8_lossy(item.1)));
            }
            for columns in structure::of_call(&name, &items[at + 2..])? {
                self.check(&columns, &[])?;
            }
        }
        Ok(())
    }

    /// The name after the word `ENGINE`, with or without an equals sign.
    fn check_engine(&self, rest: &[Item<'_>]) -> Result<(), EngineError> {
        let rest = if rest.first().is_some_and(|item| item.0 == Token::Symbol(b'=')) {
            &rest[1..]
        } else {
            rest
        };
        match rest.first().and_then(name_of) {
            Some(name) if self.engines.contains(&name.to_lowercase()) => {
                Err(external(&format!("ENGINE = {name}")))
            }
            _ => Ok(()),
        }
    }
}

/// Adds the way out to a refusal by the engine.
pub(super) fn explained(mut error: EngineError) -> EngineError {
    let is_of_access = error.code == 497 || error.code == 452;
    if is_of_access && !error.message.contains("--allow-external") {
        error.message.push_str(
            " (what may reach files, programs or other hosts is off; start the engine with \
            --allow-external to allow it)",
        );
    }
    error
}

/// Refuses a text whose tokens the engine may see differently: it reads some non-ASCII letters as
/// blanks and quotes, and other texts between dollar signs as strings.
fn refuse_unclear(items: &[Item<'_>]) -> Result<(), EngineError> {
    for (token, text) in items {
        let reason = match token {
            Token::Unterminated => "a quote or comment does not end",
            Token::Word if !text.is_ascii() => "letters beyond ASCII stand outside of quotes",
            Token::Word if text.contains(&b'$') => "a dollar sign stands outside of quotes",
            _ => continue,
        };
        return Err(EngineError::new(62, "SYNTAX_ERROR", &format!("Syntax error: {reason}")));
    }
    Ok(())
}

/// Whether a statement may define something.
fn is_definition(items: &[Item<'_>]) -> bool {
    items
        .first()
        .is_some_and(|first| ["CREATE", "ATTACH", "REPLACE"].iter().any(|word| is(first, word)))
}

/// Refuses names that the text does not show: functions that a parameter names, and statements
/// beside the first one, which the engine runs past its access control.
fn refuse_names(items: &[Item<'_>], parameters: &[(String, String)]) -> Result<(), EngineError> {
    if items.windows(2).any(is_parallel_with) {
        return Err(external("PARALLEL WITH"));
    }
    // A view is given its parameters by whoever reads it, in a string.
    let is_view = is_definition(items) && items.iter().any(|item| is(item, "VIEW"));
    for placeholder in items.windows(4) {
        let [(Token::Open, b"{"), name, (Token::Symbol(b':'), _), kind] = placeholder else {
            continue;
        };
        if !is(kind, "Identifier") {
            continue;
        }
        let values = || parameters.iter().filter(|(parameter, _)| parameter.as_bytes() == name.1);
        let is_open = is_view || values().count() == 0;
        if is_open || values().any(|(_, value)| EXTERNAL_FUNCTIONS.contains(&value.as_str())) {
            return Err(external(&format!("{{{}:Identifier}}", String::from_utf8_lossy(name.1))));
        }
    }
    Ok(())
}

/// Whether what follows belongs to a name, as `file` in `t.file`. The dot of `1.` belongs to a
/// number.
fn is_qualified(before: &[Item<'_>]) -> bool {
    let [.., owner, (Token::Symbol(b'.'), _)] = before else { return false };
    match owner.0 {
        Token::Word => !owner.1.first().is_some_and(u8::is_ascii_digit),
        Token::Quoted | Token::Close => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Guard {
            functions: names(&["file", "url", "executable", "s3"]),
            engines: names(&["executable", "filelog", "queryrunner", "sqlite"]),
        }
    }

    fn check_refused(text: &str, part: &str) {
        let error = guard().check(text.as_bytes(), &[]).expect_err(text);
        assert!(error.code == 497 && error.message.contains("--allow-external"), "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }

    #[test]
    fn functions_that_reach_outside_are_refused_by_name() {
        for (text, part) in [
            ("SELECT * FROM url('http://x')", "url"),
            ("select * from /* a */ URL /* b */ ('http://x')", "URL"),
            ("SELECT * FROM numbers(1), `s3`('x')", "s3"),
            ("SELECT (SELECT 1 FROM \"url\" ('x'))", "url"),
            ("INSERT INTO FUNCTION url('x') SELECT 1", "url"),
            ("INSERT INTO TABLE FUNCTION executable('x') SELECT 1", "executable"),
            ("DESCRIBE TABLE url('x')", "url"),
            ("CREATE TABLE t AS url('x')", "url"),
            ("CREATE VIEW v AS SELECT * FROM executable('x')", "executable"),
            ("EXPLAIN SELECT * FROM url('x')", "url"),
            ("SELECT file('/etc/passwd')", "file"),
            ("SELECT `f\\x69le`('/etc/passwd')", "file"),
            ("SELECT `fi\\Nle`('/etc/passwd')", "file"),
            ("SELECT arrayMap(file, ['/etc/passwd'])", "file"),
            ("SELECT * APPLY \"file\" FROM t", "file"),
            ("CREATE FUNCTION f AS x -> file(x)", "file"),
            ("SELECT TOP 1. file('/etc/passwd')", "file"),
            ("SELECT catboostEvaluate('m', 1)", "catboostEvaluate"),
        ] {
            check_refused(text, part);
        }
    }

    #[test]
    fn statements_that_reach_outside_are_refused_by_name() {
        for (text, part) in [
            ("SELECT 1 INTO OUTFILE 'x'", "OUTFILE"),
            ("SELECT 1 into/**/outfile 'x'", "outfile"),
            ("INSERT INTO t FROM INFILE 'x' FORMAT CSV", "INFILE"),
            ("CREATE TABLE t (a Int8) ENGINE = Executable('x', CSV)", "Executable"),
            ("CREATE TABLE t (a Int8) engine filelog('x')", "filelog"),
            ("CREATE TABLE t (a Int8) ENGINE=`QueryRunner`", "QueryRunner"),
            ("CREATE DATABASE d ENGINE = SQLite('x')", "SQLite"),
            (
                "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = \
                web)",
                "disk",
            ),
            (
                "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = `disk`(type \
                = web)",
                "disk",
            ),
            ("SELECT * FROM (SELECT 1 SETTINGS format_template_row = 'x')", "format_template_row"),
            (
                "SELECT * FROM (SELECT 1 SETTINGS a = 1, `additional_result_filter`='x')",
                "additional_result_filter",
            ),
            ("BACKUP TABLE t TO File('x')", "BACKUP"),
            ("restore table t from S3('x')", "restore"),
            (
                "CREATE TABLE t (a Int8) ENGINE = Memory PARALLEL WITH CREATE TABLE u (a Int8) \
                ENGINE = Log",
                "PARALLEL WITH",
            ),
            ("CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(HTTP(url 'x'))", "dictionary"),
            ("CREATE OR REPLACE DICTIONARY d (a Int8) PRIMARY KEY a", "dictionary"),
            ("attach dictionary d", "dictionary"),
            ("SELECT b FROM values('a String, b String ALIAS file(''x'')', 'x')", "file"),
            ("SELECT b FROM values(('a String, b String ALIAS `file`(''x'')'), 'x')", "file"),
            ("CREATE TABLE t AS null('a String, b String DEFAULT file(''x'')')", "file"),
            ("SELECT * FROM format('CSV', 'a String, b String DEFAULT file(''x'')', '1')", "file"),
            (
                "SELECT * FROM null('a Int8 DEFAULT (SELECT 1 FROM null(''b Int8 DEFAULT \
                file(x)''))')",
                "file",
            ),
            ("SELECT * FROM generateRandom({s:String})", "single quotes"),
            (
                "SELECT * FROM (SELECT 1 SETTINGS allow_experimental_ai_functions)",
                "allow_experimental_ai_functions",
            ),
            ("ATTACH TABLE t FROM '/x' (a Int8) ENGINE = Log", "ATTACH"),
            ("SELECT * FROM format('values', '(1)')", "Values"),
            ("WITH 'Values' AS CSV SELECT * FROM format(CSV, '(1)')", "single quotes"),
            ("SELECT * FROM format('(''a''),(1)')", "single quotes"),
            ("SELECT * FROM format('Val' || 'ues', '(1)')", "single quotes"),
            ("SELECT * FROM `format`(concat('Val', 'ues'), '(1)')", "single quotes"),
            ("SELECT * FROM format('\\x56alues', '(1)')", "single quotes"),
        ] {
            check_refused(text, part);
        }
    }

    #[test]
    fn what_stays_inside_passes() {
        for text in [
            "SELECT t.file, `from`, 'file', 'INTO OUTFILE' FROM t",
            "SELECT url, engine FROM system.tables WHERE engine = 'SQLite' -- file('x')",
            "CREATE TABLE IF NOT EXISTS url (a String) ENGINE = ReplacingMergeTree ORDER BY a",
            "CREATE TABLE d.s3 (url String, disk UInt8) ENGINE Memory",
            "INSERT INTO url (a) VALUES",
            "SELECT format('{} {}', a, b) FROM numbers(3) FORMAT Values",
            "SELECT * FROM format('CSV', '1,2')",
            "ALTER TABLE t ATTACH PARTITION 1 FROM u",
            "ATTACH TABLE t",
            "SELECT 'größe' AS `größe`, $$file('x')$$",
            "WITH backup AS (SELECT 1) SELECT * FROM view(SELECT 1)",
            "SELECT * FROM values('a String, b UInt8 DEFAULT length(a)', 'x')",
            "SELECT dictionary FROM `parallel` WITH TOTALS",
            "CREATE TABLE dictionary (a Int8) ENGINE = Log",
        ] {
            guard().check(text.as_bytes(), &[]).expect(text);
        }
    }

    #[test]
    fn a_parameter_names_no_function_that_reaches_outside() {
        let check = |text: &str, value: &str| {
            let parameters = [("f".to_owned(), "f".to_owned()), ("g".to_owned(), value.to_owned())];
            guard().check(text.as_bytes(), &parameters).map_err(|error| error.code)
        };
        for text in [
            "SELECT arrayMap({g:Identifier}, ['x'])",
            "SELECT arrayMap({ /**/ g : Identifier }, ['x'])",
        ] {
            assert_eq!(check(text, "file"), Err(497), "{text}");
            assert_eq!(check(text, "upper"), Ok(()), "{text}");
        }
        for text in [
            "CREATE VIEW v AS SELECT arrayMap({g:Identifier}, ['x'])",
            "SELECT arrayMap({h:Identifier}, ['x'])",
        ] {
            assert_eq!(check(text, "upper"), Err(497), "{text}");
        }
        assert_eq!(check("CREATE TABLE {g:Identifier} (a Int8) ENGINE = Log", "t"), Ok(()));
        assert_eq!(
            check("SELECT {g:String}, {f:Identifier}", "file"),
            Ok(()),
            "an account may have that id"
        );
    }

    #[test]
    fn a_text_that_the_engine_may_read_differently_is_refused() {
        for text in [
            "SELECT 1 INTO\u{a0}OUTFILE 'x'",
            "SELECT \u{201c}file\u{201d}('x')",
            "SELECT $ ' $ a ' b $ ' $, file('x')",
            "SELECT 1 /* file('x')",
            "SELECT 'x",
        ] {
            assert_eq!(guard().check(text.as_bytes(), &[]).expect_err(text).code, 62, "{text}");
        }
    }
}
