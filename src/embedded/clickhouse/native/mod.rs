//! Blocks of `FORMAT Native` as clients that name a `client_protocol_version` read them.
//!
//! The engine writes blocks for a client without a version. With one, a server puts a description
//! before each block, and since 54454 a byte before each column's values. To put them in, the
//! columns have to be told apart, by their [types](layout).

mod layout;
mod reader;

use self::layout::Layout;
use self::reader::Reader;
use crate::embedded::libchdb::EngineError;

/// The version since which a byte before a column's values says how they are written.
const WITH_CUSTOM_SERIALIZATION: u64 = 54_454;
/// Field 1, no overflows; field 2, bucket -1: no bucket; no more fields.
const BLOCK_INFO: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];
/// A column in its usual form.
const USUAL_SERIALIZATION: u8 = 0;

/// Blocks of version 0 as blocks of that version, above 0.
///
/// # Errors
///
/// A column is of a type that is not known here, which the error names.
pub(super) fn for_version(blocks: &[u8], version: u64) -> Result<Vec<u8>, EngineError> {
    let mut written = Vec::with_capacity(blocks.len() + 64);
    let mut reader = Reader { bytes: blocks, at: 0 };
    while reader.at < blocks.len() {
        written.extend(BLOCK_INFO);
        let start = reader.at;
        let columns = reader.length()?;
        let rows = reader.length()?;
        written.extend(&blocks[start..reader.at]);
        for _ in 0..columns {
            let start = reader.at;
            reader.text()?;
            let type_name = String::from_utf8_lossy(reader.text()?).into_owned();
            written.extend(&blocks[start..reader.at]);
            if version >= WITH_CUSTOM_SERIALIZATION {
                written.push(USUAL_SERIALIZATION);
            }
            if rows > 0 {
                let start = reader.at;
                Layout::of(&type_name)?.skip(&mut reader, rows)?;
                written.extend(&blocks[start..reader.at]);
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of one column.
    fn block(type_name: &str, rows: u8, values: &[u8]) -> Vec<u8> {
        let mut block = vec![1, rows, 1, b'c', u8::try_from(type_name.len()).unwrap()];
        block.extend(type_name.as_bytes());
        block.extend(values);
        block
    }

    /// Checks that a column ends where its values end: another block follows.
    fn check(type_name: &str, rows: u8, values: &[u8]) {
        let blocks = [block(type_name, rows, values), block("UInt8", 1, &[9])].concat();
        let head_bytes = 5 + type_name.len();
        let expected = [
            &BLOCK_INFO[..],
            &blocks[..head_bytes],
            &[USUAL_SERIALIZATION],
            values,
            &BLOCK_INFO,
            b"\x01\x01\x01c\x05UInt8",
            &[USUAL_SERIALIZATION, 9],
        ];
        let found = for_version(&blocks, WITH_CUSTOM_SERIALIZATION).expect(type_name);
        assert_eq!(found, expected.concat(), "{type_name}");
        for cut in 1..values.len() {
            let error = for_version(&blocks[..head_bytes + cut], 1).expect_err(type_name);
            assert_eq!(error.code, 1001, "{type_name}, cut at {cut}: {error}");
        }
    }

    #[test]
    fn an_old_client_gets_the_description_of_the_block_alone() {
        let expected = [&BLOCK_INFO[..], &block("UInt8", 1, &[7])].concat();
        assert_eq!(for_version(&block("UInt8", 1, &[7]), 54_405).unwrap(), expected);
        assert_eq!(for_version(b"", 54_405).unwrap(), b"");
    }

    #[test]
    fn columns_end_where_their_values_end() {
        check("UInt64", 2, &[0; 16]);
        check("String", 2, b"\x02ab\x00");
        check("String", 1, &[&[0x80, 1][..], &[b'x'; 128]].concat());
        check("FixedString(3)", 2, b"abcdef");
        check("Nullable(String)", 2, b"\x00\x01\x01a\x00");
        check("DateTime64(3, 'UTC')", 1, &[0; 8]);
        check("Decimal(18, 2)", 1, &[0; 8]);
        check("Decimal(76, 2)", 1, &[0; 32]);
        check("Enum8('a\\'),' = 1, 'b' = 2)", 2, &[1, 2]);
        check("SimpleAggregateFunction(max, UInt32)", 1, &[0; 4]);
        check("UInt8", 0, &[]);
    }

    #[test]
    fn nested_columns_end_where_their_values_end() {
        let offsets = |ends: &[u64]| ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        let two: Vec<u8> = offsets(&[2, 3]);
        check("Array(UInt16)", 2, &[two.as_slice(), &[0; 6]].concat());
        check("Map(String, UInt8)", 2, &[two.as_slice(), b"\x01a\x01b\x01c", &[1, 2, 3]].concat());
        let inner: Vec<u8> = offsets(&[1, 1, 1]);
        check("Array(Array(UInt8))", 2, &[two.as_slice(), &inner, &[7]].concat());
        let empty: Vec<u8> = offsets(&[0, 0]);
        check("Array(String)", 2, &empty);
        check("Tuple(UInt8, String)", 2, b"\x01\x02\x01a\x01b");
        check("Tuple(n UInt8, `s t` Nullable(String))", 1, b"\x01\x00\x01a");
        check("Tuple()", 2, b"00");
        check("Point", 1, &[0; 16]);
        check("Nested(a UInt8, b String)", 1, &[&offsets(&[1])[..], b"\x01\x01b"].concat());
    }

    #[test]
    fn dictionaries_and_bitmaps_end_where_they_end() {
        let number = |number: u64| number.to_le_bytes();
        let dictionary =
            [&number(0x600)[..], &number(2), b"\x00\x01a", &number(3), &[1, 0, 1]].concat();
        let column = [&number(1)[..], &dictionary].concat();
        check("LowCardinality(String)", 3, &column);
        check("LowCardinality(Nullable(String))", 3, &column);
        // The versions of nested dictionaries come before all values.
        let offsets = [number(1), number(3)].concat();
        check(
            "Array(LowCardinality(String))",
            2,
            &[&number(1)[..], &offsets, &dictionary].concat(),
        );
        check(
            "Tuple(LowCardinality(String), LowCardinality(String))",
            3,
            &[&number(1)[..], &number(1), &dictionary, &dictionary].concat(),
        );
        let empty = [&number(1)[..], &number(0)].concat();
        check("Array(LowCardinality(String))", 1, &empty);
        let few = [&[0, 2][..], &number(5), &number(6)].concat();
        check("AggregateFunction(groupBitmap, UInt64)", 2, &[&few[..], &[1, 3, 7, 7, 7]].concat());
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_by_name() {
        for type_name in
            ["AggregateFunction(uniq, UInt64)", "Dynamic", "JSON", "Array(Variant(UInt8))"]
        {
            let error = for_version(&block(type_name, 1, &[0; 64]), 54_460).unwrap_err();
            assert!(
                error.code == 48 && error.message.contains("client_protocol_version"),
                "{error}"
            );
        }
        // Its values are not there.
        assert!(for_version(&block("Dynamic", 0, &[]), 54_460).is_ok());
    }
}
