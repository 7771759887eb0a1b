//! Bytes to events: validates one record by the event contract, and gives the reason if it is
//! rejected.
//!
//! The JSON text is split once into the raw values of the fields that some event has
//! ([`envelope`]), without judging any of them; then they are validated in the contract's order, so
//! that the first reason that applies is given. Strings are borrowed from the payload wherever they
//! hold no escape.
//!
//! It never panics, never allocates for a record whose strings hold no escapes, and never reads a
//! clock: "in the future" is judged against the record's own timestamp.

mod data;
mod envelope;
mod json;
mod time;
mod value;

use std::sync::LazyLock;

pub use data::EVENT_TYPES;
use memchr::memmem::Finder;

use self::data::EventType;
use self::envelope::{Data, Envelope};
use self::value::{nonempty_text, required, text};
use super::event::{Decoded, Event, Record, Reject, RejectReason};
use super::id::IdRef;

/// The longest value that is read, bytes. Its equal in the contract is "1 MiB".
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// 2000-01-01T00:00:00Z, the first instant that an event may have, milliseconds since 1970 UTC.
pub const TIME_MIN_MS: i64 = 946_684_800_000;

/// 2100-01-01T00:00:00Z, the first instant after those that an event may have, milliseconds since
/// 1970 UTC.
pub const TIME_END_MS: i64 = 4_102_444_800_000;

/// How far an event's time may lie after its record's timestamp, milliseconds.
pub const AHEAD_MAX_MS: i64 = 3_600_000;

/// Judges one record. Never panics, whatever the bytes.
pub fn decode<'a>(record: &Record<'a>) -> Decoded<'a> {
    let Some(payload) = record.payload else { return Decoded::Tombstone };
    match judge(payload, record) {
        Ok(event) => Decoded::Event(event),
        Err(reject) => Decoded::Rejected(reject),
    }
}

/// False if the record is certainly no `test.executed` event: its payload holds neither that name
/// nor an escape. Costs a tenth of decoding.
pub fn may_be_test_executed(record: &Record<'_>) -> bool {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"test.executed"));
    let Some(payload) = record.payload else { return false };
    NAME.find(payload).is_some() || memchr::memchr(b'\\', payload).is_some()
}

/// The account that a payload names, which is the key that its record must carry; `None` if it
/// names none, or none that is well-formed. Other defects of the payload are ignored.
pub fn account_key(payload: &[u8]) -> Option<IdRef<'_>> {
    let mut envelope = Envelope::default();
    envelope.fill(std::str::from_utf8(payload).ok()?)?;
    value::id(envelope.fields.account_id)
}

/// The steps are in the contract's order, which decides which of several reasons is given. Inlined,
/// so that the event is built in place.
#[inline(always)]
fn judge<'a>(payload: &'a [u8], record: &Record<'_>) -> Result<Event<'a>, Reject> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Reject { reason: RejectReason::TooLarge, path: "" });
    }
    let mut envelope = Envelope::default();
    let json = simdutf8::basic::from_utf8(payload).ok().and_then(|text| envelope.fill(text));
    json.ok_or(Reject { reason: RejectReason::InvalidJson, path: "" })?;

    let id = required("id", envelope.id, nonempty_text)?;
    let source = required("source", envelope.source, nonempty_text)?;
    let type_name = required("type", envelope.event_type, text)?;
    let time_ms = required("time", envelope.time, |raw| time::rfc3339_ms(&text(raw)?))?;
    match envelope.data {
        Data::Object => {}
        Data::Absent => return Err(Reject { reason: RejectReason::MissingField, path: "data" }),
        Data::NotAnObject => {
            return Err(Reject { reason: RejectReason::InvalidField, path: "data" });
        }
    }

    let event_type = EventType::named(&type_name)
        .ok_or(Reject { reason: RejectReason::UnknownType, path: "" })?;
    judge_time(time_ms, record.timestamp_ms)?;
    let (account, kind) = data::judge(event_type, &envelope.fields, source)?;
    // The key decides the partition, and with it the order that an account's events are counted in.
    if !record.key.is_some_and(|key| account.is_text(key)) {
        return Err(Reject { reason: RejectReason::InvalidField, path: "$key" });
    }
    Ok(Event { id, time_ms, account, kind })
}

fn judge_time(time_ms: i64, timestamp_ms: Option<i64>) -> Result<(), Reject> {
    if time_ms < TIME_MIN_MS {
        return Err(Reject { reason: RejectReason::TimeTooOld, path: "" });
    }
    let ahead =
        timestamp_ms.is_some_and(|timestamp| time_ms > timestamp.saturating_add(AHEAD_MAX_MS));
    if ahead || time_ms >= TIME_END_MS {
        return Err(Reject { reason: RejectReason::TimeInFuture, path: "" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
