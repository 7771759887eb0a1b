//! The grammar, compared with `serde_json`.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;
use crate::core::decode::envelope::{Data, Envelope};

fn is_object(text: &str) -> bool {
    Envelope::default().fill(text).is_some()
}

/// The answer of `serde_json` to the same question.
fn is_object_to_serde(text: &str) -> bool {
    text.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('{')
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[track_caller]
fn check(text: &str, expected: bool) {
    assert_eq!(is_object(text), expected, "{text:?}");
    assert_eq!(is_object_to_serde(text), expected, "serde_json on {text:?}");
}

/// Checks a value as a member, as `data`, as a member of `data`, and nested in other values.
#[track_caller]
fn check_value(value: &str, expected: bool) {
    for shape in [
        "{\"id\":#}",
        "{\"data\":#}",
        "{\"data\":{\"seats\":#}}",
        "{\"x\":[1,#]}",
        " { \"x\" : { \"y\" : # } , \"z\" : [ # ] } ",
    ] {
        check(&shape.replace('#', value), expected);
    }
}

#[test]
fn every_json_value_is_accepted() {
    for value in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-12",
        "1.5",
        "0.0",
        "1e5",
        "1E+5",
        "1e-05",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "\"é😀\"",
        "\"a\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
        "\"\\u00e9\\uD83D\\uDE00\"",
        "\"\u{7f}\u{80}\"",
        "[]",
        "{}",
        "[[],[[]],{}]",
        "[1,\"2\",null]",
        "{\"a\":{\"b\":[{}]}}",
        "{\"\":0,\"\":1}",
        "[ 1 , 2 ]",
        "{\t\"a\"\n:\r1 }",
    ] {
        check_value(value, true);
    }
}

#[test]
fn everything_else_is_refused() {
    for value in [
        "",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "+1",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1.e5",
        "0x1",
        "1_000",
        "\"",
        "\"a",
        "'a'",
        "a",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "[1}",
        "{\"a\" 1}",
        "{,}",
        "[[]",
        "{\"a\":[}",
        "/**/1",
        "\u{a0}1",
        "1,",
        "1:",
        "//",
    ] {
        check_value(value, false);
    }
}

#[test]
fn only_a_whole_object_is_accepted() {
    for text in ["{}", " {} ", "\r\n\t{\"a\":1}\n"] {
        check(text, true);
    }
    for text in [
        "",
        " ",
        "null",
        "[]",
        "\"{}\"",
        "1",
        "{}{}",
        "{} x",
        "{},",
        "\u{feff}{}",
        "{}\u{0}",
        "{",
        "}",
        "{\"a\":1",
        "{\"a\":",
    ] {
        check(text, false);
    }
    for text in ["{\"a\":1}", "{\"data\":{\"name\":\"x\"}}"] {
        for end in 0..text.len() {
            check(&text[..end], false);
        }
    }
}

#[test]
fn a_lone_surrogate_is_good_json_that_is_no_text() {
    // serde_json agrees on the grammar when it ignores the value.
    check_value("\"\\ud800\"", true);
    check_value("\"\\udc00\\ud800\"", true);
    assert!(is_object("{\"\\ud800\":1}"));
}

#[test]
fn names_may_be_escaped_and_the_last_of_a_name_counts() {
    let mut envelope = Envelope::default();
    let text = "{\"id\":1,\"data\":{\"seats\":1},\"\\u0069d\":2,\
        \"data\":{\"\\u006eame\":\"x\"},\"data \":3}";
    envelope.fill(text).unwrap();
    assert_eq!(envelope.id, Raw::Number("2"));
    assert_eq!(
        (envelope.data, envelope.fields.seats, envelope.fields.name),
        (Data::Object, Raw::Absent, Raw::Text("x"))
    );

    let mut envelope = Envelope::default();
    envelope.fill("{\"data\":{\"seats\":1},\"data\":null}").unwrap();
    assert_eq!((envelope.data, envelope.fields.seats), (Data::Absent, Raw::Absent));
}

#[test]
fn depth_is_no_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        for depth in [31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 100_000] {
            let nest = |closing: usize| {
                format!("{{\"x\":{}1{}}}", open.repeat(depth), close.repeat(closing))
            };
            assert!(is_object(&nest(depth)), "{open} {depth}");
            assert!(!is_object(&nest(depth - 1)), "{open} {depth}, one not closed");
            assert!(!is_object(&nest(depth + 1)), "{open} {depth}, one closed twice");
        }
    }
}

#[test]
fn mixed_containers_must_close_in_order() {
    // The kinds of a hundred containers, from the bits of a number, closed correctly and then with
    // one bracket swapped.
    let kinds: Vec<bool> =
        (0..100).map(|at| 0x9e37_79b9_7f4a_7c15_u64 >> (at % 64) & 1 == 1).collect();
    let open: String = kinds.iter().map(|&object| if object { "{\"k\":" } else { "[" }).collect();
    let close: Vec<char> =
        kinds.iter().rev().map(|&object| if object { '}' } else { ']' }).collect();
    check(&format!("{{\"x\":{open}0{}}}", close.iter().collect::<String>()), true);
    for swapped in 0..close.len() {
        let mut close = close.clone();
        close[swapped] = if close[swapped] == '}' { ']' } else { '}' };
        check(&format!("{{\"x\":{open}0{}}}", close.iter().collect::<String>()), false);
    }
}

#[test]
fn the_end_of_a_string_is_found_wherever_it_lies() {
    for length in 0..40 {
        for special in ["", "\\\"", "\\u0041", "é", "\u{1}", "\u{7f}", "\u{80}!", "\u{a2}\u{dc}"] {
            for at in 0..=length {
                let string = format!("{}{special}{}", "a".repeat(at), "b".repeat(length - at));
                let text = format!("{{\"{string}\":\"{string}\"}}");
                assert_eq!(is_object(&text), is_object_to_serde(&text), "{text:?}");
            }
        }
    }
}

proptest! {
    /// Texts composed of JSON tokens: close enough to JSON, valid or not, to reveal a difference.
    #[test]
    fn the_grammar_is_that_of_serde_json(
        pieces in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"id\":", "\"data\":", "null", "1", "-0",
            ".5", "e9", " ", "\n", "\\", "u0041", "é", "\u{1}",
        ][..]), 0..12),
    ) {
        let text = format!("{{{}}}", pieces.concat());
        prop_assert_eq!(is_object(&text), is_object_to_serde(&text), "{:?}", text);
    }
}
