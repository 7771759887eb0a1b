//! Audit by the hour: the outcomes of one source's records by the hour in which Kafka stamped them,
//! and a checksum of those that were accepted. An hour can so be checked after its log is gone,
//! against a copy of it or a producer's own count.
//!
//! The checksum of an hour is the sum modulo 2^64 of a term for each accepted record, in any order:
//!
//! ```text
//! xxh3_64(le64(xxh3_64(account_id)) || le64(offset) || id)
//! ```
//!
//! `xxh3_64` is the 64-bit XXH3 with seed 0, `le64` eight bytes, the least significant first,
//! `account_id` and `id` are UTF-8. In ClickHouse a term is `xxh3(concat(
//! reinterpretAsFixedString(xxh3(account_id)), reinterpretAsFixedString(toUInt64(offset)), id))`.
//! Sums are stored, so the algorithm must not change.
//!
//! A sum that wraps around is no maximum, so a row of an hour is merged whole, by `max` of its
//! `upto`: what one source has counted up to an offset is the same whoever counted it.

use std::ops::AddAssign;

use xxhash_rust::xxh3::xxh3_64;

use super::event::{Event, EventKind, Origin, Record};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// An hour of record time, in hours since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordHour(pub u32);

impl RecordHour {
    /// The last hour that begins within ClickHouse's `DateTime`: 2106-02-07 06:00 UTC.
    pub const LAST: Self = Self(u32::MAX / 3_600);

    /// The hour of a record with this timestamp, milliseconds since 1970 UTC. The first hour stands
    /// for all earlier times and for records without a timestamp, the last one for all later times.
    pub fn of(timestamp_ms: Option<i64>) -> Self {
        let hour = timestamp_ms.unwrap_or(0).div_euclid(HOUR_MS);
        let hour = u32::try_from(hour.max(0)).unwrap_or(u32::MAX);
        Self(hour).min(Self::LAST)
    }

    /// When it begins, milliseconds since 1970 UTC.
    pub fn start_ms(self) -> i64 {
        i64::from(self.0) * HOUR_MS
    }

    /// When it begins, seconds since 1970 UTC.
    pub fn start_s(self) -> u32 {
        self.0 * 3_600
    }
}

/// Writes the bytes whose hash is the term of an accepted record.
///
/// A processor that reads them at once waits until all its earlier writes have reached the cache,
/// which may take longer than all else that an event takes. So they are written some time before
/// they are hashed.
pub fn write_term(record: &Record<'_>, event: &Event<'_>, term: &mut Vec<u8>) {
    term.clear();
    // The key of an accepted record is the id of its account.
    term.extend_from_slice(&xxh3_64(record.key.unwrap_or_default()).to_le_bytes());
    term.extend_from_slice(&record.offset.to_le_bytes());
    term.extend_from_slice(event.id.as_bytes());
}

/// Outcomes of the records of an hour, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourCounts {
    /// Events counted.
    pub accepted: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Duplicate `test.executed` events.
    pub duplicates: u64,
    /// Tombstones.
    pub skipped: u64,
    /// Tests run on the platform, of the accepted events.
    pub tests_run: u64,
    /// Tests whose results were uploaded, of the accepted events.
    pub tests_uploaded: u64,
    /// Sum modulo 2^64 of the terms of the accepted records.
    pub checksum: u64,
}

impl HourCounts {
    /// A rejected record.
    pub const REJECTED: Self = Self { rejected: 1, ..Self::NONE };
    /// A duplicate.
    pub const DUPLICATE: Self = Self { duplicates: 1, ..Self::NONE };
    /// A tombstone.
    pub const SKIPPED: Self = Self { skipped: 1, ..Self::NONE };

    const NONE: Self = Self {
        accepted: 0,
        rejected: 0,
        duplicates: 0,
        skipped: 0,
        tests_run: 0,
        tests_uploaded: 0,
        checksum: 0,
    };

    /// An accepted event, with its [term](write_term).
    pub fn accepted(event: &Event<'_>, term: &[u8]) -> Self {
        let (tests_run, tests_uploaded) = match &event.kind {
            EventKind::TestExecuted(test) if test.origin == Origin::Run => (test.tests, 0),
            EventKind::TestExecuted(test) => (0, test.tests),
            _ => (0, 0),
        };
        Self { accepted: 1, tests_run, tests_uploaded, checksum: xxh3_64(term), ..Self::NONE }
    }

    /// All records.
    pub fn records(&self) -> u64 {
        self.accepted + self.rejected + self.duplicates + self.skipped
    }
}

impl AddAssign for HourCounts {
    // An event has at most 1,000,000 tests, so only the checksum can ever wrap around.
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.skipped += other.skipped;
        self.tests_run += other.tests_run;
        self.tests_uploaded += other.tests_uploaded;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// One hour, as one source has counted it so far. Merged by `min` of `first_offset`, and by `max`
/// of (`upto`, `counts`) together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedHour {
    pub hour: RecordHour,
    /// The offset of its first record.
    pub first_offset: u64,
    pub counts: HourCounts,
    /// The lane's next offset at the drain.
    pub upto: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::IdRef;

    #[test]
    fn every_timestamp_has_an_hour() {
        let check = |timestamp_ms, hour| assert_eq!(RecordHour::of(timestamp_ms).0, hour);
        check(None, 0);
        check(Some(-1), 0);
        check(Some(i64::MIN), 0);
        check(Some(HOUR_MS - 1), 0);
        check(Some(HOUR_MS), 1);
        check(Some(i64::MAX), RecordHour::LAST.0);
        assert_eq!(RecordHour::LAST.start_s(), 4_294_965_600);
        assert_eq!(RecordHour::of(Some(RecordHour(500_000).start_ms())), RecordHour(500_000));
    }

    #[test]
    fn terms_are_what_they_always_were() {
        let record =
            Record { offset: 7, timestamp_ms: Some(1), key: Some(b"acme"), payload: Some(b"{}") };
        let event = Event {
            id: "evt-1".into(),
            time_ms: 0,
            account: IdRef::from_text("acme"),
            kind: EventKind::LicensePurchased { seats: 1 },
        };
        let checksum = |record: &Record<'_>| {
            let mut term = Vec::new();
            write_term(record, &event, &mut term);
            assert_eq!(term.len(), 8 + 8 + 5);
            HourCounts::accepted(&event, &term).checksum
        };
        let term = checksum(&record);
        // It is compared with sums stored by earlier builds.
        assert_eq!(term, 2_148_110_459_818_811_886);
        let other = Record { offset: 8, ..record };
        assert_ne!(checksum(&other), term);
    }
}
