//! Cursors: where a page ended, as an opaque text that is good for the same account and query
//! alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::id::{OrganizationId, UserId};

/// Bytes of the checksum that a cursor carries.
const CHECKSUM_BYTES: usize = 16;

/// The longest text that a cursor carries whole, bytes. A name may be as long as a record, and an
/// address may not: of a longer one the cursor carries the beginning.
const TEXT_BYTES_MAX: usize = 256;

/// The longest cursor that is looked at, bytes: a text and two ids, each of whose bytes may take
/// six as JSON, in base64.
const CURSOR_BYTES_MAX: usize = 8 * 1024;

/// Where a page ended: the last row's place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentPosition {
    /// The value that the rows are sorted by.
    pub key: SortValue,
    /// Breaks ties, first.
    pub user_id: UserId,
    /// Breaks ties, then.
    pub organization_id: OrganizationId,
}

/// A value that rows are sorted by; nulls come last in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    Null,
    Text(String),
    /// The beginning of a text that is too long for a cursor. The row's ids tell the rest.
    Beginning(String),
    /// Milliseconds since 1970 UTC.
    Time(i64),
}

impl SortValue {
    /// A text, or its beginning where it is too long for a cursor.
    pub fn text(text: &str) -> Self {
        if text.len() <= TEXT_BYTES_MAX {
            return Self::Text(text.to_owned());
        }
        Self::Beginning(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned())
    }
}

impl AssignmentPosition {
    /// The cursor. `scope` names the account and the query.
    pub fn encode(&self, scope: &str) -> String {
        let key = match &self.key {
            SortValue::Null => serde_json::Value::Null,
            SortValue::Text(text) => text.as_str().into(),
            SortValue::Beginning(text) => serde_json::json!([text]),
            SortValue::Time(time_ms) => (*time_ms).into(),
        };
        seal(scope, &serde_json::json!([key, self.user_id, self.organization_id]))
    }

    /// Reads a cursor back; `None` where it is made up, changed, or of another scope.
    pub fn decode(cursor: &str, scope: &str) -> Option<Self> {
        let (key, user_id, organization_id) = unseal(scope, cursor)?;
        let key = match key {
            serde_json::Value::Null => SortValue::Null,
            serde_json::Value::String(text) => SortValue::Text(text),
            serde_json::Value::Number(number) => SortValue::Time(number.as_i64()?),
            serde_json::Value::Array(beginning) => {
                let [serde_json::Value::String(text)] = <[_; 1]>::try_from(beginning).ok()? else {
                    return None;
                };
                SortValue::Beginning(text)
            }
            _ => return None,
        };
        Some(Self { key, user_id, organization_id })
    }
}

/// A cursor that carries the payload. `scope` names the account and the query.
pub fn seal(scope: &str, payload: &serde_json::Value) -> String {
    let payload = payload.to_string();
    let mut bytes = checksum(scope, payload.as_bytes()).to_vec();
    bytes.extend_from_slice(payload.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The payload of a cursor; `None` where it is made up, changed, or of another scope.
pub fn unseal<T: DeserializeOwned>(scope: &str, cursor: &str) -> Option<T> {
    if cursor.len() > CURSOR_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (sum, payload) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if *sum != checksum(scope, payload) {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

/// Binds a payload to its scope. It keeps mistakes out, not attackers: a cursor opens nothing that
/// its bearer may not read anyway.
fn checksum(scope: &str, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update(b"seatmeter assignments cursor 2\0");
    hash.update(u64::try_from(scope.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(scope.as_bytes());
    hash.update(payload);
    let digest: [u8; 32] = hash.finalize().into();
    digest[..CHECKSUM_BYTES].try_into().expect("half a digest has 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(key: SortValue) -> AssignmentPosition {
        AssignmentPosition { key, user_id: "u\"1".into(), organization_id: "é".into() }
    }

    #[test]
    fn a_cursor_is_read_back_in_its_own_scope_alone() {
        let long = SortValue::text(&"é".repeat(100_000));
        for key in
            [SortValue::Null, SortValue::text("=cmd"), long, SortValue::Time(1_772_356_353_123)]
        {
            let cursor = position(key.clone()).encode("a");
            assert_eq!(AssignmentPosition::decode(&cursor, "a"), Some(position(key)));
            assert_eq!(AssignmentPosition::decode(&cursor, "b"), None);
        }
    }

    #[test]
    fn a_cursor_is_short_whatever_the_row_is_called() {
        let longest = "\u{1}".repeat(1 << 20);
        let key = SortValue::text(&longest);
        assert_eq!(key, SortValue::Beginning(longest[..TEXT_BYTES_MAX].to_owned()));
        let ids = |bytes| "\"".repeat(bytes);
        let position =
            AssignmentPosition { key, user_id: ids(128).into(), organization_id: ids(64).into() };
        let cursor = position.encode("a");
        assert!(cursor.len() < CURSOR_BYTES_MAX, "{}", cursor.len());
        assert_eq!(AssignmentPosition::decode(&cursor, "a"), Some(position));
        assert_eq!(
            SortValue::text(&format!("a{}", "é".repeat(200))),
            SortValue::Beginning(format!("a{}", "é".repeat(127)))
        );
    }

    #[test]
    fn a_changed_or_made_up_cursor_is_refused() {
        let cursor = position(SortValue::Null).encode("a");
        for index in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                AssignmentPosition::decode(std::str::from_utf8(&changed).unwrap(), "a"),
                None,
                "byte {index}"
            );
        }
        for made_up in ["", "A", "!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(100_000)] {
            assert_eq!(AssignmentPosition::decode(made_up, "a"), None);
        }
    }
}
