//! What is known of a record before it is applied.

/// Records that are looked at ahead before they are applied: enough for the processor to have
/// brought in what they read.
pub const AHEAD_RECORDS: usize = 16;

/// What [`Lane::look_ahead`](super::Lane::look_ahead) has computed of an event already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead {
    /// The identity of a `test.executed` event.
    pub(super) event_id: Option<u128>,
}
