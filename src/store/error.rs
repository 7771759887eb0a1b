//! Errors of ClickHouse and of the way to it, told apart by what the operator has to do about them.

use std::time::Duration;

use super::server_version::ServerVersion;

/// Longest text of the server's that a message repeats, in characters.
const SERVER_TEXT_CHARS_MAX: usize = 400;

/// Authentication failed, unknown user, wrong password, password required.
const CODES_ACCESS: [i32; 4] = [516, 192, 193, 194];
/// A setting that the user may not change: in read-only mode, or by a constraint of the profile.
const CODES_SETTING_REFUSED: [i32; 2] = [164, 452];
/// Unknown database, unknown table.
const CODES_NOT_MIGRATED: [i32; 2] = [81, 60];
/// The server ran out of disk space.
const CODE_NOT_ENOUGH_SPACE: i32 = 243;
/// The server gave up a query that ran for too long.
const CODE_TIMEOUT_EXCEEDED: i32 = 159;
/// Memory ran out: that of the query, of the user or of the server.
const CODE_MEMORY_LIMIT_EXCEEDED: i32 = 241;
/// An array of more than 16,777,215 elements.
const CODE_TOO_LARGE_ARRAY_SIZE: i32 = 128;
/// Errors that no waiting heals: the statement, the schema or the user's rights are wrong. Every
/// other code may be a passing state of the server (a replica that is read-only, too many parts,
/// memory), so it is worth another try.
const CODES_PERMANENT: [i32; 18] = [
    16,  // NO_SUCH_COLUMN_IN_TABLE
    20,  // NUMBER_OF_COLUMNS_DOESNT_MATCH
    36,  // BAD_ARGUMENTS
    42,  // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    44,  // ILLEGAL_COLUMN
    46,  // UNKNOWN_FUNCTION
    47,  // UNKNOWN_IDENTIFIER
    48,  // NOT_IMPLEMENTED
    53,  // TYPE_MISMATCH
    62,  // SYNTAX_ERROR
    73,  // UNKNOWN_FORMAT
    115, // UNKNOWN_SETTING
    164, // READONLY
    291, // DATABASE_ACCESS_DENIED
    452, // SETTING_CONSTRAINT_VIOLATION
    456, // UNKNOWN_QUERY_PARAMETER
    497, // ACCESS_DENIED
];

/// Why ClickHouse did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke.
    #[error(
        "ClickHouse at {url} cannot be reached: {reason}; check clickhouse.url and that the server \
        is up"
    )]
    Unreachable { url: String, reason: String },
    /// User or password are wrong.
    #[error(
        "ClickHouse at {url} does not let user '{user}' in: check clickhouse.user and \
        clickhouse.password"
    )]
    AccessDenied { url: String, user: String },
    /// The user may not change settings, so the profile would decide what a statement means.
    #[error(
        "ClickHouse at {url} does not let user '{user}' change settings, and seatmeter sends with \
        each request those that its \
         answers depend on: give the user readonly = 0 or 2 and no constraints on them ({message})"
    )]
    SettingsRefused { url: String, user: String, message: String },
    /// The database or a table is not there.
    #[error(
        "database '{database}' on ClickHouse at {url} lacks the schema: run `seatmeter migrate` \
        ({message})"
    )]
    NotMigrated { url: String, database: String, message: String },
    /// The server lacks what the schema needs.
    #[error(
        "ClickHouse at {url} is version {found}, and seatmeter needs {needed} or newer: upgrade \
        the server"
    )]
    TooOld { url: String, found: ServerVersion, needed: ServerVersion },
    /// The configured cluster is not there, or is not of the shape that exact counts need.
    #[error("clickhouse.cluster = '{cluster}' on ClickHouse at {url}: {reason}")]
    UnsuitableCluster { url: String, cluster: String, reason: String },
    /// No answer within the request timeout.
    #[error(
        "ClickHouse at {url} did not answer within {} ms, the request timeout",
        limit.as_millis()
    )]
    TimedOut { url: String, limit: Duration },
    /// The query needs more memory than a report's query may take.
    #[error(
        "ClickHouse at {url} needs more memory for this report than http.query_memory_max_bytes \
        allows ({message})"
    )]
    TooLarge { url: String, message: String },
    /// The server's disk is full.
    #[error("ClickHouse at {url} has no disk space left: free some or add more ({message})")]
    DiskFull { url: String, message: String },
    /// Any other error that the server reports.
    #[error("ClickHouse at {url} answered with error {code}: {message}")]
    Server { url: String, code: i32, message: String },
    /// An answer that is not ClickHouse's, as of a proxy or of a wrong port.
    #[error(
        "{url} did not answer as ClickHouse does: {message}; clickhouse.url must name its HTTP \
        interface (8123 or 8443)"
    )]
    Unexpected { url: String, message: String },
    /// An answer whose rows are not what the query promises.
    #[error("ClickHouse at {url} answered with rows that cannot be read: {message}")]
    Unreadable { url: String, message: String },
}

