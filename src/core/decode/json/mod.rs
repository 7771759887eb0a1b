//! Reads JSON text in one pass, value by value, without judging any of them.
//!
//! It accepts exactly the grammar of RFC 8259 for a text whose value is an object, however deeply
//! nested; a test compares it with `serde_json`. It is written by hand because the contract judges
//! values by their text (`1.0` is no integer, `1e999` is still JSON, a lone surrogate is a bad
//! string in a good document), which a deserializer has dropped before it calls back, and because
//! decoding is a large part of the cost of an event: `cargo bench --bench decode` compares it with
//! `serde_json`, which takes longer to split the same text than this decoder takes to split and
//! validate it.

use std::borrow::Cow;

/// One JSON value, parsed only as far as validation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// The field is not given.
    #[default]
    Absent,
    /// The literal `null`.
    Null,
    /// A string without escapes: its characters.
    Text(&'a str),
    /// A string with escapes: as it stands in the payload, quotes included.
    EscapedText(&'a str),
    /// A number, as it stands in the payload.
    Number(&'a str),
    /// True, false, an array or an object.
    Other,
}

/// Reads a JSON text from left to right. Every method returns `None` where the text breaks the
/// grammar.
///
/// The methods that run for every member are forced inline: otherwise the compiler calls them, and
/// decoding an event takes a third longer.
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// The next byte to read.
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Reads a text that is one object and nothing else. `member` is called for each member, with
    /// its name, to read its value.
    #[inline(always)]
    pub(super) fn whole_object(
        text: &'a str,
        member: impl FnMut(&mut Self, &[u8]) -> Option<()>,
    ) -> Option<()> {
        let mut scanner = Self { text, at: 0 };
        scanner.skip_whitespace();
        scanner.object(member)?;
        scanner.skip_whitespace();
        (scanner.at == text.len()).then_some(())
    }

    /// True where the value that starts here can only be an object.
    pub(super) fn is_at_object(&self) -> bool {
        self.peek() == Some(b'{')
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn skip_whitespace(&mut self) {
        // Usually there is none, and one comparison shows it.
        while let Some(0..=b' ') = self.peek() {
            if !matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                return;
            }
            self.at += 1;
        }
    }

    /// Reads an object. `member` is called for each member, with its name, to read its value.
    #[inline(always)]
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>,
    ) -> Option<()> {
        self.eat(b'{')?;
        self.skip_whitespace();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_whitespace();
            let name = self.name()?;
            self.skip_whitespace();
            self.eat(b':')?;
            self.skip_whitespace();
            member(self, &name)?;
            self.skip_whitespace();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Reads the name of a member. A name that is not Unicode text (a lone surrogate) matches no
    /// field.
    #[inline(always)]
    fn name(&mut self) -> Option<Cow<'a, [u8]>> {
        self.eat(b'"')?;
        let start = self.at;
        let end = self.plain_end();
        let bytes = self.text.as_bytes();
        if *bytes.get(end)? == b'"' {
            self.at = end + 1;
            return Some(Cow::Borrowed(&bytes[start..end]));
        }
        let name: String = serde_json::from_str(self.escaped_rest(end)?).unwrap_or_default();
        Some(Cow::Owned(name.into_bytes()))
    }

    /// Reads any value.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Option<Raw<'a>> {
        match self.peek()? {
            b'[' | b'{' => self.nested().map(|()| Raw::Other),
            _ => self.scalar(),
        }
    }

    /// Reads a string, a number, or one of the three literals.
    #[inline(always)]
    fn scalar(&mut self) -> Option<Raw<'a>> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string_rest()
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.number()?;
                Some(Raw::Number(&self.text[start..self.at]))
            }
            b't' => self.literal("true").map(|()| Raw::Other),
            b'f' => self.literal("false").map(|()| Raw::Other),
            b'n' => self.literal("null").map(|()| Raw::Null),
            _ => None,
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        self.text[self.at..].starts_with(literal).then(|| self.at += literal.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Reads one or more digits.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Reads the rest of a string whose opening quote has been read.
    #[inline(always)]
    fn string_rest(&mut self) -> Option<Raw<'a>> {
        let start = self.at;
        let end = self.plain_end();
        if *self.text.as_bytes().get(end)? == b'"' {
            self.at = end + 1;
            return Some(Raw::Text(&self.text[start..end]));
        }
        self.escaped_rest(end).map(Raw::EscapedText)
    }

    /// Reads the rest of a string whose opening quote has been read, and whose first byte that does
    /// not stand for itself is at `special` and no quote. Returns it with its quotes.
    #[cold]
    fn escaped_rest(&mut self, special: usize) -> Option<&'a str> {
        let start = self.at;
        self.at = special;
        while self.peek()? != b'"' {
            self.escape()?;
            self.at = self.plain_end();
        }
        self.at += 1;
        Some(&self.text[start - 1..self.at])
    }

    /// The end of the bytes from here on that stand for themselves in a string.
    #[inline(always)]
    fn plain_end(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                // The lowest mark is the first byte's, and a mark is the top bit of its byte.
                return at + (special.trailing_zeros() / 8) as usize;
            }
            at += chunk.len();
        }
        let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        while bytes.get(at).is_some_and(is_plain) {
            at += 1;
        }
        at
    }

    /// Reads an escape sequence, backslash included.
    fn escape(&mut self) -> Option<()> {
        self.eat(b'\\')?;
        let bytes = self.text.as_bytes();
        match bytes.get(self.at)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' if bytes.get(self.at + 1..self.at + 5)?.iter().all(u8::is_ascii_hexdigit) => {
                self.at += 5
            }
            _ => return None,
        }
        Some(())
    }

    /// Skips an array or an object. It does not recurse, so that no depth overflows the stack.
    fn nested(&mut self) -> Option<()> {
        let mut open = OpenContainers::default();
        loop {
            // A value starts here.
            match self.peek()? {
                byte @ (b'[' | b'{') => {
                    self.at += 1;
                    self.skip_whitespace();
                    let close = if byte == b'{' { b'}' } else { b']' };
                    if self.peek()? != close {
                        open.push(byte == b'{');
                        if byte == b'{' {
                            self.skip_name()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                _ => {
                    self.scalar()?;
                }
            }
            // A value has ended here, and with it possibly some of the containers around it.
            loop {
                let Some(is_object) = open.innermost() else { return Some(()) };
                self.skip_whitespace();
                match (self.peek()?, is_object) {
                    (b',', _) => {
                        self.at += 1;
                        self.skip_whitespace();
                        if is_object {
                            self.skip_name()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Reads a member's name, its colon, and the whitespace before its value.
    fn skip_name(&mut self) -> Option<()> {
        self.eat(b'"')?;
        self.string_rest()?;
        self.skip_whitespace();
        self.eat(b':')?;
        self.skip_whitespace();
        Some(())
    }
}

/// Marks bytes that do not stand for themselves in a string (quote, backslash, below 0x20) by their
/// top bit. Bytes after the first such byte may be marked wrongly, bytes before it never: Mycroft's
/// test for a byte below a bound, three times.
fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let controls = chunk.wrapping_sub(ONES * 0x20);
    let quotes = (chunk ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslashes = (chunk ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (controls | quotes | backslashes) & !chunk & (ONES << 7)
}

/// The containers that are open, one bit each: set for an object.
#[derive(Default)]
struct OpenContainers {
    /// The innermost up to 64, the lowest bit being the innermost of all.
    inner: u64,
    /// Number of used bits of `inner`, 0 to 64; 0 only if no container is open.
    inner_count: u32,
    /// Those further out, 64 each.
    outer: Vec<u64>,
}

impl OpenContainers {
    fn push(&mut self, is_object: bool) {
        if self.inner_count == u64::BITS {
            self.outer.push(self.inner);
            self.inner_count = 0;
        }
        self.inner = self.inner << 1 | u64::from(is_object);
        self.inner_count += 1;
    }

    fn pop(&mut self) {
        self.inner >>= 1;
        self.inner_count -= 1;
        if self.inner_count == 0
            && let Some(outer) = self.outer.pop()
        {
            (self.inner, self.inner_count) = (outer, u64::BITS);
        }
    }

    /// Whether the innermost one is an object; `None` where none is open.
    fn innermost(&self) -> Option<bool> {
        (self.inner_count > 0).then_some(self.inner & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
