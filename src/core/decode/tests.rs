//! The order of the reasons, the limits, and what is borrowed. Each field of each event type is
//! covered by the golden files in `schemas/events`.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::core::event::EventKind;
use crate::core::id::IdRef;

const LOGIN: &str = r#"{"specversion":"1.0","id":"evt-1","source":"/auth","type":"user.login",
    "time":"2026-03-01T09:12:33.123Z",
    "data":{"account_id":"acme","organization_id":"42","user_id":9013}}"#;

/// The time of `LOGIN`.
const LOGIN_MS: i64 = 1_772_356_353_123;

fn record<'a>(payload: &'a [u8], key: &'a str) -> Record<'a> {
    Record { offset: 0, timestamp_ms: None, key: Some(key.as_bytes()), payload: Some(payload) }
}

fn rejected(reason: RejectReason, path: &'static str) -> Decoded<'static> {
    Decoded::Rejected(Reject { reason, path })
}

/// Checks the reason for which a text with the key `acme` is rejected.
#[track_caller]
fn check_rejected(text: &str, reason: RejectReason, path: &'static str) {
    assert_eq!(decode(&record(text.as_bytes(), "acme")), rejected(reason, path), "{text}");
}

#[test]
fn the_example_of_the_contract_is_a_login() {
    let event = Event {
        id: "evt-1".into(),
        time_ms: LOGIN_MS,
        account: IdRef::from_text("acme"),
        kind: EventKind::Activity {
            organization: Some(IdRef::Number(42)),
            user: IdRef::Number(9013),
        },
    };
    assert_eq!(decode(&record(LOGIN.as_bytes(), "acme")), Decoded::Event(event));
}

#[test]
fn a_record_without_a_value_is_a_tombstone_whatever_its_key() {
    for key in [None, Some(&b"acme"[..])] {
        let record = Record { offset: 7, timestamp_ms: None, key, payload: None };
        assert_eq!(decode(&record), Decoded::Tombstone);
    }
    check_rejected("", RejectReason::InvalidJson, "");
    check_rejected("null", RejectReason::InvalidJson, "");
}

#[test]
fn a_mebibyte_is_not_too_large() {
    let padded = |bytes: usize| format!("{LOGIN}{}", " ".repeat(bytes - LOGIN.len()));
    assert!(matches!(decode(&record(padded(1_048_576).as_bytes(), "acme")), Decoded::Event(_)));
    check_rejected(&padded(1_048_577), RejectReason::TooLarge, "");
    // Size is judged before anything else.
    check_rejected(&"x".repeat(1_048_577), RejectReason::TooLarge, "");
}

#[test]
fn a_value_that_is_not_utf8_is_not_json() {
    let with = |bytes: &[u8]| {
        let at = LOGIN.find("evt-1").unwrap();
        [&LOGIN.as_bytes()[..at], bytes, &LOGIN.as_bytes()[at..]].concat()
    };
    assert!(matches!(decode(&record(&with("é".as_bytes()), "acme")), Decoded::Event(_)));
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"] {
        assert_eq!(
            decode(&record(&with(bytes), "acme")),
            rejected(RejectReason::InvalidJson, ""),
            "{bytes:x?}"
        );
    }
}