impl StoreError {
    /// True where the query did not fit into the memory that it may take, or made an array that is
    /// larger than ClickHouse's may be.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Server { code: CODE_TOO_LARGE_ARRAY_SIZE, .. })
    }

    /// True where the same request may succeed later without anything being changed on our side.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::DiskFull { .. }
            | Self::Unexpected { .. } => true,
            Self::Server { code, .. } => !CODES_PERMANENT.contains(code),
            Self::AccessDenied { .. }
            | Self::SettingsRefused { .. }
            | Self::NotMigrated { .. }
            | Self::TooOld { .. }
            | Self::UnsuitableCluster { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

/// The server, for messages. Holds no secret.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Scheme, host and port of the server.
    pub(super) url: String,
    pub(super) user: String,
    /// The database of the documented views, as configured.
    pub(super) database: String,
    pub(super) request_timeout: Duration,
}

impl Target {
    /// Tells what the client library's error means.
    pub(super) fn classify(&self, error: clickhouse::error::Error) -> StoreError {
        use clickhouse::error::Error;
        match error {
            Error::BadResponse(text) => self.classify_response(&text),
            Error::Network(source) => self.unreachable(innermost(source.as_ref())),
            Error::TimedOut => self.timed_out(self.request_timeout),
            Error::Other(source) => self.unreachable(innermost(source.as_ref())),
            other => StoreError::Unreadable {
                url: self.url.clone(),
                message: one_line(&other.to_string()),
            },
        }
    }

    /// No answer within `limit`.
    pub(super) fn timed_out(&self, limit: Duration) -> StoreError {
        StoreError::TimedOut { url: self.url.clone(), limit }
    }

    /// An answer that breaks a promise of the schema.
    pub(super) fn unreadable(&self, message: String) -> StoreError {
        StoreError::Unreadable { url: self.url.clone(), message }
    }

    fn unreachable(&self, reason: String) -> StoreError {
        StoreError::Unreachable { url: self.url.clone(), reason }
    }

    fn classify_response(&self, text: &str) -> StoreError {
        let url = self.url.clone();
        let message = one_line(text);
        let Some(code) = exception_code(text) else {
            return StoreError::Unexpected { url, message };
        };
        if CODES_ACCESS.contains(&code) {
            return StoreError::AccessDenied { url, user: self.user.clone() };
        }
        // The same code refuses statements that write, which settings would not heal.
        if CODES_SETTING_REFUSED.contains(&code) && text.to_lowercase().contains("setting") {
            return StoreError::SettingsRefused { url, user: self.user.clone(), message };
        }
        if CODES_NOT_MIGRATED.contains(&code) {
            return StoreError::NotMigrated { url, database: self.database.clone(), message };
        }
        // A full disk shows as the code of whatever could not be written; only the text of ENOSPC
        // is common to all.
        if code == CODE_NOT_ENOUGH_SPACE || text.contains("No space left on device") {
            return StoreError::DiskFull { url, message };
        }
        if code == CODE_TIMEOUT_EXCEEDED {
            return self.timed_out(self.request_timeout);
        }
        // The limit of the user or of the server says so instead, and passes.
        if code == CODE_MEMORY_LIMIT_EXCEEDED && text.contains("Query memory limit exceeded") {
            return StoreError::TooLarge { url, message };
        }
        StoreError::Server { url, code, message }
    }
}

/// The code of `Code: 60. DB::Exception: …`, which starts every error of ClickHouse's.
fn exception_code(text: &str) -> Option<i32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The text without line breaks and of bounded length.
fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(SERVER_TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &joined[..end]),
        None => joined,
    }
}

