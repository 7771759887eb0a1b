//! Properties of the generated load.

/// Greatest number of days from the start of a plan to the first instant.
pub const PLAN_AGE_DAYS_MAX: i32 = 199;

/// Properties of the generated load.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The same seed and the same other fields yield the same lines.
    pub seed: u64,
    /// The first instant, milliseconds since 1970 UTC. Plans may have started earlier.
    pub from_ms: i64,
    /// The end, exclusive.
    pub to_ms: i64,
    /// Accounts, 1 or more.
    pub accounts: u32,
    /// Organizations of each account, 1 or more.
    pub organizations: u32,
    /// Users of each account, 1 or more.
    pub users: u32,
    /// How likely a user's active day is, percent of what it is in an ordinary account.
    pub attendance_percent: u32,
    /// Actions of a user on an active day, mean; a login comes on top.
    pub actions_per_day: u32,
    /// `test.executed` events of an organization on a working day, mean.
    pub test_runs_per_day: u32,
    /// Noise, as shares.
    pub shares: Shares,
    /// The first account shows an organization within its quota, one in its grace (42), and one
    /// that has exhausted both.
    pub showcase: bool,
}

/// Noise in a log. Each field is a share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// `test.executed` events that are delivered twice.
    pub duplicates: f64,
    /// Events that are held back by minutes to weeks.
    pub late: f64,
    /// Malformed lines that are added, per event.
    pub malformed: f64,
}

impl Load {
    /// A few middle-sized accounts.
    pub fn ordinary(from_ms: i64, to_ms: i64) -> Self {
        Self {
            seed: 1,
            from_ms,
            to_ms,
            accounts: 4,
            organizations: 12,
            users: 160,
            attendance_percent: 100,
            actions_per_day: 6,
            test_runs_per_day: 12,
            shares: Shares { duplicates: 0.01, late: 0.01, malformed: 0.001 },
            showcase: false,
        }
    }

    /// What `demo` shows: ordinary accounts, the first of which has an organization for each status
    /// of a quota.
    pub fn demo(from_ms: i64, to_ms: i64) -> Self {
        Self { showcase: true, ..Self::ordinary(from_ms, to_ms) }
    }

    /// One account of 2,000 organizations and about 100,000 seats, for benchmarks of the reports:
    /// over three years some 8 million events.
    pub fn large_account(from_ms: i64, to_ms: i64) -> Self {
        Self {
            accounts: 1,
            organizations: 2_000,
            users: 115_000,
            attendance_percent: 15,
            actions_per_day: 0,
            test_runs_per_day: 1,
            shares: Shares { duplicates: 0.001, late: 0.0005, malformed: 0.0001 },
            ..Self::ordinary(from_ms, to_ms)
        }
    }
}
