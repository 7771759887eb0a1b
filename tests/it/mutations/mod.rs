//! Bad records change no count: 100,000 mutated records are each counted or rejected with a reason
//! of the contract, none panics, a second, naive decoder agrees on every one, and a lane counts the
//! same without the bad ones.

mod generate;
mod mutate;
mod oracle;

use std::collections::BTreeMap;

use seatmeter::core::decode::decode;
use seatmeter::core::event::{Decoded, Record, RejectReason};
use seatmeter::core::id::UserKeySeed;
use seatmeter::core::lane::{Applied, Lane};
use seatmeter::core::load::Loaded;
use seatmeter::core::rollup::{LaneRows, Progress, Source};

use self::generate::generate;
use self::mutate::{Mutation, mutate};
use crate::contract::examples;
use crate::simulation::dice::Dice;

/// How many records are mutated.
const SAMPLES: usize = 100_000;

/// Number of random events that they are derived from.
const ORIGINALS: usize = 2_000;

/// How many events are written and read back.
const ROUNDTRIPS: usize = 20_000;

/// Records in one batch of a lane.
const BATCH: usize = 1_000;

/// A record that is being mutated.
#[derive(Clone, Debug)]
struct Sample {
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    timestamp_ms: Option<i64>,
}

impl Sample {
    fn new(text: &str, key: &str) -> Self {
        Self {
            payload: Some(text.as_bytes().to_vec()),
            key: Some(key.as_bytes().to_vec()),
            timestamp_ms: None,
        }
    }

    fn record(&self, offset: u64) -> Record<'_> {
        Record {
            offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
        }
    }
}

/// `count` mutated records, the same for the same seed, half of them derived from the contract's
/// examples and half from random events.
fn samples(seed: u64, count: usize) -> Vec<(Mutation, Sample)> {
    let mut dice = Dice::new(seed, 0);
    let examples: Vec<_> =
        examples().iter().map(|example| Sample::new(&example.text, &example.key)).collect();
    let generated: Vec<_> = (0..ORIGINALS)
        .map(|_| generate(&mut dice))
        .map(|generated| Sample::new(&generated.text, &generated.key))
        .collect();
    let original = |dice: &mut Dice| {
        let originals = *dice.pick(&[&examples, &generated]);
        dice.pick(originals).clone()
    };
    (0..count)
        .map(|_| {
            let (mut sample, other) = (original(&mut dice), original(&mut dice));
            let mutation = Mutation::ALL[dice.weighted(&Mutation::WEIGHTS)];
            mutate(&mut dice, mutation, &mut sample, &other);
            (mutation, sample)
        })
        .collect()
}

#[test]
fn a_second_decoder_agrees_on_every_changed_record() {
    let mut outcomes: BTreeMap<(Mutation, &str), u32> = BTreeMap::new();
    let mut without_oracle = 0;
    for (index, (mutation, sample)) in samples(1, SAMPLES).iter().enumerate() {
        let record = sample.record(0);
        let decoded = decode(&record);
        let outcome = match &decoded {
            Decoded::Event(_) => "event",
            Decoded::Tombstone => "tombstone",
            Decoded::Rejected(reject) => {
                let names_a_field = matches!(
                    reject.reason,
                    RejectReason::MissingField | RejectReason::InvalidField
                );
                assert_eq!(names_a_field, !reject.path.is_empty(), "{reject:?}");
                reject.reason.as_str()
            }
        };
        *outcomes.entry((*mutation, outcome)).or_default() += 1;
        match oracle::judge(&record) {
            Some(expected) => {
                assert_eq!(decoded, expected, "record {index}, {mutation:?}: {}", shown(sample))
            }
            None => without_oracle += 1,
        }
    }
    // The comparison is meaningful only if each mutation has an effect.
    assert!(without_oracle < SAMPLES / 50, "{without_oracle} records could not be compared");
    let count = |mutation: Mutation, outcome: &str| {
        outcomes.get(&(mutation, outcome)).copied().unwrap_or(0)
    };
    let untouched: Vec<_> =
        outcomes.keys().filter(|(mutation, _)| *mutation == Mutation::None).collect();
    assert_eq!(untouched, [&(Mutation::None, "event")]);
    assert_eq!(count(Mutation::Truncated, "event"), 0);
    for (mutation, outcome) in [
        (Mutation::Tombstone, "tombstone"),
        (Mutation::Truncated, "invalid_json"),
        (Mutation::BitsFlipped, "event"),
        (Mutation::BitsFlipped, "unknown_type"),
        (Mutation::BitsFlipped, "missing_field"),
        (Mutation::SyntaxReplaced, "event"),
        (Mutation::SyntaxReplaced, "invalid_field"),
        (Mutation::SyntaxReplaced, "time_in_future"),
        (Mutation::SyntaxReplaced, "time_too_old"),
        (Mutation::InvalidUtf8, "invalid_json"),
        (Mutation::Nested, "event"),
        (Mutation::Nested, "invalid_json"),
        (Mutation::Nested, "invalid_field"),
        (Mutation::Huge, "event"),
        (Mutation::Huge, "too_large"),
        (Mutation::Huge, "invalid_field"),
        (Mutation::OtherKey, "invalid_field"),
        (Mutation::OtherTimestamp, "time_in_future"),
    ] {
        assert!(count(mutation, outcome) > 0, "no {mutation:?} ended as {outcome}: {outcomes:?}");
    }
}