/// The cause at the bottom of a chain of errors, which is the one that says something ("Connection
/// refused").
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;

    use super::*;

    fn target() -> Target {
        Target {
            url: "http://ch:8123".into(),
            user: "meter".into(),
            database: "usage".into(),
            request_timeout: Duration::from_secs(30),
        }
    }

    fn check(answer: &str, message: &str, retryable: bool) {
        let error = target().classify(Error::BadResponse(answer.into()));
        assert_eq!(error.to_string(), message);
        assert_eq!(error.is_retryable(), retryable, "{error:?}");
    }

    #[test]
    fn a_wrong_password_names_the_user_and_the_keys() {
        check(
            "Code: 516. DB::Exception: meter: Authentication failed: password is incorrect. \
            (AUTHENTICATION_FAILED)",
            "ClickHouse at http://ch:8123 does not let user 'meter' in: check clickhouse.user and \
            clickhouse.password",
            false,
        );
    }

    #[test]
    fn a_user_who_may_not_change_settings_is_told_what_to_grant() {
        for text in [
            "Code: 164. DB::Exception: Cannot modify 'distributed_foreground_insert' setting in \
            readonly mode. (READONLY)",
            "Code: 452. DB::Exception: Setting join_use_nulls should not be changed. \
            (SETTING_CONSTRAINT_VIOLATION)",
        ] {
            check(
                text,
                &format!(
                    "ClickHouse at http://ch:8123 does not let user 'meter' change settings, and \
                    seatmeter sends with each request those that its answers depend on: give the \
                    user readonly = 0 or 2 and no constraints on them ({text})"
                ),
                false,
            );
        }
        let error = target().classify(Error::BadResponse(
            "Code: 164. DB::Exception: meter: Cannot execute query in readonly mode. (READONLY)"
                .into(),
        ));
        assert!(matches!(error, StoreError::Server { code: 164, .. }), "{error:?}");
    }

    #[test]
    fn a_missing_database_or_table_asks_for_migrate() {
        check(
            "Code: 81. DB::Exception: Database usage does not exist. (UNKNOWN_DATABASE)",
            "database 'usage' on ClickHouse at http://ch:8123 lacks the schema: run `seatmeter \
            migrate` (Code: 81. DB::Exception: Database usage does not exist. (UNKNOWN_DATABASE))",
            false,
        );
        assert!(matches!(
            target().classify(Error::BadResponse("Code: 60. DB::Exception: no table".into())),
            StoreError::NotMigrated { .. }
        ));
    }

    #[test]
    fn a_full_disk_is_known_by_its_code_or_its_text() {
        for answer in [
            "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. \
            (NOT_ENOUGH_SPACE)",
            "Code: 75. DB::ErrnoException: Cannot write to file: errno: 28, strerror: No space \
            left on device",
        ] {
            let error = target().classify(Error::BadResponse(answer.into()));
            assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
            assert!(error.is_retryable());
        }
    }

    #[test]
    fn passing_states_are_retried_and_wrong_statements_are_not() {
        check(
            "Code: 242. DB::Exception: Table is in readonly mode.\n(TABLE_IS_READ_ONLY)",
            "ClickHouse at http://ch:8123 answered with error 242: Code: 242. DB::Exception: Table \
            is in readonly mode. (TABLE_IS_READ_ONLY)",
            true,
        );
        check(
            "Code: 62. DB::Exception: Syntax error (SYNTAX_ERROR)",
            "ClickHouse at http://ch:8123 answered with error 62: Code: 62. DB::Exception: Syntax \
            error (SYNTAX_ERROR)",
            false,
        );
    }

    #[test]
    fn a_proxy_is_not_taken_for_clickhouse() {
        check(
            "<html>Bad Gateway</html>",
            "http://ch:8123 did not answer as ClickHouse does: <html>Bad Gateway</html>; \
            clickhouse.url must name its HTTP interface (8123 or 8443)",
            true,
        );
    }

    #[test]
    fn long_answers_are_cut() {
        let error =
            target().classify(Error::BadResponse(format!("Code: 999. {}", "é".repeat(10_000))));
        assert!(error.to_string().chars().count() < SERVER_TEXT_CHARS_MAX + 100);
    }
}
