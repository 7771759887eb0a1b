//! Mutations: damage by producers, networks and disks, and by attackers.

use super::Sample;
use crate::simulation::dice::Dice;

/// Kinds of mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Mutation {
    /// Unchanged.
    None,
    /// No value.
    Tombstone,
    /// Truncated.
    Truncated,
    /// Some bits flipped.
    BitsFlipped,
    /// Some bytes removed.
    BytesRemoved,
    /// Some bytes repeated elsewhere.
    BytesCopied,
    /// Some structural bytes of JSON replaced by others.
    SyntaxReplaced,
    /// The beginning of one record and the end of another.
    Spliced,
    /// Bytes that are not UTF-8 put in.
    InvalidUtf8,
    /// The content of a string replaced by one that ids, or texts of their length, may or may not
    /// be.
    StringReplaced,
    /// A field replaced by, or followed by, a nest of containers, closed or not.
    Nested,
    /// Grown to around the limit or far beyond, by whitespace, an unknown field, or a field that
    /// matters.
    Huge,
    /// Another key, or none.
    OtherKey,
    /// A record timestamp far from the event's time.
    OtherTimestamp,
    /// Emptied.
    Noise,
}

impl Mutation {
    pub(super) const ALL: [Self; 15] = [
        Self::None,
        Self::Tombstone,
        Self::Truncated,
        Self::BitsFlipped,
        Self::BytesRemoved,
        Self::BytesCopied,
        Self::SyntaxReplaced,
        Self::Spliced,
        Self::InvalidUtf8,
        Self::StringReplaced,
        Self::Nested,
        Self::Huge,
        Self::OtherKey,
        Self::OtherTimestamp,
        Self::Noise,
    ];

    /// Frequency of each kind, in the order of `ALL`. Huge ones are rare because they cost the most
    /// time.
    pub(super) const WEIGHTS: [usize; 15] =
        [200, 30, 100, 250, 80, 80, 150, 40, 50, 100, 30, 1, 30, 20, 20];
}

/// Mutates the sample. `other` is another one, to splice with.
pub(super) fn mutate(dice: &mut Dice, mutation: Mutation, sample: &mut Sample, other: &Sample) {
    let Some(payload) = &mut sample.payload else { return };
    let at = dice.below(payload.len() + 1);
    match mutation {
        Mutation::None => {}
        Mutation::Tombstone => sample.payload = None,
        // At least the last brace is removed.
        Mutation::Truncated => payload.truncate(at.min(payload.trim_ascii_end().len() - 1)),
        Mutation::BitsFlipped => {
            for _ in 0..1 + dice.below(3) {
                let at = dice.below(payload.len());
                payload[at] ^= 1 << dice.below(8);
            }
        }
        Mutation::BytesRemoved => {
            let end = (at + 1 + dice.below(8)).min(payload.len());
            payload.drain(at..end);
        }
        Mutation::BytesCopied => {
            let end = (at + 1 + dice.below(40)).min(payload.len());
            let copied = payload[at..end].to_vec();
            insert(payload, dice.below(payload.len() + 1), &copied);
        }
        Mutation::SyntaxReplaced => replace_syntax(dice, payload),
        Mutation::Spliced => {
            let other = other.payload.as_deref().unwrap_or_default();
            payload.truncate(at);
            payload.extend_from_slice(&other[dice.below(other.len() + 1)..]);
        }
        Mutation::InvalidUtf8 => {
            let bytes: &[u8] = dice.pick::<&[u8]>(&[
                b"\xff",
                b"\xc3",
                b"\x80",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
                b"\xc0\x80",
            ]);
            insert(payload, at, bytes);
        }
        Mutation::StringReplaced => replace_string(dice, payload),
        Mutation::Nested => nest(dice, payload),
        Mutation::Huge => grow(dice, payload),
        Mutation::OtherKey => {
            sample.key = match dice.below(3) {
                0 => None,
                1 => other.key.clone(),
                _ => Some((0..dice.below(10)).map(|_| byte(dice)).collect()),
            }
        }
        Mutation::OtherTimestamp => {
            sample.timestamp_ms =
                Some(*dice.pick(&[0, i64::MIN, i64::MAX, 1_000_000_000_000, 2_000_000_000_000]));
        }
        Mutation::Noise => *payload = (0..dice.below(100)).map(|_| byte(dice)).collect(),
    }
}

fn byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.below(256)).unwrap()
}

fn insert(payload: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    payload.splice(at..at, bytes.iter().copied());
}

/// Replaces single characters by others that mean something in JSON or in a timestamp: the result
/// is often still JSON.
fn replace_syntax(dice: &mut Dice, payload: &mut [u8]) {
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(payload.len());
        payload[at] = *dice.pick(b"{}[]:,\"\\0123456789-+.eEtTzZnu /ab");
    }
}

/// Replaces the content between two quotes: of a value, of a name, or of the text between strings.
fn replace_string(dice: &mut Dice, payload: &mut Vec<u8>) {
    let quotes: Vec<_> = (0..payload.len()).filter(|&at| payload[at] == b'"').collect();
    let first = dice.below(quotes.len() - 1);
    let length = *dice.pick(&[64, 65, 128, 129, 4_096, 4_097]);
    let content = match dice.below(7) {
        0 => ".".to_owned(),
        1 => "..".to_owned(),
        2 => "\u{feff}acme".to_owned(),
        3 => "a\\ufeffb".to_owned(),
        4 => "a\u{85}".to_owned(),
        5 => "é".repeat(length / 2),
        _ => "z".repeat(length),
    };
    payload.splice(quotes[first] + 1..quotes[first + 1], content.into_bytes());
}

/// Puts a nest in place of `null`, of an empty container, or of a member's value, or behind the
/// first brace.
fn nest(dice: &mut Dice, payload: &mut Vec<u8>) {
    let depth = [10, 130, 1_000, 30_000][dice.weighted(&[40, 30, 29, 1])];
    let (open, close) = *dice.pick(&[("[", "]"), ("{\"a\":", "}"), ("[{\"data\":", "}]")]);
    let closed = if dice.chance(70) { depth } else { dice.below(depth) };
    let nest = format!("{}0{}", open.repeat(depth), close.repeat(closed));
    let colons: Vec<_> = (0..payload.len()).filter(|&at| payload[at] == b':').collect();
    if colons.is_empty() || dice.chance(50) {
        let member = format!("\"nest\":{nest},");
        insert(payload, 1, member.as_bytes());
    } else {
        let at = *dice.pick(&colons) + 1;
        let end = payload[at..]
            .iter()
            .position(|&byte| byte == b',')
            .map_or(payload.len(), |length| at + length);
        payload.splice(at..end, nest.into_bytes());
    }
}

fn grow(dice: &mut Dice, payload: &mut Vec<u8>) {
    const LIMIT_BYTES: usize = 1 << 20;
    let bytes = *dice.pick(&[LIMIT_BYTES - 1, LIMIT_BYTES, LIMIT_BYTES + 1, 3 * LIMIT_BYTES]);
    let missing = bytes - payload.len();
    match dice.below(3) {
        0 => payload.resize(bytes, b' '),
        1 => {
            let unknown = format!("\"x\":\"{}\",", "y".repeat(missing.saturating_sub(7)));
            insert(payload, 1, unknown.as_bytes());
        }
        _ => {
            let quotes: Vec<_> = (0..payload.len()).filter(|&at| payload[at] == b'"').collect();
            let at = *dice.pick(&quotes) + 1;
            insert(payload, at, "z".repeat(missing).as_bytes());
        }
    }
}
