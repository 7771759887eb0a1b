//! What attempts to send have in common.

/// For so long an event is tried to be sent, milliseconds: three days.
pub(in crate::alerts) const SEND_FOR_MS: i64 = 3 * 86_400_000;

/// The type of a CloudEvent in structured mode.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(pub(super) String);
