//! Refusals of what the embedded engine does not take, in ClickHouse's words.

use crate::embedded::libchdb::EngineError;

/// An unsupported feature, in ClickHouse's words.
pub(super) fn not_implemented(what: &str) -> EngineError {
    EngineError::new(48, "NOT_IMPLEMENTED", &format!("The embedded engine does not take {what}"))
}

/// Bytes that are not UTF-8; ClickHouse accepts any bytes, but no client here sends them.
pub(super) fn not_utf8(what: &str) -> EngineError {
    EngineError::new(36, "BAD_ARGUMENTS", &format!("{what} is not UTF-8"))
}

/// The refusal of a name that reaches outside.
pub(super) fn external(what: &str) -> EngineError {
    let text = format!(
        "{what} reaches files, programs or other hosts, which is off: start the engine with \
        --allow-external to allow it"
    );
    EngineError::new(497, "ACCESS_DENIED", &text)
}
