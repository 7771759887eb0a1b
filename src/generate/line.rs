//! Lines of the log.

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the event happened, milliseconds since 1970 UTC; for a malformed line, that of the
    /// event it was made from.
    pub time_ms: i64,
    /// JSON on one line, without the line end. Malformed lines may be anything, but hold no line
    /// end either.
    pub json: Vec<u8>,
}

/// Kind of a line: only lines of tests are duplicated as noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    /// `test.executed`, which is recognized as a duplicate.
    Test,
    /// Any other event.
    Other,
}
