//! The expected audit: outcomes, tests and checksum by the hour in which records are stamped.

use xxhash_rust::xxh3::xxh3_64;

use super::{Fold, Outcome};
use crate::simulation::log::{Kind, LogRecord, Meaning};
use crate::simulation::naive_calendar::text;
use crate::simulation::view::View;

const HOUR_MS: i64 = 3600 * 1000;

/// One hour of one source.
#[derive(Default)]
pub(super) struct Hour {
    first_offset: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    skipped: u64,
    tests_run: u64,
    tests_uploaded: u64,
    checksum: u64,
}

impl Fold {
    pub(super) fn audit(&mut self, source: &str, record: &LogRecord, outcome: Outcome) {
        let stamp = record.timestamp_ms.unwrap_or(0);
        let key = (source.to_owned(), text(stamp - stamp % HOUR_MS));
        let new = Hour { first_offset: record.offset, ..Hour::default() };
        let hour = self.hours.entry(key).or_insert(new);
        match outcome {
            Outcome::Accepted => hour.accepted += 1,
            Outcome::Rejected => hour.rejected += 1,
            Outcome::Duplicate => hour.duplicates += 1,
            Outcome::Skipped => hour.skipped += 1,
        }
        let (Outcome::Accepted, Meaning::Event(event)) = (outcome, &record.meaning) else { return };
        let mut bytes = xxh3_64(event.account.as_bytes()).to_le_bytes().to_vec();
        bytes.extend(record.offset.to_le_bytes());
        bytes.extend(event.id.bytes());
        hour.checksum = hour.checksum.wrapping_add(xxh3_64(&bytes));
        if let Kind::Test(test) = &event.kind {
            *if test.is_upload { &mut hour.tests_uploaded } else { &mut hour.tests_run } +=
                test.tests;
        }
    }

    pub(super) fn view_hours(&self, view: &mut View) {
        for ((source, start), hour) in &self.hours {
            let Hour { first_offset, accepted, rejected, duplicates, skipped, .. } = hour;
            let Hour { tests_run, tests_uploaded, checksum, .. } = hour;
            let counts = format!(
                "HourCounts {{ accepted: {accepted}, rejected: {rejected}, duplicates: \
                {duplicates}, skipped: {skipped}, tests_run: {tests_run}, tests_uploaded: \
                {tests_uploaded}, checksum: {checksum} }}"
            );
            view.insert(
                format!("audit {source} {start}"),
                format!("from {first_offset} on: {counts}"),
            );
        }
    }
}
