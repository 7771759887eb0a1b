//! The faults, and the mutants: workers and lanes with one rule of exactness dropped, which the
//! simulation has to detect.

use std::fmt;

use seatmeter::core::topics::Topic;

use super::dice::Dice;

/// A fault that occurs randomly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A worker dies, at any point, and starts again.
    Crash,
    /// An INSERT fails; none, some or all of its rows are stored nevertheless.
    FailedWrite,
    /// An INSERT arrives much later, or again.
    LateWrite,
    /// A partition moves to another worker, after a flush or without one.
    Rebalance,
    /// A stalled former owner does not notice that its partition moved, and goes on.
    Zombie,
    /// A lane evicts what the store holds.
    Eviction,
    /// Records are delivered twice.
    Redelivery,
    /// After an error, a pause or similar, delivery skips existing records.
    FalseGap,
    /// A load fails, possibly after half of its answer.
    FailedLoad,
    /// The oldest records are deleted, read or not.
    Retention,
    /// A worker that died starts again with another release of the zone data.
    OtherRelease,
}

impl Fault {
    pub(super) const ALL: [Self; 11] = [
        Self::Crash,
        Self::FailedWrite,
        Self::LateWrite,
        Self::Rebalance,
        Self::Zombie,
        Self::Eviction,
        Self::Redelivery,
        Self::FalseGap,
        Self::FailedLoad,
        Self::Retention,
        Self::OtherRelease,
    ];
}

/// The faults that may happen in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// The faults of a seed: some runs omit some of them, so that lanes sometimes live long.
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 2);
        let percent = *dice.pick(&[100, 80, 50]);
        Self(Fault::ALL.into_iter().filter(|_| dice.chance(percent)).collect())
    }

    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn contains(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    pub(super) fn without(&self, fault: Fault) -> Self {
        Self(self.0.iter().copied().filter(|other| *other != fault).collect())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A rule of exactness that is dropped. Each is implemented around the lane, in its inputs and
/// outputs: the lane itself has no switch for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Stored counters look as if they covered nothing.
    DropsUpto,
    /// Counters are written as differences, and the tables add them up.
    WritesDeltas,
    /// Facts of the lane's own source at or beyond its position look like earlier ones.
    JudgesByLaterFacts,
    /// The progress is written while one INSERT of its flush is not acknowledged.
    WritesProgressEarly,
    /// When an INSERT failed, what was counted since is sent with it, under the old `upto`.
    ResendsNewerValues,
    /// A record that is delivered again is counted as the next one.
    CountsBelowPosition,
    /// Counters that the store holds are not loaded.
    TakesUnheldAsZero,
    /// Users who were not loaded are treated as users without a seat, however many the account has.
    TakesLargeAccountsForWhole,
    /// Counters of the last month that the store holds of an account are taken for 0 unless they
    /// were loaded.
    TakesLaterMonthsForEmpty,
    /// A gap is trusted without a seek.
    BelievesFalseGaps,
    /// The lane is not told to distrust the next gap.
    NeverDoubts,
    /// The next flush starts before the last one is acknowledged.
    OverlapsFlushes,
    /// A truncated load is taken for the whole answer.
    AdmitsTruncatedLoads,
    /// The answer to a load is older than the last flush, as from a replica that lags.
    LoadsStaleRows,
    /// The ids before the position are not replayed after an assignment.
    SkipsWarmUp,
    /// Half of these ids are replayed.
    WarmsHalfTheWindow,
    /// After an error, the replay of ids goes on at the client's position.
    TrustsTheReplay,
    /// A failed INSERT is taken for a success.
    IgnoresFailedWrites,
    /// Facts of other partitions are not loaded.
    ForgetsOtherSources,
    /// A lane is kept while accounts move away and come back, with stale state of them.
    KeepsMovedAccounts,
    /// Kafka's offset is committed when the flush starts.
    CommitsEarly,
    /// Another release of the zone data takes over regardless of what is stored.
    TakesOverAtOnce,
    /// Rows are written without a claim of their zone data.
    ClaimsNothing,
    /// A lane does not load which other partitions have counted an account.
    ForgetsWhoCounted,
    /// The move of an account is written after the rows that were judged by it.
    WritesMovesLate,
    /// What the topics of accounts stand at is written before the rows.
    AnnouncesEarly,
    /// Days are announced before their users are written.
    AnnouncesDaysEarly,
    /// Days are announced after what the topics of accounts stand at.
    AnnouncesDaysLate,
    /// A topic is announced where a drain yields rows of it alone. Of last uses some 8,000 seeds
    /// would have to be tried: a new one hides the loss of an old one.
    AnnouncesRowsAlone(Topic),
    /// What a topic's latest event time is nobody says.
    ForgetsLatest,
    /// A topic is never announced.
    LeavesOut(Topic),
    /// A reader looks after it has read.
    LooksAfterReading,
    /// Stored hours of the audit look as if they covered nothing.
    DropsUptoOfHours,
    /// Hours of the audit that the store holds are not loaded.
    TakesUnheldHoursAsZero,
    /// The last hour of the audit that the store holds of a source is taken for 0 unless it was
    /// loaded.
    TakesLaterHoursForEmpty,
    /// The checksum of an hour is merged by its own `max`, apart from what it is the sum of.
    MergesChecksumsAlone,
}

impl Mutant {
    /// The mutant that only an account which moves without a stop can reveal.
    pub(super) const OF_MOVES: Self = Self::WritesMovesLate;
}

impl Mutant {
    pub(super) const ALL: [Self; 41] = [
        Self::DropsUpto,
        Self::WritesDeltas,
        Self::JudgesByLaterFacts,
        Self::WritesProgressEarly,
        Self::ResendsNewerValues,
        Self::CountsBelowPosition,
        Self::TakesUnheldAsZero,
        Self::TakesLargeAccountsForWhole,
        Self::TakesLaterMonthsForEmpty,
        Self::BelievesFalseGaps,
        Self::NeverDoubts,
        Self::OverlapsFlushes,
        Self::AdmitsTruncatedLoads,
        Self::LoadsStaleRows,
        Self::SkipsWarmUp,
        Self::WarmsHalfTheWindow,
        Self::TrustsTheReplay,
        Self::IgnoresFailedWrites,
        Self::ForgetsOtherSources,
        Self::KeepsMovedAccounts,
        Self::CommitsEarly,
        Self::TakesOverAtOnce,
        Self::ClaimsNothing,
        Self::ForgetsWhoCounted,
        Self::AnnouncesEarly,
        Self::AnnouncesDaysEarly,
        Self::AnnouncesDaysLate,
        Self::AnnouncesRowsAlone(Topic::Directory),
        Self::AnnouncesRowsAlone(Topic::Seats),
        Self::AnnouncesRowsAlone(Topic::Tests),
        Self::ForgetsLatest,
        Self::LeavesOut(Topic::Directory),
        Self::LeavesOut(Topic::Seats),
        Self::LeavesOut(Topic::Uses),
        Self::LeavesOut(Topic::Activity),
        Self::LeavesOut(Topic::Tests),
        Self::LooksAfterReading,
        Self::DropsUptoOfHours,
        Self::TakesUnheldHoursAsZero,
        Self::TakesLaterHoursForEmpty,
        Self::MergesChecksumsAlone,
    ];
}
