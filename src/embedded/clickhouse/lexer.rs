//! Words, quotes and brackets of a ClickHouse statement: the part of its lexer that is needed to
//! separate clauses.
//!
//! It never validates a statement; what it cannot parse, the engine refuses.

use std::ops::Range;

/// One token, without white space and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, name or number.
    Word,
    /// A string, quoted name or heredoc.
    Quoted,
    /// An opening bracket of any kind.
    Open,
    /// A closing bracket of any kind.
    Close,
    /// Any other byte.
    Symbol(u8),
    /// A quote or comment that does not end within the text.
    Unterminated,
}

/// Tokens of a text, each with its range of bytes.
pub(super) struct Tokens<'text> {
    text: &'text [u8],
    at: usize,
}

impl<'text> Tokens<'text> {
    pub(super) fn new(text: &'text [u8]) -> Tokens<'text> {
        Tokens { text, at: 0 }
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.text.get(self.at).is_some_and(|&byte| belongs(byte)) {
            self.at += 1;
        }
    }

    /// Skips white space and comments; false where a comment does not end.
    fn skip_blank(&mut self) -> bool {
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            let rest = &self.text[self.at..];
            if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!") {
                self.take_while(|byte| byte != b'\n');
            } else if rest.starts_with(b"/*") {
                let Some(length) = comment_length(rest) else { return false };
                self.at += length;
            } else {
                return true;
            }
        }
    }

    /// Steps over a quote that opens at the current byte; a backslash or a doubled quote escapes.
    fn quoted(&mut self, quote: u8) -> Token {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return Token::Quoted;
                }
                self.at += 1;
            }
        }
        self.at = self.text.len();
        Token::Unterminated
    }

    /// Steps over `$tag$...$tag$`, if one opens at the current byte.
    fn heredoc(&mut self) -> Option<Token> {
        let rest = &self.text[self.at..];
        let tag_length = rest[1..].iter().position(|&byte| !is_word(byte) || byte == b'$')?;
        (rest[1 + tag_length] == b'$').then_some(())?;
        let tag = &rest[..tag_length + 2];
        Some(match find(&rest[tag.len()..], tag) {
            Some(length) => {
                self.at += length + 2 * tag.len();
                Token::Quoted
            }
            None => {
                self.at = self.text.len();
                Token::Unterminated
            }
        })
    }
}

impl Iterator for Tokens<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let blank_from = self.at;
        if !self.skip_blank() {
            self.at = self.text.len();
            return Some((Token::Unterminated, blank_from..self.at));
        }
        let start = self.at;
        let byte = *self.text.get(start)?;
        let token = match byte {
            b'\'' | b'"' | b'`' => self.quoted(byte),
            b'$' if let Some(token) = self.heredoc() => token,
            _ if is_word(byte) => {
                self.take_while(is_word);
                Token::Word
            }
            _ => {
                self.at += 1;
                match byte {
                    b'(' | b'[' | b'{' => Token::Open,
                    b')' | b']' | b'}' => Token::Close,
                    other => Token::Symbol(other),
                }
            }
        };
        Some((token, start..self.at))
    }
}

/// Bytes of names and numbers; non-ASCII bytes count as parts of names.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The length of the comment that a text begins with; in ClickHouse comments nest. `None` where it
/// does not end.
fn comment_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.get(at..at + 2)? {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = Tokens::new(text.as_bytes())
            .map(|(token, range)| match token {
                Token::Unterminated => "UNTERMINATED".to_owned(),
                _ => text[range].to_owned(),
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn words_brackets_and_symbols() {
        check("SELECT a.b, [1,x2]", &["SELECT", "a", ".", "b", ",", "[", "1", ",", "x2", "]"]);
        check("  ", &[]);
        check("größe=1", &["größe", "=", "1"]);
    }

    #[test]
    fn comments_are_blank() {
        check("-- FORMAT a\nSELECT /* ' ; */ 1 # x", &["SELECT", "1"]);
        check("SELECT 1 /* open", &["SELECT", "1", "UNTERMINATED"]);
        check("/* a /* b */ SELECT /**/ */ ALTER /*/ x */ 1", &["ALTER", "1"]);
        check("/* a /* b */ SELECT", &["UNTERMINATED"]);
        check("1 - -1", &["1", "-", "-", "1"]);
    }

    #[test]
    fn quotes_hide_what_is_in_them() {
        check(r"'it\'s; FORMAT' x", &[r"'it\'s; FORMAT'", "x"]);
        check("'it''s' `a``b` \"c\"", &["'it''s'", "`a``b`", "\"c\""]);
        check("'open", &["UNTERMINATED"]);
        check(r"'open\", &["UNTERMINATED"]);
    }

    #[test]
    fn heredocs_are_quotes() {
        check("$$a'b$$ c", &["$$a'b$$", "c"]);
        check("$doc$ $$ $doc$;", &["$doc$ $$ $doc$", ";"]);
        check("$doc$ ...", &["UNTERMINATED"]);
        check("a$b $1", &["a$b", "$1"]);
    }
}
