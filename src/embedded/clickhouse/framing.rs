//! Joins the chunks of a streamed result.
//!
//! The engine writes each chunk as a document of its own. In formats that are a plain sequence of
//! rows, the concatenated documents are the whole result; in those with a header, the header of all
//! but the first is removed. Results in any other format are fetched whole.

/// How the chunks of a format are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Rows follow rows.
    Rows,
    /// Each chunk begins with names (1) or names and types (2) of this many lines.
    Lines(usize),
    /// Each chunk begins with the same, as quoted CSV lines.
    CsvLines(usize),
    /// Each chunk begins with the column count and this many binary strings per column.
    Binary(usize),
}

impl Framing {
    /// The framing of an output format; `None` if chunks cannot be joined.
    pub(super) fn of(format: &str) -> Option<Framing> {
        Some(match format {
            "RowBinary"
            | "Native"
            | "TabSeparated"
            | "TSV"
            | "TabSeparatedRaw"
            | "TSVRaw"
            | "CSV"
            | "JSONEachRow"
            | "JSONLines"
            | "NDJSON"
            | "JSONStringsEachRow"
            | "JSONCompactEachRow"
            | "JSONCompactStringsEachRow" => Framing::Rows,
            "TabSeparatedWithNames" | "TSVWithNames" | "JSONCompactEachRowWithNames" => {
                Framing::Lines(1)
            }
            "TabSeparatedWithNamesAndTypes"
            | "TSVWithNamesAndTypes"
            | "JSONCompactEachRowWithNamesAndTypes" => Framing::Lines(2),
            "CSVWithNames" => Framing::CsvLines(1),
            "CSVWithNamesAndTypes" => Framing::CsvLines(2),
            "RowBinaryWithNames" => Framing::Binary(1),
            "RowBinaryWithNamesAndTypes" => Framing::Binary(2),
            _ => return None,
        })
    }

    /// The length of the header at the beginning of a chunk; `None` if the chunk does not hold one.
    pub(super) fn header_bytes(self, chunk: &[u8]) -> Option<usize> {
        match self {
            Framing::Rows => Some(0),
            Framing::Lines(lines) => line_end(chunk, lines, |_| false),
            Framing::CsvLines(lines) => line_end(chunk, lines, |byte| byte == b'"'),
            Framing::Binary(strings) => binary_header(chunk, strings),
        }
    }
}

/// The end of the `lines`-th line; line breaks between a pair of quotes do not count.
fn line_end(chunk: &[u8], lines: usize, is_quote: impl Fn(u8) -> bool) -> Option<usize> {
    let mut quoted = false;
    let breaks = chunk.iter().enumerate().filter(|&(_, &byte)| {
        quoted ^= is_quote(byte);
        byte == b'\n' && !quoted
    });
    breaks.map(|(at, _)| at + 1).nth(lines - 1)
}

fn binary_header(chunk: &[u8], strings: usize) -> Option<usize> {
    let (columns, mut at) = var_uint(chunk, 0)?;
    for _ in 0..columns.checked_mul(strings)? {
        let (length, from) = var_uint(chunk, at)?;
        at = from.checked_add(length)?;
        if at > chunk.len() {
            return None;
        }
    }
    Some(at)
}

/// ClickHouse's `VarUInt` (unsigned LEB128) at a position, and the position behind it.
fn var_uint(chunk: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *chunk.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, chunk: &[u8], header: Option<usize>) {
        let framing = Framing::of(format).expect(format);
        assert_eq!(framing.header_bytes(chunk), header, "{format}: {chunk:?}");
    }

    #[test]
    fn plain_rows_have_no_header() {
        check("RowBinary", b"\x01\x02", Some(0));
        check("TSV", b"", Some(0));
    }

    #[test]
    fn lines_of_names_and_types() {
        check("TSVWithNames", b"a\tb\n1\t2\n", Some(4));
        check("TSVWithNamesAndTypes", b"a\nUInt8\n1\n", Some(8));
        check("TSVWithNames", b"a\tb", None);
        check("CSVWithNames", b"\"a\nb\",\"c \"\"\n\"\r\n1,2\n", Some(15));
        check("CSVWithNamesAndTypes", b"\"a\"\n\"UInt8\"\n1\n", Some(12));
    }

    #[test]
    fn binary_names_and_types() {
        check("RowBinaryWithNames", b"\x01\x02ab\x07", Some(4));
        check("RowBinaryWithNamesAndTypes", b"\x01\x01a\x05UInt8\x07", Some(9));
        check("RowBinaryWithNamesAndTypes", b"\x01\x01a\x05UIn", None);
        check("RowBinaryWithNamesAndTypes", b"\x00", Some(1));
        check("RowBinaryWithNames", &[0xff; 12], None);
    }

    #[test]
    fn documents_cannot_be_joined() {
        for format in ["JSON", "Parquet", "Pretty", "XML", "Arrow", "Null", "Values"] {
            assert_eq!(Framing::of(format), None, "{format}");
        }
    }
}
