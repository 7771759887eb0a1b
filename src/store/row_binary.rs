//! ClickHouse's RowBinary format, as far as our tables need it. Numbers are little-endian, lengths
//! are LEB128.
//!
//! It is written by hand because a bitmap state has no length and no type that a serde serializer
//! could name, and because whole flushes are encoded here: no allocation per field.

use std::io::Write as _;

use roaring::RoaringTreemap;

use crate::core::calendar::Day;
use crate::core::id::Id;

/// The most users that `groupBitmap` keeps as a plain list (ClickHouse's
/// `RoaringBitmapWithSmallSet<T, 32>`).
const SMALL_SET_MAX: usize = 32;
/// First byte of a bitmap state that is a plain list.
const SMALL_SET: u8 = 0;
/// First byte of a bitmap state in portable roaring form.
const ROARING: u8 = 1;

/// Encoded rows of one table.
#[derive(Debug, Default)]
pub(super) struct RowBuffer {
    bytes: Vec<u8>,
}

impl RowBuffer {
    /// Their bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The encoded rows.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A `String`, of text or of any bytes.
    pub(super) fn string(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// A `Nullable(String)`.
    pub(super) fn nullable_string(&mut self, value: Option<&[u8]>) {
        self.null(value.is_none());
        if let Some(value) = value {
            self.string(value);
        }
    }

    /// An id as `String`.
    pub(super) fn id(&mut self, id: &Id) {
        match id {
            Id::Text(text) => self.string(text.as_str()),
            Id::Number(number) => {
                // A number has at most 19 digits, so that its length is one byte, known once the
                // digits are written.
                let at = self.bytes.len();
                self.bytes.push(0);
                write!(self.bytes, "{number}").expect("a Vec takes every write");
                let digits = self.bytes.len() - at - 1;
                self.bytes[at] =
                    u8::try_from(digits).expect("a 64-bit number has at most 20 digits");
            }
        }
    }

    /// An id as `String`, empty where there is none.
    pub(super) fn optional_id(&mut self, id: Option<&Id>) {
        match id {
            Some(id) => self.id(id),
            None => self.bytes.push(0),
        }
    }

    /// A `UInt64`.
    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `Nullable(UInt64)`.
    pub(super) fn nullable_u64(&mut self, value: Option<u64>) {
        self.null(value.is_none());
        if let Some(value) = value {
            self.u64(value);
        }
    }

    /// A `UInt32`.
    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `Bool`.
    pub(super) fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// An `Int32`.
    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// An `Enum8`, by its number.
    pub(super) fn enum8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `DateTime64(3, 'UTC')`, milliseconds since 1970.
    pub(super) fn time_ms(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `Nullable(DateTime64(3, 'UTC'))`.
    pub(super) fn nullable_time_ms(&mut self, value: Option<i64>) {
        self.null(value.is_none());
        if let Some(value) = value {
            self.time_ms(value);
        }
    }

    /// A `Date`.
    pub(super) fn day(&mut self, day: Day) {
        let days =
            u16::try_from(day.0).expect("events lie within 2000..2099, and a Date ends in 2149");
        self.bytes.extend_from_slice(&days.to_le_bytes());
    }

    /// An `AggregateFunction(groupBitmap, UInt64)` state of keys that ascend, each once.
    pub(super) fn bitmap(&mut self, users: &[u64]) {
        debug_assert!(
            users.is_sorted_by(|a, b| a < b),
            "a small set with a key twice would count it twice"
        );
        if users.len() <= SMALL_SET_MAX {
            self.bytes.push(SMALL_SET);
            self.bytes.push(u8::try_from(users.len()).expect("at most 32"));
            users.iter().for_each(|user| self.u64(*user));
            return;
        }
        let users: RoaringTreemap = users.iter().copied().collect();
        self.bytes.push(ROARING);
        self.length(users.serialized_size());
        users.serialize_into(&mut self.bytes).expect("a Vec takes every write");
    }

    fn null(&mut self, is_null: bool) {
        self.bytes.push(u8::from(is_null));
    }

    fn length(&mut self, length: usize) {
        let mut rest = length;
        loop {
            let low = u8::try_from(rest & 0x7f).expect("seven bits");
            rest >>= 7;
            if rest == 0 {
                self.bytes.push(low);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut RowBuffer), expected: &[u8]) {
        let mut buffer = RowBuffer::default();
        write(&mut buffer);
        assert_eq!(buffer.into_bytes(), expected);
    }

    #[test]
    fn ids_are_written_as_their_text() {
        check(|b| b.id(&Id::Number(0)), b"\x010");
        check(|b| b.id(&Id::Number(9_223_372_036_854_775_807)), b"\x139223372036854775807");
        check(|b| b.id(&Id::from_text("é")), b"\x02\xc3\xa9");
        check(|b| b.optional_id(None), b"\0");
    }

    #[test]
    fn lengths_beyond_seven_bits_take_more_bytes() {
        let long = vec![b'x'; 300];
        let mut expected = vec![0xac, 0x02];
        expected.extend_from_slice(&long);
        check(|b| b.string(&long), &expected);
        check(|b| b.string([0_u8, 0xff, b'\n']), b"\x03\0\xff\n");
    }

    #[test]
    fn nulls_are_flagged_before_the_value() {
        check(|b| b.nullable_u64(None), &[1]);
        check(|b| b.nullable_u64(Some(258)), &[0, 2, 1, 0, 0, 0, 0, 0, 0]);
        check(|b| b.nullable_string(Some(b"")), &[0, 0]);
    }

    #[test]
    fn small_bitmaps_are_lists_and_larger_ones_roaring() {
        check(|b| b.bitmap(&[7]), &[0, 1, 7, 0, 0, 0, 0, 0, 0, 0]);
        let mut buffer = RowBuffer::default();
        buffer.bitmap(&(0..32).collect::<Vec<u64>>());
        assert_eq!(buffer.into_bytes()[..2], [SMALL_SET, 32]);
        let larger: RoaringTreemap = (0..33).collect();
        let mut buffer = RowBuffer::default();
        buffer.bitmap(&larger.iter().collect::<Vec<u64>>());
        let bytes = buffer.into_bytes();
        assert_eq!(bytes[0], ROARING);
        assert_eq!(usize::from(bytes[1]), larger.serialized_size());
        assert_eq!(
            RoaringTreemap::deserialize_from(&bytes[2..]).expect("portable roaring"),
            larger
        );
    }
}
