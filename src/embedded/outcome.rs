//! Results and errors of the engine.

use std::path::PathBuf;

/// The engine's own error: ClickHouse's error code and its message, `Code: N. DB::Exception: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// A code of `system.errors`, such as 62 for a syntax error.
    pub code: u32,
    /// The whole message, as a ClickHouse server would send it.
    pub message: String,
}

impl EngineError {
    /// The code of an error without one: `STD_EXCEPTION`.
    pub(super) const UNKNOWN: u32 = 1001;

    /// Builds the message that a ClickHouse server would give: `Code: 62. DB::Exception: text.
    /// (NAME)`.
    pub fn new(code: u32, name: &str, text: &str) -> EngineError {
        EngineError { code, message: format!("Code: {code}. DB::Exception: {text}. ({name})") }
    }

    /// Extracts the code from the engine's message.
    pub(super) fn from_message(message: String) -> EngineError {
        let digits = message.strip_prefix("Code: ").and_then(|rest| rest.split('.').next());
        let code = digits.and_then(|digits| digits.parse().ok()).unwrap_or(EngineError::UNKNOWN);
        EngineError { code, message }
    }
}

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot load the ClickHouse library {path}: {reason}")]
    Open { path: PathBuf, reason: String },
    #[error(
        "{path} is not a usable libchdb: it has no symbol {symbol}; libchdb 26.5 or newer with the \
        C interface is needed"
    )]
    Symbol { path: PathBuf, symbol: &'static str },
}

/// Figures that the engine reports of a finished statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read from storage.
    pub read_rows: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Rows written, those of materialized views included.
    pub written_rows: u64,
    /// Bytes written, those of materialized views included.
    pub written_bytes: u64,
    /// Rows of the result.
    pub result_rows: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
}

/// A whole result, or one chunk of a streamed one, in the output format that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub bytes: Vec<u8>,
    pub summary: Summary,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_knows_its_code() {
        let error = EngineError::from_message("Code: 62. DB::Exception: Syntax error".into());
        assert_eq!(error.code, 62);
        assert_eq!(EngineError::from_message("no code here".into()).code, EngineError::UNKNOWN);
        assert_eq!(
            EngineError::new(36, "BAD_ARGUMENTS", "no such thing").message,
            "Code: 36. DB::Exception: no such thing. (BAD_ARGUMENTS)"
        );
    }
}
