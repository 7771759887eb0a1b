//! Decoding records: nanoseconds and allocations per record. `cargo bench --bench decode`.
//!
//! Each kind of record is decoded from many different payloads, in rounds short enough that some of
//! them run undisturbed even on a busy machine; the fastest and the median round are shown. For
//! comparison, `serde_json` reads the same logins: into borrowing structs, without validation, and
//! into its `Value`.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::hint::black_box;
use std::time::Instant;

use seatmeter::core::decode::decode;
use seatmeter::core::event::{Decoded, Record};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Different records of each kind, all of which are read once in a round.
const RECORDS: usize = 4_096;

/// Rounds for each kind.
const ROUNDS: usize = 501;

/// The login for `serde_json`, without validation.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: &'a str,
    #[serde(borrow)]
    source: &'a str,
    #[serde(borrow, rename = "type")]
    event_type: &'a str,
    #[serde(borrow)]
    time: &'a str,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    account_id: &'a RawValue,
    #[serde(borrow)]
    organization_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: &'a RawValue,
}

/// The records of one kind: values, and the key that they share.
struct Kind {
    name: &'static str,
    key: &'static str,
    payloads: Vec<Vec<u8>>,
    is_event: bool,
}

fn event(event_type: &str, index: usize, data: &str) -> Vec<u8> {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"0198f3a2-77d4-7f31-8d5a-{:012x}\",\
         \"source\":\"/eu-west\",\"type\":\"{event_type}\",\
         \"time\":\"2026-03-01T09:{:02}:{:02}.{:03}Z\",\
         \"data\":{{\"account_id\":\"acme-eu\",{data}}}}}",
        index * 7_919,
        index % 60,
        index % 59,
        index % 1_000
    )
    .into_bytes()
}

fn kinds() -> Vec<Kind> {
    let all = |payload: &dyn Fn(usize) -> Vec<u8>| (0..RECORDS).map(payload).collect::<Vec<_>>();
    let of = |name, payloads| Kind { name, key: "acme-eu", payloads, is_event: true };
    let login = |index: usize| {
        format!(r#""organization_id":"org-{}","user_id":{}"#, index % 2_000, 100_000 + index)
    };
    vec![
        of("user.login", all(&|index| event("user.login", index, &login(index)))),
        of(
            "user.login, spaced and escaped",
            all(&|index| {
                let text = String::from_utf8(event("user.login", index, &login(index)))
                    .expect("it was text");
                text.replace("\":", "\": ")
                    .replace("org-", "\\u00f6rg-")
                    .replace("/eu-west", "\\/eu-west")
                    .into_bytes()
            }),
        ),
        of(
            "test.executed",
            all(&|index| {
                let data = format!(
                    "\"organization_id\":\"org-{}\",\"project_id\":\"web\",\"user_id\":{},\
                     \"origin\":\"run\",\"tests\":{},\"duration_ms\":{}",
                    index % 2_000,
                    100_000 + index,
                    1 + index % 500,
                    index * 31
                );
                event("test.executed", index, &data)
            }),
        ),
        of(
            "user.updated",
            all(&|index| {
                let data = format!(
                    "\"user_id\":\"user-{index}\",\"name\":\"User No. {index}\",\
                     \"email\":\"user-{index}@example.com\""
                );
                event("user.updated", index, &data)
            }),
        ),
        Kind {
            is_event: false,
            ..of(
                "rejected: invalid_field data.user_id",
                all(&|index| event("user.login", index, r#""user_id":-1"#)),
            )
        },
        Kind {
            is_event: false,
            ..of(
                "rejected: cut off",
                all(&|index| {
                    let mut payload = event("user.login", index, &login(index));
                    payload.truncate(150);
                    payload
                }),
            )
        },
    ]
}

/// Nanoseconds per record in the fastest and in the median round, and allocations per record.
fn measure(payloads: &[Vec<u8>], mut read: impl FnMut(&[u8])) -> (f64, f64, f64) {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            payloads.iter().for_each(|payload| read(payload));
            start.elapsed().as_secs_f64() * 1e9 / payloads.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let allocations =
        allocation_counter::measure(|| payloads.iter().for_each(|payload| read(payload)));
    (rounds[0], rounds[ROUNDS / 2], allocations.count_total as f64 / payloads.len() as f64)
}

fn report(name: &str, payloads: &[Vec<u8>], read: impl FnMut(&[u8])) {
    let (fastest, median, allocations) = measure(payloads, read);
    println!(
        "{name:<44} {:>6} {fastest:>10.0} {median:>10.0} {allocations:>12.2}",
        payloads[RECORDS / 2].len()
    );
}

fn main() {
    println!(
        "{:<44} {:>6} {:>10} {:>10} {:>12}",
        "record", "bytes", "min ns", "median ns", "allocations"
    );
    let kinds = kinds();
    for kind in &kinds {
        report(kind.name, &kind.payloads, |payload| {
            let record = Record {
                offset: 0,
                timestamp_ms: None,
                key: Some(kind.key.as_bytes()),
                payload: Some(payload),
            };
            let decoded = decode(black_box(&record));
            assert_eq!(
                matches!(decoded, Decoded::Event(_)),
                kind.is_event,
                "{}",
                String::from_utf8_lossy(payload)
            );
            black_box(decoded);
        });
    }
    let logins = &kinds[0].payloads;
    report("user.login by serde_json, borrowing structs", logins, |payload| {
        let envelope: Envelope<'_> = serde_json::from_slice(payload).expect("a login");
        black_box((envelope.id, envelope.source, envelope.event_type, envelope.time));
        black_box((envelope.data.account_id, envelope.data.organization_id, envelope.data.user_id));
    });
    report("user.login by serde_json, Value", logins, |payload| {
        black_box(serde_json::from_slice::<Value>(payload).expect("a login"));
    });
}
