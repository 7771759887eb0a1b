//! What a lane requests from the store before it can judge a record, and the answer.

use std::sync::Arc;

use super::audit::{AuditedHour, RecordHour};
use super::calendar::YearMonth;
use super::id::Id;
use super::rollup::{
    AccountMove, OrganizationSeen, PlanFact, QuotaUsage, SeatFact, SeatUsage, TestExecutions,
    ZoneFact,
};

/// Entries that a batch needs and the lane does not hold, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Accounts whose time zones, plans and known organizations are needed.
    pub accounts: Vec<Id>,
    /// (account, user) whose seats, in all organizations, are needed.
    pub users: Vec<(Id, Id)>,
    /// Counters that are needed.
    pub counters: Vec<CounterBlock>,
    /// Hours of the audit that are needed.
    pub hours: Vec<RecordHour>,
}

impl Missing {
    /// True if nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.users.is_empty()
            && self.counters.is_empty()
            && self.hours.is_empty()
    }
}

/// All counters of one organization whose local day lies in one calendar month: the unit in which
/// counters are loaded, so that one load serves a month of days, projects and quota months.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterBlock {
    pub account: Id,
    pub organization: Id,
    pub month: YearMonth,
}

/// What the store holds of an account as a whole, so that a lane need not request each user and
/// each month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountExtent {
    pub account: Id,
    /// True if the answer holds the seats of all users of the account: a user that is not in it
    /// holds none.
    pub has_all_seats: bool,
    /// The latest calendar month of any stored counter of the asking lane's source: those of later
    /// months, in every organization, stand at 0. `None` where no counter is stored.
    pub last_counted: Option<YearMonth>,
}

/// A partition, of the same incarnation of the topic as the asking lane's, that has met an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetBy {
    pub account: Id,
    pub source: Arc<str>,
    /// The next offset of this source's recorded progress, before any fact of the answer was read:
    /// everything below is stored and never counted again.
    pub upto: u64,
}

/// The merged rows of everything that a [`Missing`] named; what it does not contain does not exist.
/// Facts are of every source; counters are of the asking lane's source alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// For accounts that were asked for; an account that is left out is not known as a whole.
    pub extents: Vec<AccountExtent>,
    /// For accounts that were asked for, the asking lane's own source included.
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
    /// For hours that were asked for. Where any was, the row of the last hour that is stored of the
    /// source is among them: all hours after it stand at 0.
    pub audited_hours: Vec<AuditedHour>,
}
