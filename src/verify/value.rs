//! The value of a compared row: a join-semilattice, as the tables merge it.

use super::members::Members;
use crate::core::audit::HourCounts;
use crate::store::{Compared, StoredRow};

/// What a row holds besides its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Counters; merged by `max`.
    Counts(Vec<u64>),
    /// Users; merged by union.
    Users(Members),
    /// A fact; the same wherever it is told.
    Fact(Box<str>),
    /// A seat from assignment to end.
    Interval(Box<StoredInterval>),
    /// The latest value of a field of the directory.
    Latest(Box<Latest>),
    /// An hour of the audit; the one of more records counts.
    Hour(Box<StoredHour>),
    /// That there is such a row.
    Present,
}

/// An hour of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredHour {
    /// The offset of its first record.
    pub first_offset: u64,
    /// Outcomes of its records.
    pub counts: HourCounts,
}

/// A seat, column by column; times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInterval {
    /// The first record that opened it: source, offset, project and licence source.
    pub opened: Option<(Box<str>, u64, Box<str>)>,
    /// Merged by `min`.
    pub end_ms: u64,
    /// Merged by `max`.
    pub is_superseded: bool,
    /// Merged by `min`.
    pub first_active_ms: u64,
    /// Merged by `max`.
    pub last_active_ms: u64,
}

/// A value of the directory, led by what orders it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Latest {
    /// Milliseconds since 1970 UTC.
    pub time_ms: u64,
    pub source: Box<str>,
    pub offset: u64,
    pub value: Box<str>,
}

impl Value {
    /// The value of a stored row; `None` where the row is not of the table's form.
    pub fn of_stored(table: Compared, row: StoredRow) -> Option<Self> {
        let StoredRow { numbers, text, .. } = row;
        Some(match table {
            Compared::TestExecutions | Compared::QuotaUsage => Self::Counts(numbers),
            Compared::ActiveUsers | Compared::ActiveUsersByAccount => {
                Self::Users(Members::new(numbers))
            }
            Compared::SeatIntervals => {
                let [end_ms, superseded, first_active_ms, last_active_ms, is_unknown, offset] =
                    numbers[..].try_into().ok()?;
                let (source, rest) = text.split_once('\t')?;
                let opened = (is_unknown == 0).then(|| (source.into(), offset, rest.into()));
                let is_superseded = superseded != 0;
                Self::Interval(Box::new(StoredInterval {
                    opened,
                    end_ms,
                    is_superseded,
                    first_active_ms,
                    last_active_ms,
                }))
            }
            Compared::Directory => {
                let [time_ms, offset] = numbers[..].try_into().ok()?;
                let (source, value) = text.split_once('\t')?;
                let (source, value) = (source.into(), value.into());
                Self::Latest(Box::new(Latest { time_ms, source, offset, value }))
            }
            Compared::Organizations => Self::Present,
            Compared::AuditedHours => Self::Hour(Box::new(StoredHour::of_stored(&numbers)?)),
            Compared::SeatFacts
            | Compared::LicenseFacts
            | Compared::PlanFacts
            | Compared::ZoneFacts
            | Compared::RejectedEvents => Self::Fact(text.into()),
        })
    }

    /// Merges another value of the same key into this one; returns by how much the memory has
    /// grown, bytes, approximately.
    pub fn join(&mut self, other: Self) -> usize {
        match (self, other) {
            (Self::Counts(counts), Self::Counts(others)) => {
                for (count, other) in counts.iter_mut().zip(others) {
                    *count = other.max(*count);
                }
            }
            (Self::Users(users), Self::Users(mut others)) => {
                others.sort();
                return users.extend(others.keys());
            }
            (Self::Interval(interval), Self::Interval(other)) => interval.join(*other),
            (Self::Hour(hour), Self::Hour(other)) => hour.join(*other),
            (Self::Latest(latest), Self::Latest(other)) if other > *latest => *latest = other,
            _ => {}
        }
        0
    }

    /// Puts the value into the form in which it is compared.
    pub fn settle(&mut self) {
        if let Self::Users(users) = self {
            users.sort();
        }
    }

