//! What a lane asks of the store before it can judge a record, and what the store answers.

use super::calendar::YearMonth;
use super::id::Id;
use super::rollup::{OrganizationSeen, PlanFact, QuotaUsage, SeatFact, SeatUsage, TestExecutions, ZoneFact};

/// What a batch needs and the lane does not hold. Free of duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Accounts whose time zones, plans and known organizations are needed.
    pub accounts: Vec<Id>,
    /// (account, user) whose seats, in all organizations, are needed.
    pub users: Vec<(Id, Id)>,
    /// Counters that are needed.
    pub counters: Vec<CounterBlock>,
}

impl Missing {
    /// True where nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.users.is_empty() && self.counters.is_empty()
    }
}

/// All counters of one organization whose local day lies in one calendar month: the unit in which counters are loaded, so
/// that one load serves a month of days, projects and quota months.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterBlock {
    pub account: Id,
    pub organization: Id,
    pub month: YearMonth,
}

/// The merged rows of everything that a [`Missing`] named; what it does not mention is not there. Facts are of every
/// source; counters are of the asking lane's source alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    pub zone_facts: Vec<ZoneFact>,
    pub plan_facts: Vec<PlanFact>,
    pub organizations: Vec<OrganizationSeen>,
    pub seat_facts: Vec<SeatFact>,
    pub seat_usage: Vec<SeatUsage>,
    pub test_executions: Vec<TestExecutions>,
    pub quota_usage: Vec<QuotaUsage>,
}
