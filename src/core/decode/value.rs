//! Judges single values: the types and ranges that the contract gives to fields.

use std::borrow::Cow;

use super::json::Raw;
use crate::core::event::{Reject, RejectReason};
use crate::core::id::{
    ID_BYTES_MAX, IdRef, NUMBER_MAX, USER_ID_BYTES_MAX, canonical_number, judge_text,
};

/// The longest event id, event source, name or email, bytes of UTF-8.
const TEXT_BYTES_MAX: usize = 4096;

/// The value of a required field. `read` answers `None` where the value is not of the field's type
/// or range.
#[inline(always)]
pub(super) fn required<'a, T>(
    path: &'static str,
    raw: Raw<'a>,
    read: impl FnOnce(Raw<'a>) -> Option<T>,
) -> Result<T, Reject> {
    optional(path, raw, read)?.ok_or(Reject { reason: RejectReason::MissingField, path })
}

/// The value of a field that may be absent, or null, which is the same.
#[inline(always)]
pub(super) fn optional<'a, T>(
    path: &'static str,
    raw: Raw<'a>,
    read: impl FnOnce(Raw<'a>) -> Option<T>,
) -> Result<Option<T>, Reject> {
    if matches!(raw, Raw::Absent | Raw::Null) {
        return Ok(None);
    }
    read(raw).map(Some).ok_or(Reject { reason: RejectReason::InvalidField, path })
}

/// A string. One with a lone surrogate is not Unicode text, and is refused.
#[inline(always)]
pub(super) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    match raw {
        Raw::Text(text) => Some(Cow::Borrowed(text)),
        Raw::EscapedText(quoted) => serde_json::from_str(quoted).ok().map(Cow::Owned),
        _ => None,
    }
}

/// A string that is kept, and so is bounded.
pub(super) fn short_text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    text(raw).filter(|text| text.len() <= TEXT_BYTES_MAX)
}

/// A bounded string of at least one character.
pub(super) fn nonempty_text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    short_text(raw).filter(|text| !text.is_empty())
}

/// An identifier of anything but a user.
pub(super) fn id(raw: Raw<'_>) -> Option<IdRef<'_>> {
    id_up_to(ID_BYTES_MAX, raw)
}

/// A user's identifier.
pub(super) fn user_id(raw: Raw<'_>) -> Option<IdRef<'_>> {
    id_up_to(USER_ID_BYTES_MAX, raw)
}

fn id_up_to(bytes_max: usize, raw: Raw<'_>) -> Option<IdRef<'_>> {
    if let Raw::Number(_) = raw {
        return integer(raw, 0, NUMBER_MAX).map(IdRef::Number);
    }
    text(raw).filter(|text| judge_text(text, bytes_max).is_ok()).map(IdRef::from_text)
}

/// An integer from `min` to `max`, which is at most [`NUMBER_MAX`], written without fraction or
/// exponent.
pub(super) fn integer(raw: Raw<'_>, min: u64, max: u64) -> Option<u64> {
    let number: u64 = match raw {
        // JSON allows a sign on zero; `-0` is the only integer with a sign that is not negative.
        Raw::Number("-0") => 0,
        Raw::Number(digits) => canonical_number(digits.as_bytes())?,
        _ => return None,
    };
    (min..=max).contains(&number).then_some(number)
}
