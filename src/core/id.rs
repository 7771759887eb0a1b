//! Identifiers of accounts, organizations, projects and users.
//!
//! An identifier arrives as a JSON string or as a non-negative JSON integer below 2^63; `42` and
//! `"42"` are the same. The canonical form keeps canonical decimals as numbers, which makes
//! comparing cheap and needs no heap.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher24;
use smol_str::SmolStr;

/// The largest number an identifier may be, inclusive: 2^63 - 1.
pub const NUMBER_MAX: u64 = i64::MAX as u64;

/// The longest identifier, bytes of UTF-8; a user's may be longer.
pub const ID_BYTES_MAX: usize = 64;

/// The longest user id, bytes of UTF-8.
pub const USER_ID_BYTES_MAX: usize = 128;

/// Why a text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFault {
    Empty,
    /// More bytes than allowed.
    TooLong,
    /// A control character (C0, DEL, C1).
    Control,
    /// U+FEFF, which readers of text take for a byte order mark and drop, so that two ids would
    /// look alike.
    ByteOrderMark,
    /// `.` or `..`, which every client takes out of a URL's path.
    DotSegment,
}

/// Judges a text as an identifier of at most `bytes_max` bytes.
///
/// # Errors
/// The first fault, in the order of [`IdFault`].
pub fn judge_text(text: &str, bytes_max: usize) -> Result<(), IdFault> {
    if text.is_empty() {
        return Err(IdFault::Empty);
    }
    if text.len() > bytes_max {
        return Err(IdFault::TooLong);
    }
    let is_printable_ascii = text.bytes().all(|byte| matches!(byte, 0x20..0x7f));
    // `char::is_control` is Unicode's category Cc: C0, DEL and C1.
    if !is_printable_ascii && text.chars().any(char::is_control) {
        return Err(IdFault::Control);
    }
    if !is_printable_ascii && text.contains('\u{feff}') {
        return Err(IdFault::ByteOrderMark);
    }
    if matches!(text, "." | "..") { Err(IdFault::DotSegment) } else { Ok(()) }
}

/// The secret of a deployment by which text ids of users are hashed. Without it, someone who
/// chooses ids could search for two that share a key and would count as one user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserKeySeed {
    /// The first half of SipHash's key.
    pub k0: u64,
    /// Its second half.
    pub k1: u64,
}

impl fmt::Debug for UserKeySeed {
    // The seed is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKeySeed")
    }
}

/// An owned identifier in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A canonical decimal (no leading zero) of at most [`NUMBER_MAX`].
    Number(u64),
    /// Any other text. Never a canonical decimal of at most [`NUMBER_MAX`]. Most are short and
    /// stand here themselves, so that comparing them needs no access to the heap.
    Text(SmolStr),
}

/// An identifier in canonical form that borrows from the payload it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdRef<'a> {
    /// See [`Id::Number`].
    Number(u64),
    /// See [`Id::Text`].
    Text(Cow<'a, str>),
}

/// Reads a canonical decimal of at most [`NUMBER_MAX`]; `None` where the text is anything else.
pub(super) fn canonical_number(text: &[u8]) -> Option<u64> {
    if matches!(text, [] | [b'0', _, ..]) || text.len() > 19 {
        return None;
    }
    // 19 digits make less than 2^64.
    let number = text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })?;
    (number <= NUMBER_MAX).then_some(number)
}

impl<'a> IdRef<'a> {
    /// The canonical form of an identifier given as text. The decoder checks length and characters.
    pub fn from_text(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        match canonical_number(text.as_bytes()) {
            Some(number) => Self::Number(number),
            None => Self::Text(text),
        }
    }

