//! Records that will be rejected, as their sender sees it: how many of which reason, the first of
//! each, and what the file probably is instead.
//!
//! The worker judges for itself, when it reads them; this only explains.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::progress::count_of;
use super::records::{Place, Taken};
use crate::core::decode::decode;
use crate::core::event::{Decoded, Event, Record, Reject, RejectReason};

/// Characters of a record that are shown.
const EXCERPT_CHARS: usize = 60;

/// Groups that are shown.
const GROUPS_SHOWN: usize = 8;

/// Bytes of a record that tell how its text is encoded.
const SAMPLE_BYTES: usize = 256;

/// Rejections by reason and field.
#[derive(Default)]
pub(super) struct Rejections {
    groups: BTreeMap<(&'static str, &'static str), Group>,
}

struct Group {
    records: u64,
    first: Place,
    excerpt: String,
    cause: Option<&'static str>,
}

/// Judges a record as the worker will, if it is sent now with this key. `None` if it is rejected,
/// which is noted.
pub(super) fn judge<'a>(
    rejections: &mut Rejections,
    taken: Taken,
    payload: &'a [u8],
    key: Option<&'a [u8]>,
    now_ms: i64,
) -> Option<Event<'a>> {
    let record = Record { offset: 0, timestamp_ms: Some(now_ms), key, payload: Some(payload) };
    match decode(&record) {
        Decoded::Event(event) => Some(event),
        Decoded::Rejected(reject) => {
            rejections.note(reject, taken.place, payload);
            None
        }
        Decoded::Tombstone => None,
    }
}

impl Rejections {
    fn note(&mut self, reject: Reject, place: Place, payload: &[u8]) {
        self.groups
            .entry((reject.reason.as_str(), reject.path))
            .or_insert_with(|| Group {
                records: 0,
                first: place,
                excerpt: excerpt(payload),
                cause: likely_cause(reject, payload),
            })
            .records += 1;
    }

    /// Their number.
    pub(super) fn records(&self) -> u64 {
        self.groups.values().map(|group| group.records).sum()
    }

    /// A line for each reason and field, the most frequent first.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.records));
        let shown = groups.iter().take(GROUPS_SHOWN).map(|((reason, path), group)| {
            let blank = if path.is_empty() { "" } else { " " };
            let cause = group.cause.map_or_else(String::new, |cause| format!(": {cause}"));
            format!(
                "  {} {reason}{blank}{path}, first in {}, {}{cause}",
                indicatif::HumanCount(group.records),
                group.first,
                group.excerpt
            )
        });
        let mut lines: Vec<String> = shown.collect();
        if let Some(more) = groups.get(GROUPS_SHOWN..).filter(|more| !more.is_empty()) {
            let records = more.iter().map(|(_, group)| group.records).sum();
            lines.push(format!("  {} for other reasons", count_of(records, "record")));
        }
        lines
    }
}

/// The beginning of a record, quoted.
fn excerpt(payload: &[u8]) -> String {
    let text: Cow<'_, str> =
        String::from_utf8_lossy(&payload[..payload.len().min(4 * EXCERPT_CHARS)]);
    let begun: String = text.chars().take(EXCERPT_CHARS).collect();
    let more = if begun.len() < payload.len() { "…" } else { "" };
    format!("{begun:?}{more}")
}

/// The probable cause of the rejection, and the way out.
fn likely_cause(reject: Reject, payload: &[u8]) -> Option<&'static str> {
    match (reject.reason, reject.path) {
        (RejectReason::InvalidJson, _) => likely_form(payload),
        (RejectReason::TooLarge, _) => {
            Some("a record over 1 MiB is no event; is a line end missing?")
        }
        (RejectReason::MissingField, "id" | "source" | "type" | "time" | "data") => {
            Some("an event is a CloudEvents object; schemas/events/ has examples")
        }
        (RejectReason::InvalidField, "time") => {
            Some("`time` is text in RFC 3339 with an offset, such as 2026-03-01T09:12:33Z")
        }
        (
            RejectReason::InvalidField,
            "data.account_id" | "data.organization_id" | "data.user_id",
        ) => {
            Some("an id is a non-empty string or a whole number from 0; schemas/events/ says more")
        }
        (RejectReason::TimeTooOld, _) => Some("an event of before 2000 is not counted"),
        (RejectReason::UnknownType, _) => Some("schemas/events/ names the types of events"),
        (RejectReason::TimeInFuture, _) => {
            Some("an event must not lie more than an hour after the time at which it is sent")
        }
        _ => None,
    }
}