#[test]
fn the_first_field_that_fails_decides() {
    // Every field of the envelope and of the data is wrong; they are corrected one after the other.
    let mut text = String::from(r#"{"id":1,"type":2,"time":3,"data":4}"#);
    let steps = [
        ("id", RejectReason::InvalidField, r#""id":1"#, r#""id":"e""#),
        ("source", RejectReason::MissingField, r#""type""#, r#""source":"/s","type""#),
        ("type", RejectReason::InvalidField, r#""type":2"#, r#""type":"?""#),
        ("time", RejectReason::InvalidField, r#""time":3"#, r#""time":"1999-12-31T23:59:59.999Z""#),
        (
            "data",
            RejectReason::InvalidField,
            r#""data":4"#,
            r#""data":{"user_id":[],"monthly_quota":-1}"#,
        ),
        ("", RejectReason::UnknownType, r#""?""#, r#""plan.started""#),
        ("", RejectReason::TimeTooOld, "1999-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z"),
        ("", RejectReason::TimeInFuture, "2100-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z"),
        (
            "data.account_id",
            RejectReason::MissingField,
            r#""user_id""#,
            r#""account_id":7,"user_id""#,
        ),
        (
            "data.organization_id",
            RejectReason::MissingField,
            r#""user_id""#,
            r#""organization_id":"o","user_id""#,
        ),
        ("data.plan", RejectReason::MissingField, r#""user_id""#, r#""plan":"free","user_id""#),
        ("data.monthly_quota", RejectReason::InvalidField, ":-1", ":0"),
        ("$key", RejectReason::InvalidField, ":7,", r#":"acme","#),
    ];
    for (path, reason, wrong, right) in steps {
        check_rejected(&text, reason, path);
        assert!(text.contains(wrong), "{wrong} in {text}");
        text = text.replacen(wrong, right, 1);
    }
    assert!(matches!(decode(&record(text.as_bytes(), "acme")), Decoded::Event(_)), "{text}");
}

#[test]
fn time_is_judged_by_the_timestamp_of_the_record() {
    let at = |timestamp_ms: Option<i64>| {
        decode(&Record { timestamp_ms, ..record(LOGIN.as_bytes(), "acme") })
    };
    let too_early = rejected(RejectReason::TimeInFuture, "");
    assert!(matches!(at(None), Decoded::Event(_)));
    assert!(matches!(at(Some(LOGIN_MS - AHEAD_MAX_MS)), Decoded::Event(_)));
    assert_eq!(at(Some(LOGIN_MS - AHEAD_MAX_MS - 1)), too_early);
    assert_eq!(at(Some(0)), too_early);
    assert_eq!(at(Some(i64::MIN)), too_early);
    assert!(matches!(at(Some(i64::MAX)), Decoded::Event(_)));
}

#[test]
fn the_years_are_2000_to_2099() {
    let at = |time: &str| LOGIN.replace("2026-03-01T09:12:33.123Z", time);
    for time in ["2000-01-01T00:00:00Z", "1999-12-31T19:00:00-05:00", "2099-12-31T23:59:59.9999Z"] {
        assert!(
            matches!(decode(&record(at(time).as_bytes(), "acme")), Decoded::Event(_)),
            "{time}"
        );
    }
    for time in ["1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z"] {
        check_rejected(&at(time), RejectReason::TimeTooOld, "");
    }
    for time in ["2100-01-01T00:00:00Z", "2099-12-31T23:59:60Z", "9999-12-31T23:59:59Z"] {
        check_rejected(&at(time), RejectReason::TimeInFuture, "");
    }
}

#[test]
fn the_key_is_exactly_the_account_id() {
    let with_account = |id: &str| LOGIN.replace("\"acme\"", id);
    let key = |text: &str, key: Option<&[u8]>| {
        let decoded = decode(&Record { key, ..record(text.as_bytes(), "") });
        if decoded == rejected(RejectReason::InvalidField, "$key") {
            return false;
        }
        assert!(matches!(decoded, Decoded::Event(_)), "{text}");
        true
    };
    assert!(key(LOGIN, Some(b"acme")));
    for other in [
        None,
        Some(&b""[..]),
        Some(b"acm"),
        Some(b"acme "),
        Some(b"Acme"),
        Some(b"\"acme\""),
        Some(b"\xff"),
    ] {
        assert!(!key(LOGIN, other), "{other:?}");
    }
    for id in ["42", "\"42\"", "\"\\u0034\\u0032\""] {
        assert!(key(&with_account(id), Some(b"42")), "{id}");
        assert!(!key(&with_account(id), Some(b"042")), "{id}");
        assert!(!key(&with_account(id), Some(b"+42")), "{id}");
    }
    assert!(key(&with_account("\"042\""), Some(b"042")));
    assert!(!key(&with_account("\"042\""), Some(b"42")));
    assert!(key(&with_account("-0"), Some(b"0")));
}

/// Checks whether `id`, a JSON value, is good as an organization's id, and then what it is read as.
#[track_caller]
fn check_id(id: &str, expected: Option<&str>) {
    let text = LOGIN.replace("\"42\"", id);
    let decoded = decode(&record(text.as_bytes(), "acme"));
    match expected {
        Some(expected) => {
            let Decoded::Event(Event {
                kind: EventKind::Activity { organization: Some(read), .. },
                ..
            }) = &decoded
            else {
                panic!("{id}: {decoded:?}");
            };
            assert_eq!(read.to_string(), expected);
        }
        None => assert_eq!(
            decoded,
            rejected(RejectReason::InvalidField, "data.organization_id"),
            "{id}"
        ),
    }
}

#[test]
fn ids_are_strings_or_numbers() {
    check_id("\"a b/c\"", Some("a b/c"));
    check_id("\"é😀\"", Some("é😀"));
    check_id("\"\\\"\\\\\\u00e9\"", Some("\"\\é"));
    check_id("0", Some("0"));
    check_id("-0", Some("0"));
    check_id("9223372036854775807", Some("9223372036854775807"));
    check_id("\"9223372036854775808\"", Some("9223372036854775808"));
    check_id("\"-1\"", Some("-1"));
    check_id("\"1.0\"", Some("1.0"));
    let bad = [
        "9223372036854775808",
        "99999999999999999999999",
        "-1",
        "1.0",
        "1e3",
        "42e0",
        "true",
        "false",
        "[]",
        "{}",
    ];
    for id in bad.into_iter().chain(["[1]", "{\"a\":1}", "\"\"", "\"\\ud800\"", "\"\\udc00x\""]) {
        check_id(id, None);
    }
}

#[test]
fn ids_have_no_control_characters() {
    for id in [
        "\"\\u0000\"",
        "\"a\\nb\"",
        "\"\\u001f\"",
        "\"\u{7f}\"",
        "\"\u{80}\"",
        "\"x\u{9f}\"",
        "\"\\u0085\"",
        "\"\\u007f\"",
    ] {
        check_id(id, None);
    }
    check_id("\"\u{20}\"", Some(" "));
    check_id("\"\u{a0}\u{ad}\u{200b}\u{2028}\"", Some("\u{a0}\u{ad}\u{200b}\u{2028}"));
}

#[test]
fn ids_survive_readers_of_text_and_paths() {
    for id in [
        "\"\\ufeffacme\"",
        "\"\u{feff}acme\"",
        "\"a\u{feff}b\"",
        "\"\u{feff}\"",
        "\".\"",
        "\"..\"",
        "\"\\u002e\"",
    ] {
        check_id(id, None);
    }
    for id in ["...", ".a", "a..", ". ", "\u{fffe}", "\u{200b}"] {
        check_id(&format!("\"{id}\""), Some(id));
    }
}

#[test]
fn texts_that_are_kept_have_4096_bytes() {
    let described = |field: &str, content: &str| {
        let data = format!("\"account_id\":\"acme\",\"user_id\":1,\"{field}\":\"{content}\"");
        format!(
            "{{\"id\":\"e\",\"source\":\"/s\",\"type\":\"user.updated\",\
             \"time\":\"2026-03-01T09:12:33Z\",\"data\":{{{data}}}}}"
        )
    };
    let of_envelope =
        |of: &str, content: &str| LOGIN.replace(&format!("\"{of}\""), &format!("\"{content}\""));
    let texts = |content: &str| {
        [
            ("id", of_envelope("evt-1", content)),
            ("source", of_envelope("/auth", content)),
            ("data.name", described("name", content)),
            ("data.email", described("email", content)),
        ]
    };
    for content in ["x".repeat(4_096), "é".repeat(2_048), "\\u0041".repeat(4_096)] {
        for (path, text) in texts(&content) {
            assert!(
                matches!(decode(&record(text.as_bytes(), "acme")), Decoded::Event(_)),
                "{path}"
            );
        }
    }
    for content in ["x".repeat(4_097), "é".repeat(2_049), "\\u0041".repeat(4_097)] {
        for (path, text) in texts(&content) {
            check_rejected(&text, RejectReason::InvalidField, path);
        }
    }
}

#[test]
fn ids_have_64_bytes_and_those_of_users_128() {
    let quoted = |text: &str| format!("\"{text}\"");
    check_id(&quoted(&"x".repeat(64)), Some(&"x".repeat(64)));
    check_id(&quoted(&"é".repeat(32)), Some(&"é".repeat(32)));
    check_id(&quoted(&"\\u0041".repeat(64)), Some(&"A".repeat(64)));
    check_id(&quoted(&"x".repeat(65)), None);
    check_id(&quoted(&format!("{}x", "é".repeat(32))), None);

    let user = |id: String| LOGIN.replace("9013", &quoted(&id));
    assert!(matches!(decode(&record(user("x".repeat(128)).as_bytes(), "acme")), Decoded::Event(_)));
    check_rejected(&user("x".repeat(129)), RejectReason::InvalidField, "data.user_id");
}

#[test]
fn the_names_of_the_event_types_are_known() {
    for name in EVENT_TYPES {
        assert!(EventType::named(name).is_some(), "{name}");
    }
    for name in ["", "user.logout", "User.login", "user.login ", "user", "plan.ended"] {
        assert_eq!(EventType::named(name), None, "{name}");
        check_rejected(&LOGIN.replace("user.login", name), RejectReason::UnknownType, "");
    }
}

#[test]
fn a_typical_event_is_decoded_without_the_heap() {
    let record = record(LOGIN.as_bytes(), "acme");
    let allocations = allocation_counter::measure(|| {
        std::hint::black_box(decode(&record));
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let text = LOGIN
        .replace("user.login", "test.executed")
        .replace("\"user_id\"", "\"origin\":\"run\",\"user_id\"");
    let Decoded::Event(Event {
        id,
        kind: EventKind::TestExecuted(test),
        account: IdRef::Text(account),
        ..
    }) = decode(&record(text.as_bytes(), "acme"))
    else {
        panic!("{text}");
    };
    for string in [id, test.event_source, account] {
        assert!(matches!(string, Cow::Borrowed(_)), "{string}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoded = decode(&record(&payload, "acme"));
        prop_assert_eq!(decoded, rejected(RejectReason::InvalidJson, ""));
    }

    #[test]
    fn the_order_of_fields_is_free(order in Just([0, 1, 2, 3, 4, 5]).prop_shuffle()) {
        let fields = [
            r#""specversion":"1.0""#,
            r#""id":"evt-1""#,
            r#""source":"/auth""#,
            r#""type":"user.login""#,
            r#""time":"2026-03-01T09:12:33.123Z""#,
            r#""data":{"user_id":9013,"organization_id":"42","account_id":"acme"}"#,
        ];
        let text = format!("{{{}}}", order.map(|at| fields[at]).join(","));
        let expected = decode(&record(LOGIN.as_bytes(), "acme"));
        prop_assert_eq!(decode(&record(text.as_bytes(), "acme")), expected);
    }
}

#[test]
fn only_what_cannot_be_a_test_is_passed_over() {
    let test = LOGIN
        .replace("user.login", "test.executed")
        .replace("\"user_id\":9013", "\"origin\":\"run\"");
    let escaped = test.replace("test.executed", r"test\u002eexecuted");
    for text in [&test, &escaped] {
        let record = record(text.as_bytes(), "acme");
        let Decoded::Event(Event { kind: EventKind::TestExecuted(_), .. }) = decode(&record) else {
            panic!("{text}: {:?}", decode(&record));
        };
        assert!(may_be_test_executed(&record), "{text}");
    }
    assert!(!may_be_test_executed(&record(LOGIN.as_bytes(), "acme")));
    assert!(!may_be_test_executed(&Record { payload: None, ..record(&[], "acme") }));
}