    /// The user's 64-bit key in bitmaps: its number where the id is one, else `SipHash-2-4(seed,
    /// id) | 1 << 63`, so that an analyst can compute it in SQL as `bitOr(sipHash64Keyed(seed,
    /// user_id), bitShiftLeft(toUInt64(1), 63))`.
    // A dense number for each text would make its bitmaps three times cheaper to merge (bench
    // `pipeline -- ids`). But every partition, replay and rebuild that meets the user would have to
    // give it the same number, before any row is written, and no other user that number ever: a
    // mistake would be a wrong count. A hash needs no memory of anything.
    pub fn user_key(&self, seed: UserKeySeed) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => {
                SipHasher24::new_with_keys(seed.k0, seed.k1).hash(text.as_bytes()) | 1 << 63
            }
        }
    }

    /// An owned copy.
    pub fn to_id(&self) -> Id {
        match self {
            Self::Number(number) => Id::Number(*number),
            Self::Text(text) => Id::Text(SmolStr::new(text)),
        }
    }

    /// True if `key`, a Kafka record key, is exactly this identifier's text.
    pub fn is_text(&self, key: &[u8]) -> bool {
        match self {
            Self::Number(number) => canonical_number(key) == Some(*number),
            Self::Text(text) => text.as_bytes() == key,
        }
    }
}

impl Id {
    /// The canonical form of an identifier given as text.
    pub fn from_text(text: &str) -> Self {
        IdRef::from_text(text).to_id()
    }

    /// See [`IdRef::user_key`].
    pub fn user_key(&self, seed: UserKeySeed) -> u64 {
        self.as_ref().user_key(seed)
    }

    /// A borrowing view.
    pub fn as_ref(&self) -> IdRef<'_> {
        match self {
            Self::Number(number) => IdRef::Number(*number),
            Self::Text(text) => IdRef::Text(Cow::Borrowed(text)),
        }
    }
}

// Both forms hash alike, so that a map keyed by `Id` can be asked with an `IdRef` without making an
// owned copy.
fn hash_id<H: Hasher>(number: Option<u64>, text: &str, state: &mut H) {
    match number {
        Some(number) => state.write_u64(number),
        None => {
            state.write(text.as_bytes());
            state.write_u8(0xff);
        }
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Number(number) => hash_id(Some(*number), "", state),
            Self::Text(text) => hash_id(None, text, state),
        }
    }
}

impl Hash for IdRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Number(number) => hash_id(Some(*number), "", state),
            Self::Text(text) => hash_id(None, text, state),
        }
    }
}

impl From<&IdRef<'_>> for Id {
    fn from(id: &IdRef<'_>) -> Self {
        id.to_id()
    }
}

impl hashbrown::Equivalent<Id> for IdRef<'_> {
    fn equivalent(&self, key: &Id) -> bool {
        match (self, key) {
            (Self::Number(a), Id::Number(b)) => a == b,
            (Self::Text(a), Id::Text(b)) => a.as_ref() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for IdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

// Ordered by the text, as reports and queries order identifiers.
impl Ord for Id {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_texts_depend_on_the_seed_and_those_of_numbers_do_not() {
        let (one, other) = (UserKeySeed { k0: 1, k1: 2 }, UserKeySeed { k0: 1, k1: 3 });
        for id in ["u-ben", "007", "9223372036854775808", ""] {
            let id = Id::from_text(id);
            assert_ne!(id.user_key(one), id.user_key(other), "{id}");
            assert!(id.user_key(one) >= 1 << 63, "{id}");
        }
        for number in [0, 7, NUMBER_MAX] {
            assert_eq!(Id::Number(number).user_key(one), number);
            assert_eq!(Id::Number(number).user_key(other), number);
        }
    }

    #[test]
    fn the_key_is_what_clickhouse_computes() {
        // SELECT bitOr(sipHash64Keyed((toUInt64(1), toUInt64(2)), 'abc'), bitShiftLeft(toUInt64(1),
        // 63))
        assert_eq!(
            IdRef::from_text("abc").user_key(UserKeySeed { k0: 1, k1: 2 }),
            15_085_598_991_770_005_917
        );
    }

    #[test]
    fn an_identifier_takes_no_more_memory_than_it_must() {
        assert_eq!(size_of::<Id>(), 24);
        assert_eq!(size_of::<Option<Id>>(), 24);
    }

    #[test]
    fn a_seed_is_not_printed() {
        assert_eq!(format!("{:?}", UserKeySeed { k0: 77, k1: 77 }), "UserKeySeed");
    }
}
