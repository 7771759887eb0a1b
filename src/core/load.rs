//! What a lane asks of the store before it can judge a record, and what the store answers.

use std::sync::Arc;

use super::calendar::YearMonth;
use super::id::Id;
use super::rollup::{
    AccountMove, OrganizationSeen, PlanFact, QuotaUsage, SeatFact, SeatUsage, TestExecutions, ZoneFact,
};

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

/// What the store holds of an account as a whole, so that a lane need not ask for each user and each month of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountExtent {
    pub account: Id,
    /// True where the answer holds the seats of all of its users: whoever is not mentioned holds none.
    pub has_all_seats: bool,
    /// The latest calendar month of any stored counter of the asking lane's source: those of later months, in every
    /// organization, have counted nothing. `None` where no counter is stored.
    pub last_counted: Option<YearMonth>,
}

/// A partition, of the same incarnation of the topic as the asking lane's, that has met an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetBy {
    pub account: Id,
    pub source: Arc<str>,
    /// The next offset of this source's recorded progress, before any fact of the answer was read: what lies below is
    /// stored, and is never counted again.
    pub upto: u64,
}

/// The merged rows of everything that a [`Missing`] named; what it does not mention is not there. Facts are of every
/// source; counters are of the asking lane's source alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Of accounts that were asked for; of one that is left out nothing is known as a whole.
    pub extents: Vec<AccountExtent>,
    /// Of accounts that were asked for, the asking lane's own source included.
    pub met_by: Vec<MetBy>,
    /// Moves of these accounts away from the asking lane's source.
    pub moves_away: Vec<AccountMove>,
    pub zone_facts: Vec<ZoneFact>,
    pub plan_facts: Vec<PlanFact>,
    pub organizations: Vec<OrganizationSeen>,
    pub seat_facts: Vec<SeatFact>,
    pub seat_usage: Vec<SeatUsage>,
    pub test_executions: Vec<TestExecutions>,
    pub quota_usage: Vec<QuotaUsage>,
}