fn likely_form(payload: &[u8]) -> Option<&'static str> {
    const SEVERAL_LINES: &str =
        "this looks like JSON over several lines; put each event on one line (jq -c .)";
    let sample = &payload[..payload.len().min(SAMPLE_BYTES)];
    let zeros = sample.iter().filter(|&&byte| byte == 0).count();
    let has_mark = sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff");
    if has_mark || zeros * 4 >= sample.len() {
        return Some("this looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8");
    }
    let magic: [&[u8]; 6] = [b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"PAR1", b"Obj\x01", b"ORC"];
    if magic.iter().any(|magic| sample.starts_with(magic)) || zeros > 0 {
        return Some("this looks like a packed or binary file; gzip and zstd are unpacked alone");
    }
    let Ok(text) = std::str::from_utf8(payload) else {
        return Some("this is not UTF-8; convert it, such as by iconv -f LATIN1 -t UTF-8");
    };
    let text = text.trim();
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    Some(match (text.chars().next()?, text.chars().next_back()?) {
        ('[', ']') if is_json => "this is a JSON array; put each event on a line of its own",
        ('{', '}') if is_json => return None,
        ('{', '}') if text.starts_with("{'") => {
            "this looks like Python's notation; JSON has double quotes (json.dumps)"
        }
        ('{', '}') if text.contains("}{") || text.contains("} {") => {
            "these look like several events; put each on a line of its own"
        }
        ('{', ',') if text.ends_with("},") => "a line must not end with a comma",
        ('{', _) if text.len() == 1 => SEVERAL_LINES,
        ('{', '{' | '[' | ',') => SEVERAL_LINES,
        ('}' | ']', _) => SEVERAL_LINES,
        ('"', _) if text.contains("\":") => SEVERAL_LINES,
        ('{', last) if last != '}' => "this looks like an event that breaks off",
        ('<', _) => "this looks like XML or HTML; one JSON event a line is expected",
        (first, _) if first != '{' && columns(text) > 2 => {
            "this looks like CSV; one JSON event a line is expected"
        }
        _ => return None,
    })
}

/// Into how many parts the most frequent separator of tables cuts a line.
fn columns(text: &str) -> usize {
    [',', ';', '\t'].into_iter().map(|mark| text.matches(mark).count() + 1).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_780_000_000_000;

    fn told(payloads: &[&[u8]]) -> Vec<String> {
        let mut rejections = Rejections::default();
        for (payload, line) in payloads.iter().zip(1..) {
            let taken = Taken { place: Place::Line(line), bytes: payload.len() as u64 };
            judge(&mut rejections, taken, payload, None, NOW_MS);
        }
        rejections.lines()
    }

    #[test]
    fn the_form_of_a_file_is_guessed() {
        let utf16: Vec<u8> = "{\"id\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cases: [(&[u8], &str); 13] = [
            (&utf16, "UTF-16"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"PK\x03\x04\x14", "packed or binary"),
            (b"id,source,type,time", "CSV"),
            (b"evt-1;/auth;user.login", "CSV"),
            (b"{", "several lines"),
            (b"\"id\": \"1\",", "several lines"),
            (b"},", "several lines"),
            (b"{\"id\":\"1\"},", "comma"),
            (b"{'id': '1'}", "Python"),
            (b"{\"a\":1}{\"a\":2}", "several events"),
            (b"{\"id\":\"1\",\"sour", "breaks off"),
            (b"caf\xe9", "not UTF-8"),
        ];
        for (payload, expected) in cases {
            let cause = likely_form(payload);
            assert!(cause.is_some_and(|cause| cause.contains(expected)), "{payload:?}: {cause:?}");
        }
        assert_eq!(likely_form(b"connection reset by peer"), None);
    }

    #[test]
    fn each_reason_is_told_with_its_first_record() {
        let event = br#"{"id":"1","source":"/a","type":"user.login",
            "time":"2026-03-01T09:12:33Z","data":{"account_id":"a","user_id":1}}"#;
        let untimed = br#"{"id":"1","source":"/a","type":"user.login"}"#;
        let lines = told(&[b"nonsense", untimed, b"more nonsense", untimed, untimed]);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("  3 missing_field time, first in line 2, \"{\\\"id\\\":"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "  2 invalid_json, first in line 1, \"nonsense\"");

        let mut rejections = Rejections::default();
        let taken = Taken { place: Place::Element(1), bytes: 9 };
        assert!(judge(&mut rejections, taken, event, Some(b"a"), NOW_MS).is_some());
        assert_eq!((rejections.records(), rejections.lines().len()), (0, 0));
    }
}
