//! Statistics of the runs: a simulation without faults proves nothing.

/// An event of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Crashed,
    CrashedInFlush,
    MovedAfterFlush,
    MovedWithoutFlush,
    MovedUnnoticed,
    FormerOwnerFlushed,
    Evicted,
    WriteRefused,
    WrittenInPart,
    WrittenButFailed,
    SentLate,
    LandedLate,
    LoadFailed,
    Redelivered,
    SkippedRecords,
    GapDoubted,
    Blocked,
    RewoundPastStart,
    Retained,
    RetainedUnread,
    Lost,
    Duplicate,
    TailPassed,
    ResumedBehindRows,
    TookOver,
    TakeoverRefused,
    AccountMoved,
    AccountTold,
    AnnouncedWithoutRow,
    AnswerKept,
    AnswerOutdated,
}

impl Happened {
    pub(super) const ALL: [Self; 31] = [
        Self::Crashed,
        Self::CrashedInFlush,
        Self::MovedAfterFlush,
        Self::MovedWithoutFlush,
        Self::MovedUnnoticed,
        Self::FormerOwnerFlushed,
        Self::Evicted,
        Self::WriteRefused,
        Self::WrittenInPart,
        Self::WrittenButFailed,
        Self::SentLate,
        Self::LandedLate,
        Self::LoadFailed,
        Self::Redelivered,
        Self::SkippedRecords,
        Self::GapDoubted,
        Self::Blocked,
        Self::RewoundPastStart,
        Self::Retained,
        Self::RetainedUnread,
        Self::Lost,
        Self::Duplicate,
        Self::TailPassed,
        Self::ResumedBehindRows,
        Self::TookOver,
        Self::TakeoverRefused,
        Self::AccountMoved,
        Self::AccountTold,
        Self::AnnouncedWithoutRow,
        Self::AnswerKept,
        Self::AnswerOutdated,
    ];
}

/// How often each happened, and how much was simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    happened: [u64; Happened::ALL.len()],
    pub(super) histories: u64,
    /// Records of their logs.
    pub(super) records: u64,
    /// The time that they took by the [clock of their logs](super::log::Log::took_ms).
    pub(super) took_ms: u64,
}

impl Stats {
    pub(super) fn count(&mut self, happened: Happened) {
        self.add(happened, 1);
    }

    pub(super) fn add(&mut self, happened: Happened, times: u64) {
        self.happened[happened as usize] += times;
    }

    pub(super) fn of(&self, happened: Happened) -> u64 {
        self.happened[happened as usize]
    }

    /// These, as those of one history.
    pub(super) fn of_history(self, records: u64, took_ms: u64) -> Self {
        Self { histories: 1, records, took_ms, ..self }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, times) in self.happened.iter_mut().zip(other.happened) {
            *sum += times;
        }
        self.histories += other.histories;
        self.records += other.records;
        self.took_ms += other.took_ms;
    }
}
