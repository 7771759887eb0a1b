//! Standard output, and the case that its reader has left.

use std::io::{self, ErrorKind};

use anyhow::Context as _;

/// The reader of standard output is gone, as with `seatmeter generate | head`. A reason to stop,
/// not a failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct OutputClosed;

/// Distinguishes a reader that left from other failures to write to standard output.
pub(super) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        result => result.context("cannot write to standard output"),
    }
}
