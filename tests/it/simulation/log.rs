//! The logs of a simulation: records with their meaning, bytes and position.
//!
//! A record is kept twice, as the bytes that the pipeline gets and as the meaning that the naive
//! fold walks, so that neither depends on the decoder being right.

use std::collections::BTreeSet;
use std::fmt;

use seatmeter::core::calendar::Zone;

use super::naive_calendar::text;

/// A whole simulated topic, from its first record to its last.
pub(super) struct Log {
    pub(super) partitions: Vec<PartitionLog>,
    /// Number of phases: how often partitions were added, plus 1. Accounts move only between two
    /// phases, when all is counted.
    pub(super) phases: usize,
    /// The time from its beginning to its last record, by the clock that stamps records. By how
    /// much the clocks of some producers are wrong is no part of it.
    pub(super) took_ms: u64,
}

/// One partition.
pub(super) struct PartitionLog {
    /// Kafka's number of it.
    pub(super) partition: u32,
    /// The first offset that the log holds when it is read first. There need not be a record.
    pub(super) first_offset: u64,
    pub(super) records: Vec<LogRecord>,
    /// For each phase, how many records there are at its end, and the high watermark. It lies
    /// beyond the last record where a transaction marker follows.
    pub(super) phase_ends: Vec<PhaseEnd>,
}

/// The end of a phase of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseEnd {
    pub(super) records: usize,
    pub(super) high_watermark: u64,
}

/// One record.
#[derive(Clone)]
pub(super) struct LogRecord {
    pub(super) offset: u64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) meaning: Meaning,
}

/// The expected verdict on a record.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Tombstone,
    /// Not an event: the reason, and the path of the field where the contract names one.
    Rejected(&'static str, Option<&'static str>),
    Event(SimEvent),
}

/// An event.
#[derive(Clone, Debug)]
pub(super) struct SimEvent {
    /// CloudEvents `id`.
    pub(super) id: String,
    pub(super) time_ms: i64,
    pub(super) account: String,
    pub(super) kind: Kind,
}

/// What happened; see section 1 of the contract.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Activity {
        organization: Option<String>,
        user: String,
    },
    Test(Test),
    Purchased {
        seats: u64,
    },
    Allocated {
        organization: String,
        seats: u64,
    },
    Assigned {
        organization: String,
        user: String,
        project: Option<String>,
        license_source: Option<String>,
    },
    Revoked {
        organization: String,
        user: String,
    },
    Plan {
        kind: &'static str,
        organization: String,
        plan: String,
        monthly_quota: Option<u64>,
    },
    Account {
        name: Option<String>,
        zone: Option<Zone>,
    },
    Organization {
        organization: String,
        name: Option<String>,
        parent: Option<Option<String>>,
    },
    User {
        user: String,
        name: Option<String>,
        email: Option<String>,
    },
    Project {
        organization: String,
        project: String,
        name: Option<String>,
    },
}

/// A `test.executed`.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) event_source: String,
    pub(super) organization: String,
    pub(super) project: Option<String>,
    pub(super) user: Option<String>,
    pub(super) is_upload: bool,
    pub(super) tests: u64,
    pub(super) duration_ms: u64,
}

impl Log {
    /// The log reduced to the records named by (index of the partition, offset). The others are
    /// absent, like compacted records.
    pub(super) fn retain(&mut self, kept: &BTreeSet<(usize, u64)>) {
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let is_kept = |record: &LogRecord| kept.contains(&(index, record.offset));
            for end in &mut partition.phase_ends {
                end.records = partition.records[..end.records]
                    .iter()
                    .filter(|record| is_kept(record))
                    .count();
            }
            partition.records.retain(is_kept);
        }
    }

    /// The same records as if accounts moved without waiting until all is counted: all exist at
    /// once.
    pub(super) fn in_one_phase(mut self) -> Self {
        self.phases = 1;
        for partition in &mut self.partitions {
            partition.phase_ends.drain(..partition.phase_ends.len() - 1);
        }
        self
    }

    /// Every record by (index of the partition, offset).
    pub(super) fn places(&self) -> Vec<(usize, u64)> {
        let of = |(index, partition): (usize, &PartitionLog)| {
            partition.records.iter().map(move |record| (index, record.offset)).collect::<Vec<_>>()
        };
        self.partitions.iter().enumerate().flat_map(of).collect()
    }
}

impl PartitionLog {
    /// The index of the first record at or beyond the offset.
    pub(super) fn index_at(&self, offset: u64) -> usize {
        self.records.partition_point(|record| record.offset < offset)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in 0..self.phases {
            for partition in &self.partitions {
                let start = if phase == 0 { 0 } else { partition.phase_ends[phase - 1].records };
                let end = partition.phase_ends[phase];
                let (number, first, high) =
                    (partition.partition, partition.first_offset, end.high_watermark);
                writeln!(
                    f,
                    "phase {phase}, partition {number}, first offset {first}, high watermark \
                    {high}:"
                )?;
                for record in &partition.records[start..end.records] {
                    writeln!(f, "  {record}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for LogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = self.timestamp_ms.map_or_else(|| "no timestamp".to_owned(), text);
        write!(f, "{} @ {stamp}: ", self.offset)?;
        match &self.meaning {
            Meaning::Tombstone => write!(f, "tombstone"),
            Meaning::Rejected(reason, path) => {
                write!(f, "rejected: {reason} {}", path.unwrap_or_default())
            }
            Meaning::Event(event) => {
                write!(f, "{} {} {:?}", text(event.time_ms), event.account, event.kind)
            }
        }
    }
}
