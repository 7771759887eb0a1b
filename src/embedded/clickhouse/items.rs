//! Tokens of a statement with their texts.

use std::borrow::Cow;

use super::lexer::Token;

/// A token with its text.
pub(super) type Item<'text> = (Token, &'text [u8]);

pub(super) fn is(item: &Item<'_>, word: &str) -> bool {
    item.0 == Token::Word && item.1.eq_ignore_ascii_case(word.as_bytes())
}

pub(super) fn is_string(item: &Item<'_>) -> bool {
    item.0 == Token::Quoted && item.1.first() == Some(&b'\'')
}

/// The name in a token, with quotes and escapes resolved.
pub(super) fn name_of<'text>(item: &Item<'text>) -> Option<Cow<'text, str>> {
    match (item.0, item.1.first()) {
        (Token::Word, _) => Some(String::from_utf8_lossy(item.1)),
        (Token::Quoted, Some(b'"' | b'`')) => Some(Cow::Owned(unquoted(item.1))),
        _ => None,
    }
}

/// Resolves quotes, doubled quotes, and escapes that can stand for a letter.
fn unquoted(text: &[u8]) -> String {
    let quote = text[0];
    let mut bytes = text[1..text.len() - 1].iter().copied().peekable();
    let mut name = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'x') => {
                    let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                    let digits = String::from_utf8_lossy(&digits).into_owned();
                    name.extend(u8::from_str_radix(&digits, 16).ok());
                }
                // An escaped character that is not a letter of a name; its value does not matter.
                Some(b'N') => {}
                Some(b'0' | b'a' | b'b' | b'e' | b'f' | b'n' | b'r' | b't' | b'v') => {
                    name.push(b' ')
                }
                Some(other) => name.push(other),
                None => {}
            },
            _ if byte == quote => {
                name.push(quote);
                bytes.next_if_eq(&quote);
            }
            _ => name.push(byte),
        }
    }
    String::from_utf8_lossy(&name).into_owned()
}
