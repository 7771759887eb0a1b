//! Header fields that hold lists.

/// The elements of a header field's list. A separator within a quoted string is none (RFC 9110,
/// 5.6.1 and 5.6.4).
pub(in crate::http) fn elements(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |letter| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && !was_escaped && letter == '\\';
        is_quoted ^= letter == '"' && !was_escaped;
        letter == separator && !is_quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_within_quotes_is_none() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(elements(text, ',').collect::<Vec<_>>(), expected, "{text}")
        };
        check("", &[""]);
        check("a, b ,c", &["a", "b", "c"]);
        check("\"a,b\", W/\"c\"", &["\"a,b\"", "W/\"c\""]);
        check(r#""a\",b", c"#, &[r#""a\",b""#, "c"]);
        check("\"a,b", &["\"a,b"]);
    }
}
