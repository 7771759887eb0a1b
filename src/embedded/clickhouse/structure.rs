//! Columns that a string describes, as in `values('a String', ...)`: their defaults and aliases are
//! expressions, which the engine runs. The [guard](super::guard) looks through them, so the string
//! has to stand in the statement as it is.

use super::items::{Item, is, is_string};
use super::lexer::Token;
use super::refusals::external;
use crate::embedded::libchdb::EngineError;

/// The descriptions of columns, without quotes, that a call of a table function holds. `name` is in
/// lower case, `rest` begins with the first argument.
///
/// # Errors
///
/// There may be one that cannot be seen, or data that may hold expressions.
pub(super) fn of_call(name: &str, rest: &[Item<'_>]) -> Result<Vec<Vec<u8>>, EngineError> {
    let seen = match name {
        "format" => of_format(rest)?,
        "null" | "generaterandom" => first_argument(rest),
        "values" => first_value(rest),
        _ => return Ok(Vec::new()),
    };
    match seen {
        Seen::Nothing => Ok(Vec::new()),
        Seen::Columns(columns) => Ok(vec![columns]),
        Seen::Unknown => {
            let text = format!(
                "The columns of {name}() must be described by one text in single quotes, without \
                backslashes, such as \
                 'a String, b UInt8', unless the engine is started with --allow-external"
            );
            Err(EngineError::new(497, "ACCESS_DENIED", &text))
        }
    }
}

/// The visible part of a description.
enum Seen {
    /// There is none.
    Nothing,
    Columns(Vec<u8>),
    Unknown,
}

/// In the format Values, cells may be expressions, which are not visible here. Its name must not be
/// hidden either, nor left to the engine, which detects the format from the data if that is the
/// only argument. Two arguments are a format and its data, or a pattern of the function that fills
/// it in; of three, the second describes the columns.
fn of_format(arguments: &[Item<'_>]) -> Result<Seen, EngineError> {
    let [name, (Token::Symbol(b','), _), rest @ ..] = arguments else {
        return Err(unclear_format());
    };
    if !is_string(name) || name.1.contains(&b'\\') {
        return Err(unclear_format());
    }
    if name.1[1..name.1.len() - 1].eq_ignore_ascii_case(b"Values") {
        return Err(external("format('Values', ...)"));
    }
    let is_pattern = name.1.contains(&b'{');
    let commas = commas_within(rest);
    Ok(if commas == 0 || is_pattern { Seen::Nothing } else { first_argument(rest) })
}

fn unclear_format() -> EngineError {
    let text = "The first argument of format() must be the name of a format in single quotes, such \
        as 'CSV', and its data the last, unless the engine is started with --allow-external";
    EngineError::new(497, "ACCESS_DENIED", text)
}

/// Number of commas up to the bracket that closes the call.
fn commas_within(rest: &[Item<'_>]) -> usize {
    let mut depth = 0_usize;
    let mut commas = 0;
    for (token, _) in rest {
        match token {
            Token::Open => depth += 1,
            Token::Close if depth == 0 => break,
            Token::Close => depth -= 1,
            Token::Symbol(b',') if depth == 0 => commas += 1,
            _ => {}
        }
    }
    commas
}

/// The first argument of a function that takes a description first, if anything.
fn first_argument(rest: &[Item<'_>]) -> Seen {
    match rest {
        [(Token::Close, _), ..] => Seen::Nothing,
        [item, (Token::Symbol(b',') | Token::Close, _), ..]
            if is_number(item) || is(item, "auto") =>
        {
            Seen::Nothing
        }
        _ => text_argument(rest),
    }
}

/// The first argument of `values`, a description or the first row. The engine takes any string for
/// a description that it knows for one: also in brackets, with an alias, or by an alias or a
/// parameter.
fn first_value(rest: &[Item<'_>]) -> Seen {
    let brackets = rest.iter().take_while(|item| item.1 == b"(").count();
    match &rest[brackets..] {
        [(Token::Symbol(b'-' | b'+'), _) | (Token::Open, b"["), ..] => Seen::Nothing,
        [item, ..]
            if is_number(item) || ["NULL", "true", "false"].iter().any(|word| is(item, word)) =>
        {
            Seen::Nothing
        }
        [(Token::Word, _), (Token::Open, b"("), ..] => Seen::Nothing,
        inner => match text_argument(inner) {
            // A word is a value: a description has a name and a type.
            Seen::Columns(text)
                if text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                Seen::Nothing
            }
            seen => seen,
        },
    }
}

fn text_argument(rest: &[Item<'_>]) -> Seen {
    let [text, (Token::Symbol(b',') | Token::Close, _), ..] = rest else { return Seen::Unknown };
    if !is_string(text) || text.1.contains(&b'\\') {
        return Seen::Unknown;
    }
    let mut columns = Vec::with_capacity(text.1.len());
    let mut bytes = text.1[1..text.1.len() - 1].iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\'' {
            // It is doubled.
            bytes.next();
        }
        columns.push(byte);
    }
    Seen::Columns(columns)
}

fn is_number(item: &Item<'_>) -> bool {
    item.0 == Token::Word && item.1.first().is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Tokens;
    use super::*;

    /// The columns that the arguments of a call describe.
    fn of(name: &str, arguments: &str) -> Result<Vec<String>, EngineError> {
        let text = format!("{arguments}) FROM t");
        let items: Vec<Item<'_>> = Tokens::new(text.as_bytes())
            .map(|(token, range)| (token, &text.as_bytes()[range]))
            .collect();
        let columns = of_call(name, &items)?;
        Ok(columns.into_iter().map(|columns| String::from_utf8(columns).unwrap()).collect())
    }

    #[test]
    fn descriptions_are_found() {
        for (name, arguments, columns) in [
            ("values", "'a String', 'x'", "a String"),
            ("values", "('a String'), ('x')", "a String"),
            ("values", "'`a`String/**/ALIAS/**/f(''x'')', 1", "`a`String/**/ALIAS/**/f('x')"),
            ("null", "'a UInt8'", "a UInt8"),
            ("generaterandom", "'a UInt8', 1, 10", "a UInt8"),
            ("format", "'CSV', 'a UInt8', $$1$$", "a UInt8"),
        ] {
            assert_eq!(of(name, arguments).expect(arguments), [columns], "{name}({arguments}");
        }
    }

    #[test]
    fn what_describes_nothing_passes() {
        for (name, arguments) in [
            ("values", "1, 2"),
            ("values", "-1, 2"),
            ("values", "(1, 'a'), (2, 'b')"),
            ("values", "'a', 'b'"),
            ("values", "now(), 1"),
            ("null", ""),
            ("generaterandom", ""),
            ("generaterandom", "5"),
            ("format", "'CSV', f(a, b)"),
            ("format", "'{}-{}', a, b"),
            ("concat", "a, b"),
        ] {
            assert_eq!(
                of(name, arguments).expect(arguments),
                Vec::<String>::new(),
                "{name}({arguments}"
            );
        }
    }

    #[test]
    fn a_description_that_is_not_there_is_refused() {
        for (name, arguments) in [
            ("values", "s, 'x'"),
            ("values", "{s:String}, 'x'"),
            ("values", "('a String' AS s), 'x'"),
            ("values", "$$a String$$, 'x'"),
            ("values", "'a String \\'\\'', 'x'"),
            ("null", "concat('a ', 'String')"),
            ("null", "s"),
            ("generaterandom", "'a ' || 'String'"),
            ("format", "'CSV', concat('a', ' String'), '1'"),
            ("format", "'CSV', ('a String'), '1'"),
            ("format", "'Values', 'a String', '1'"),
            ("format", "f, '1'"),
        ] {
            assert_eq!(of(name, arguments).expect_err(arguments).code, 497, "{name}({arguments}");
        }
    }
}
