//! Settings of connections, and the statements that set them.

/// Settings of every connection, before the request's own. INSERTs are acknowledged when they are
/// written, times without a zone are UTC on any machine, the engine's extras beyond a server's SQL
/// are off, and INSERTs fail (code 243) while 64 MiB of the disk are still free.
pub(super) const BASE_SETTINGS: [(&str, &str); 5] = [
    ("async_insert", "0"),
    ("session_timezone", "UTC"),
    ("implicit_select", "0"),
    ("allow_introspection_functions", "0"),
    ("min_free_disk_bytes_to_perform_insert", "67108864"),
];

/// The setting that holds a query's comment.
pub(super) const LOG_COMMENT: &str = "log_comment";

/// The statement that sets them.
pub(super) fn set(settings: &[(String, String)]) -> String {
    let changes: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {}", quoted(value, '\''))).collect();
    format!("SET {}", changes.join(", "))
}

/// The settings of every connection, as one statement.
pub(super) fn base_settings() -> String {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    set(&BASE_SETTINGS.map(owned))
}

/// Quotes a name or a value of a statement.
pub(super) fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_one_statement() {
        let settings = [("a".to_owned(), "it's".to_owned()), ("b".to_owned(), "1".to_owned())];
        assert_eq!(set(&settings), r"SET a = 'it\'s', b = '1'");
        assert!(base_settings().starts_with("SET async_insert = '0', session_timezone = 'UTC'"));
    }

    #[test]
    fn names_and_values_are_quoted() {
        assert_eq!(quoted("a`b", '`'), r"`a\`b`");
        assert_eq!(quoted(r"it's \", '\''), r"'it\'s \\'");
    }
}
