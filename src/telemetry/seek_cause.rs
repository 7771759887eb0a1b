//! Causes of seeks.

/// Why a partition was sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekCause {
    /// The partition was just assigned.
    Start,
    /// Offsets seemed to be missing.
    Gap,
    /// No records came although there are some.
    Stalled,
    /// The worker was full, and has room again.
    Paused,
    /// The leader epoch changed: the last record is checked.
    LeaderEpoch,
}

impl SeekCause {
    pub(super) const ALL: [Self; 5] =
        [Self::Start, Self::Gap, Self::Stalled, Self::Paused, Self::LeaderEpoch];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Gap => "gap",
            Self::Stalled => "stalled",
            Self::Paused => "paused",
            Self::LeaderEpoch => "leader_epoch",
        }
    }
}