    /// Whether merging this value into the other one would change nothing.
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Counts(counts), Self::Counts(others)) => {
                counts.iter().zip(others).all(|(count, other)| count <= other)
            }
            (Self::Users(users), Self::Users(others)) => users.without(others).is_empty(),
            (Self::Interval(interval), Self::Interval(other)) => {
                let mut joined = (**other).clone();
                joined.join((**interval).clone());
                joined == **other
            }
            (Self::Latest(latest), Self::Latest(other)) => latest <= other,
            (Self::Hour(hour), Self::Hour(other)) => hour.is_within(other),
            (value, other) => value == other,
        }
    }

    /// Memory, bytes, approximately.
    pub fn bytes(&self) -> usize {
        let heap = match self {
            Self::Counts(counts) => counts.len() * 8,
            Self::Users(_) => 64,
            Self::Fact(text) => text.len(),
            Self::Interval(_) => size_of::<StoredInterval>() + 32,
            Self::Latest(latest) => size_of::<Latest>() + latest.source.len() + latest.value.len(),
            Self::Hour(_) => size_of::<StoredHour>(),
            Self::Present => 0,
        };
        size_of::<Self>() + heap
    }
}

impl StoredHour {
    fn of_stored(numbers: &[u64]) -> Option<Self> {
        let [first_offset, accepted, rejected, duplicates, skipped, run, uploaded, checksum] =
            numbers.try_into().ok()?;
        let (tests_run, tests_uploaded) = (run, uploaded);
        let counts = HourCounts {
            accepted,
            rejected,
            duplicates,
            skipped,
            tests_run,
            tests_uploaded,
            checksum,
        };
        Some(Self { first_offset, counts })
    }

    fn join(&mut self, other: Self) {
        self.first_offset = self.first_offset.min(other.first_offset);
        if other.counts.records() > self.counts.records() {
            self.counts = other.counts;
        }
    }

    /// Whether the other one may have come of this one by more records. Of the checksum nothing can
    /// be said before all records are there.
    fn is_within(&self, other: &Self) -> bool {
        let counts = |of: &HourCounts| {
            [of.accepted, of.rejected, of.duplicates, of.skipped, of.tests_run, of.tests_uploaded]
        };
        let (own, others) = (counts(&self.counts), counts(&other.counts));
        self == other
            || (self.first_offset >= other.first_offset
                && own != others
                && own.iter().zip(others).all(|(own, other)| *own <= other))
    }
}

impl StoredInterval {
    fn join(&mut self, other: Self) {
        self.opened = match (self.opened.take(), other.opened) {
            (Some(opened), Some(other)) => Some(opened.min(other)),
            (opened, other) => opened.or(other),
        };
        self.end_ms = self.end_ms.min(other.end_ms);
        self.is_superseded |= other.is_superseded;
        self.first_active_ms = self.first_active_ms.min(other.first_active_ms);
        self.last_active_ms = self.last_active_ms.max(other.last_active_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(end_ms: u64, last_active_ms: u64) -> Value {
        let opened = Some(("t//0".into(), 3, "p\tl".into()));
        let (is_superseded, first_active_ms) = (false, 5);
        Value::Interval(Box::new(StoredInterval {
            opened,
            end_ms,
            is_superseded,
            first_active_ms,
            last_active_ms,
        }))
    }

    fn users(keys: &[u64]) -> Value {
        Value::Users(Members::new(keys.to_vec()))
    }

    fn latest(time_ms: u64, value: &str) -> Value {
        let (source, value) = ("t//0".into(), value.into());
        Value::Latest(Box::new(Latest { time_ms, source, offset: 1, value }))
    }

    #[test]
    fn values_lie_within_what_they_are_merged_into() {
        let pairs = [
            (Value::Counts(vec![1, 0, 5]), Value::Counts(vec![1, 2, 5])),
            (users(&[1, 2]), users(&[1, 2, 3])),
            (interval(90, 7), interval(80, 9)),
            (latest(1, "old"), latest(2, "new")),
            (hour(3, 900), hour(4, 100)),
        ];
        for (lower, upper) in pairs {
            assert!(lower.is_within(&upper) && !upper.is_within(&lower), "{lower:?} {upper:?}");
            let mut joined = lower.clone();
            joined.join(upper.clone());
            joined.settle();
            assert_eq!(joined, upper);
        }
    }

    fn hour(accepted: u64, checksum: u64) -> Value {
        let counts = HourCounts { accepted, checksum, ..HourCounts::default() };
        Value::Hour(Box::new(StoredHour { first_offset: 7, counts }))
    }

    #[test]
    fn hours_of_the_same_records_have_the_same_checksum() {
        assert!(!hour(3, 900).is_within(&hour(3, 901)));
    }

    #[test]
    fn facts_lie_within_themselves_alone() {
        let fact = |text: &str| Value::Fact(text.into());
        assert!(fact("a").is_within(&fact("a")) && !fact("a").is_within(&fact("b")));
    }
}