/// The beginning of the sample, for a failed test.
fn shown(sample: &Sample) -> String {
    let payload = sample.payload.as_deref().unwrap_or_default();
    let key = sample.key.as_deref().map(String::from_utf8_lossy);
    format!("{key:?} {}", String::from_utf8_lossy(&payload[..payload.len().min(2_000)]))
}

#[test]
fn every_event_is_read_back_as_it_was_written() {
    for seed in 0..ROUNDTRIPS {
        let generated = generate(&mut Dice::new(seed as u64, 1));
        let sample = Sample::new(&generated.text, &generated.key);
        assert_eq!(
            decode(&sample.record(0)),
            Decoded::Event(generated.event),
            "seed {seed}: {}",
            generated.text
        );
    }
}

/// The counts of an empty lane on an empty store for these records.
fn counted(records: &[(Record<'_>, Decoded<'_>)], end_offset: u64) -> (LaneRows, Progress) {
    let seed = UserKeySeed { k0: 1, k1: 2 };
    let mut lane = Lane::new(Source::new("usage-events", "", 0), Progress::default(), seed);
    lane.sought();
    for batch in records.chunks(BATCH) {
        let mut rest = batch;
        loop {
            match lane.apply(rest) {
                Applied::All => break,
                Applied::Blocked { index } => {
                    rest = &rest[index..];
                    let missing = lane.missing(rest);
                    assert!(!missing.is_empty(), "blocked by nothing that is missing");
                    lane.admit(&missing, Loaded::default());
                }
                Applied::Gap { index } => panic!("a gap at {:?}", rest[index].0),
            }
        }
    }
    lane.skip_to(end_offset);
    (lane.drain(), lane.progress())
}

/// The rows of a drain without rejected records and progress, sorted.
fn sorted_rows(rows: &LaneRows) -> Vec<String> {
    fn texts<T: std::fmt::Debug>(rows: &[T]) -> Vec<String> {
        rows.iter().map(|row| format!("{row:?}")).collect()
    }
    let mut all = [
        rows.active_users
            .iter()
            .map(|row| format!("{:?} {:?}", row, row.users.iter().collect::<Vec<_>>()))
            .collect(),
        texts(&rows.test_executions),
        texts(&rows.quota_usage),
        texts(&rows.seat_facts),
        texts(&rows.seat_intervals),
        texts(&rows.license_facts),
        texts(&rows.plan_facts),
        texts(&rows.zone_facts),
        texts(&rows.directory),
        texts(&rows.organizations),
    ]
    .concat();
    all.sort();
    all
}

#[test]
fn bad_records_change_nothing_that_a_lane_counts() {
    let samples = samples(2, SAMPLES);
    let records: Vec<_> =
        (0..).zip(&samples).map(|(offset, (_, sample))| sample.record(offset)).collect();
    let all: Vec<_> = records.iter().map(|record| (*record, decode(record))).collect();
    let good: Vec<_> =
        all.iter().filter(|(_, decoded)| matches!(decoded, Decoded::Event(_))).cloned().collect();
    let of =
        |is: fn(&Decoded<'_>) -> bool| all.iter().filter(|(_, decoded)| is(decoded)).count() as u64;

    let end_offset = all.len() as u64;
    let (rows, progress) = counted(&all, end_offset);
    assert_eq!(progress.next_offset, end_offset);
    assert_eq!(progress.passed(), end_offset);
    assert_eq!(progress.absent, 0);
    assert_eq!(progress.skipped, of(|decoded| matches!(decoded, Decoded::Tombstone)));
    assert_eq!(progress.rejected, of(|decoded| matches!(decoded, Decoded::Rejected(_))));
    assert_eq!(progress.accepted + progress.duplicates, good.len() as u64);
    assert!(good.len() > SAMPLES / 5 && good.len() < SAMPLES / 2, "{} good records", good.len());

    let (rows_of_good, progress_of_good) = counted(&good, end_offset);
    assert_eq!(progress_of_good.accepted, progress.accepted);
    assert_eq!(progress_of_good.duplicates, progress.duplicates);
    assert_eq!(progress_of_good.absent, progress.skipped + progress.rejected);
    assert_eq!(sorted_rows(&rows), sorted_rows(&rows_of_good));

    let rejected: Vec<_> =
        all.iter().filter(|(_, decoded)| matches!(decoded, Decoded::Rejected(_))).collect();
    assert_eq!(rows.rejected.len(), rejected.len());
    for (row, (record, decoded)) in rows.rejected.iter().zip(rejected) {
        let payload = record.payload.unwrap();
        assert_eq!(
            (row.offset, row.timestamp_ms, row.key.as_deref()),
            (record.offset, record.timestamp_ms, record.key)
        );
        assert_eq!(row.payload, payload[..payload.len().min(65_536)]);
        assert_eq!(row.payload_bytes, payload.len() as u64);
        assert_eq!(Decoded::Rejected(row.reject.clone()), *decoded);
    }
}
