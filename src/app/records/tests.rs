//! Every way in which a file may hold its events.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Gives a few bytes at a time, as a pipe may.
struct Slow(Vec<u8>, usize);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.1.min(self.0.len()).min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.0[..bytes]);
        self.0.drain(..bytes);
        Ok(bytes)
    }
}

fn read(file: &[u8], step: usize) -> Vec<(Place, Vec<u8>)> {
    let mut records = Records::of(Slow(file.to_vec(), step), None);
    let (mut all, mut record) = (Vec::new(), Vec::new());
    while let Some(taken) = records.next(&mut record).unwrap() {
        assert_eq!(taken.is_cut(), taken.bytes > RECORD_BYTES_MAX as u64);
        all.push((taken.place, record.clone()));
    }
    assert_eq!(records.position(), file.len() as u64);
    all
}

#[track_caller]
fn check(file: &[u8], expected: &[(Place, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(place, text)| (*place, text.as_bytes().to_vec())).collect();
    for step in [1, 3, usize::MAX] {
        assert_eq!(read(file, step), expected);
    }
}

use Place::{Element, Line};

#[test]
fn lines_keep_their_numbers_and_blank_ones_are_skipped() {
    check(b"", &[]);
    check(b"\n \r\n", &[]);
    check(b"a", &[(Line(1), "a")]);
    check(b"\n  \n a b \r\n\r\n\tc\n", &[(Line(3), " a b "), (Line(5), "\tc")]);
    check(b"{}\n[1]\n", &[(Line(1), "{}"), (Line(2), "[1]")]);
}

#[test]
fn the_elements_of_an_array_are_records() {
    check(b" [ ] ", &[]);
    check(b"[1]", &[(Element(1), "1")]);
    let array = br#"[ {"a": "],[\"}\\", "b": [1, {}]},
        {"c":
            2} , "x,y" ,3 ]"#;
    let second = "{\"c\":\n            2} ";
    let first = r#"{"a": "],[\"}\\", "b": [1, {}]}"#;
    let expected =
        [(Element(1), first), (Element(2), second), (Element(3), "\"x,y\" "), (Element(4), "3 ")];
    check(array, &expected);
    check(b"[{\"a\": 1", &[(Element(1), "{\"a\": 1")]);
    check(
        b"[1,\n1]\n[2]\n{}",
        &[(Element(1), "1"), (Element(2), "1"), (Element(3), "2"), (Line(4), "{}")],
    );
}

#[test]
fn packed_files_and_byte_order_marks_are_understood() {
    let plain = b"\xef\xbb\xbf{}\n{\"a\":1}\n";
    let expected = [(Line(1), "{}"), (Line(2), "{\"a\":1}")];
    check(plain, &expected);
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    check(&gzip(plain), &expected);
    let (first, second) = plain.split_at(7);
    check(&[gzip(first), gzip(second)].concat(), &expected);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    check(&zstd(plain), &expected);
    check(&[zstd(first), zstd(second)].concat(), &expected);
}

#[test]
fn a_record_of_any_length_is_one_record() {
    let long = "x".repeat(RECORD_BYTES_MAX);
    let file = format!("{long}\n{long}yz\nend\n");
    let mut records = Records::of(io::Cursor::new(file), None);
    let mut record = Vec::new();
    for (line, bytes, kept) in [(1, long.len(), long.len()), (2, long.len() + 2, long.len())] {
        let taken = records.next(&mut record).unwrap().unwrap();
        assert_eq!((taken.place, taken.bytes, record.len()), (Line(line), bytes as u64, kept));
        assert_eq!(taken.is_cut(), bytes > kept);
    }
    let taken = records.next(&mut record).unwrap().unwrap();
    assert_eq!((taken.place, record.as_slice()), (Line(3), &b"end"[..]));
}

#[test]
fn the_beginning_is_looked_at_and_read_again() {
    let file = format!("\u{feff}{{}}\n{}\n", "x".repeat(BUFFER_BYTES));
    let mut records = Records::of(Slow(file.clone().into_bytes(), 5_000), None);
    let begun = records.beginning().unwrap();
    assert_eq!(begun, &file.as_bytes()[3..3 + BUFFER_BYTES]);
    let mut record = Vec::new();
    for (line, bytes) in [(1, 2), (2, BUFFER_BYTES as u64)] {
        let taken = records.next(&mut record).unwrap().unwrap();
        assert_eq!(taken, Taken { place: Line(line), bytes });
    }
    assert_eq!(records.next(&mut record).unwrap(), None);
}

/// The error that ends the reading of a file.
fn error_of(file: Vec<u8>) -> String {
    let mut records = Records::of(io::Cursor::new(file), None);
    let mut record = Vec::new();
    loop {
        match records.next(&mut record) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the file was read to its end"),
            Err(error) => return format!("{error:#}"),
        }
    }
}

#[test]
fn a_packed_file_that_breaks_off_is_an_error() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"{}\n{}\n").unwrap();
    let gzip = packer.finish().unwrap();
    let zstd = zstd::encode_all(&b"{}\n{}\n"[..], 1).unwrap();
    for packed in [gzip, zstd] {
        let error = error_of(packed[..packed.len() - 9].to_vec());
        assert!(error.starts_with("cannot read the events: "), "{error}");
    }
}

#[test]
fn a_zstd_file_of_a_huge_window_is_refused() {
    let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packer.window_log(ZSTD_WINDOW_LOG_MAX + 1).unwrap();
    packer.write_all(b"{}\n{}\n").unwrap();
    let error = error_of(packer.finish().unwrap());
    assert!(error.starts_with("cannot read the events: "), "{error}");
}

proptest! {
    /// An array holds the same records as lines of its elements.
    #[test]
    fn an_array_and_lines_hold_the_same(
        texts in proptest::collection::vec("[ -~]{0,12}", 0..12),
        step in 1_usize..40,
    ) {
        let elements: Vec<String> = texts
            .iter()
            .map(|text| serde_json::json!({"id": text, "data": [text, {}]}).to_string())
            .collect();
        let lines = read(elements.join("\n").as_bytes(), step);
        let array = read(format!("[{}]", elements.join(",")).as_bytes(), step);
        let bytes = |records: &[(Place, Vec<u8>)]| {
            records.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(bytes(&lines), bytes(&array));
        prop_assert_eq!(lines.len(), elements.len());
    }
}
