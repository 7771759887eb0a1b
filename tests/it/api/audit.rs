//! `GET /v1/audit`: what became of the records, by partition and hour.

use chrono::{DateTime, Utc};
use seatmeter::core::audit::{AuditedHour, HourCounts, RecordHour};
use seatmeter::core::rollup::{LaneRows, Progress, Source};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::support::{Api, RUNTIME, SENT_AT_MS};

fn source(partition: u32) -> Source {
    Source::new("usage-events", "", partition)
}

/// Writes hours of a partition, each with one accepted record.
fn write(api: &Api, partition: u32, hours: impl IntoIterator<Item = u32>) {
    let mut rows = LaneRows::new(source(partition), Progress::default());
    let counts = HourCounts { accepted: 1, ..HourCounts::default() };
    rows.audited_hours.extend(hours.into_iter().map(|hour| AuditedHour {
        hour: RecordHour(hour),
        first_offset: 0,
        counts,
        upto: 1,
    }));
    RUNTIME.block_on(api.store.write_rows(&[rows])).unwrap();
}

fn text(hour: RecordHour) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(hour.start_ms()).unwrap();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Partition and hour of each row.
fn places(report: &Value) -> Vec<(u64, String)> {
    let place = |row: &Value| {
        (row["partition"].as_u64().unwrap(), row["hour"].as_str().unwrap().to_owned())
    };
    report["hours"].as_array().unwrap().iter().map(place).collect()
}

#[test]
fn an_hour_tells_what_became_of_its_records() {
    let api = Api::open();
    let test = |id: &str, origin: &str, tests: u64| {
        let data = json!({
            "account_id": "a", "organization_id": "o", "origin": origin, "tests": tests,
        });
        json!({
            "id": id, "source": "/s", "type": "test.executed", "time": "2026-01-01T00:00:00Z",
            "data": data,
        })
        .to_string()
    };
    let events = [
        test("1", "run", 3),
        test("2", "upload", 5),
        test("1", "run", 3),
        "no json".to_owned(),
        test("\u{e9}", "run", 10),
    ];
    let mut partition = RUNTIME.block_on(api.partition());
    api.count_next(&mut partition, &events);
    let number = partition.source.partition();
    let hour = text(RecordHour::of(Some(SENT_AT_MS)));
    let path = format!("/v1/audit?from={hour}&to={hour}");
    let report = api.report(&path);
    let term = |offset: u64, id: &str| {
        let parts = [&xxh3_64(b"a").to_le_bytes()[..], &offset.to_le_bytes()[..], id.as_bytes()];
        xxh3_64(&parts.concat())
    };
    let checksum = [term(0, "1"), term(1, "2"), term(4, "\u{e9}")];
    let checksum = checksum.into_iter().fold(0, u64::wrapping_add);
    let expected = json!({
        "topic": "usage-events", "partition": number, "hour": hour, "accepted": 3, "rejected": 1,
        "duplicates": 1, "skipped": 0, "tests_run": 13, "tests_uploaded": 5,
        "checksum": format!("{checksum:016x}"), "complete": false,
    });
    assert_eq!(report["hours"], json!([expected]));
    assert_eq!(report["next_cursor"], Value::Null);
    assert_eq!(report["data_through"], api.report("/v1/ingest")["data_through"]);

    // The same hour goes on in the next flush.
    api.count_next(&mut partition, &[test("3", "run", 1)]);
    let report = api.report(&path);
    assert_eq!(
        (&report["hours"][0]["accepted"], &report["hours"][0]["tests_run"]),
        (&4.into(), &14.into())
    );
    assert_eq!(api.report("/v1/audit")["hours"], json!([]), "that hour is not one of the last 24");
}

#[test]
fn the_last_24_hours_are_the_default_and_a_range_includes_both_ends() {
    let api = Api::open();
    let now = RecordHour::of(Some(Utc::now().timestamp_millis())).0;
    write(&api, 1, now - 30..now + 3);
    write(&api, 0, [now - 1]);
    let report = api.report("/v1/audit");
    let hours = places(&report);
    let later = RecordHour::of(Some(Utc::now().timestamp_millis())).0;
    if later == now {
        let mut expected: Vec<_> =
            (now - 23..=now).map(|hour| (1, text(RecordHour(hour)))).collect();
        expected.insert(22, (0, text(RecordHour(now - 1))));
        assert_eq!(hours, expected);
    }
    let [from, to] = [now - 30, now - 29].map(|hour| text(RecordHour(hour)));
    let report = api.report(&format!("/v1/audit?from={from}&to={to}"));
    assert_eq!(places(&report), [(1, from), (1, to)]);
    let far = text(RecordHour(now + 2));
    let report = api.report(&format!("/v1/audit?from={far}&to={far}"));
    assert_eq!(places(&report), [(1, far)], "producers stamp the records");
}

#[test]
fn pages_hold_every_row_once() {
    let api = Api::open();
    let first = 400_000;
    let partitions = 52;
    for partition in 0..partitions {
        write(&api, partition, first..first + 40);
    }
    let [from, to] = [first, first + 39].map(|hour| text(RecordHour(hour)));
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let report = api.report(&format!("/v1/audit?from={from}&to={to}{cursor}"));
        found.extend(places(&report));
        pages += 1;
        let Some(next) = report["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, 3);
    let hours = (first..first + 40).map(|hour| text(RecordHour(hour)));
    let all = hours.flat_map(|hour| (0..u64::from(partitions)).map(move |at| (at, hour.clone())));
    assert_eq!(found, all.collect::<Vec<_>>());
}

#[test]
fn incarnations_of_a_topic_are_one_partition() {
    let api = Api::open();
    for topic_id in ["one", "two"] {
        let mut rows = LaneRows::new(Source::new("usage-events", topic_id, 0), Progress::default());
        let counts = HourCounts { accepted: 2, checksum: 1 << 63, ..HourCounts::default() };
        let hour = RecordHour(500_000);
        rows.audited_hours.push(AuditedHour { hour, first_offset: 0, counts, upto: 1 });
        let mut other = LaneRows::new(Source::new("another", topic_id, 0), Progress::default());
        other.audited_hours = rows.audited_hours.clone();
        RUNTIME.block_on(api.store.write_rows(&[rows, other])).unwrap();
    }
    let hour = text(RecordHour(500_000));
    let report = api.report(&format!("/v1/audit?from={hour}&to={hour}"));
    assert_eq!(report["hours"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["hours"][0]["accepted"], 4);
    assert_eq!(report["hours"][0]["checksum"], "0000000000000000", "modulo 2^64");
}

#[test]
fn bad_parameters_are_named() {
    let api = Api::open();
    for (query, parameter) in [
        ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:30:00Z", "from"),
        ("from=9999-12-31T23:00:00Z", "from"),
        ("to=yesterday", "to"),
        ("to=2026-01-01T00:00:01Z", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("limit=10", "limit"),
        ("cursor=AAAA", "cursor"),
    ] {
        let answer = api.get(&format!("/v1/audit?{query}"));
        assert_eq!(
            (answer.status, &answer.json()["parameter"]),
            (400, &json!(parameter)),
            "{query}"
        );
    }
}
