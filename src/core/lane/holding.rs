//! The entries that a lane holds: naming what is missing, and admitting it.

use std::sync::Arc;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::Lane;
use crate::core::account::{Account, User, fact_order};
use crate::core::audit::RecordHour;
use crate::core::calendar::{YearMonth, Zone, day_of};
use crate::core::counters::{ProjectDay, QuotaDay};
use crate::core::event::{Decoded, Event, EventKind, Record};
use crate::core::id::{Id, IdRef};
use crate::core::load::{CounterBlock, Loaded, MetBy, Missing};
use crate::core::quota::QuotaMonthKey;
use crate::core::rollup::{AccountMove, PlanFact, QuotaUsage, TestExecutions, ZoneFact};
use crate::core::seats::Activity;

/// Greatest distance of a zone from UTC, milliseconds.
const ZONE_OFFSET_MS_MAX: i64 = 15 * 3_600_000;

/// Keys of one load, at most, so that its query and its answer stay small.
const MISSING_KEYS_MAX: usize = 20_000;

impl Lane {
    /// What the batch is likely to need and the lane does not hold, up to some ten thousand keys.
    /// Not empty after [`apply`](Lane::apply) was blocked at the batch's first record.
    pub fn missing(&self, batch: &[(Record<'_>, Decoded<'_>)]) -> Missing {
        let mut wanted = Wanted::default();
        for (record, decoded) in batch {
            if record.offset < self.progress.next_offset {
                continue;
            }
            wanted.add_hour(self, record);
            if let Decoded::Event(event) = decoded {
                wanted.add(self, event);
            }
            if wanted.len() >= MISSING_KEYS_MAX {
                break;
            }
        }
        wanted.into_missing()
    }

    /// Admits the whole answer of the store to `missing`. Entries that are held already stay as
    /// they are.
    ///
    /// A record is judged by the facts before it, while the tables of a half-written flush may hold
    /// later ones: so facts of the lane's own source at or beyond its position are left out; the
    /// log brings them again.
    pub fn admit(&mut self, missing: &Missing, loaded: Loaded) {
        let mut fresh_accounts = HashSet::new();
        for id in &missing.accounts {
            if !self.accounts.contains_key(id) {
                let mut account = Account::new(id.clone(), self.seed);
                account.upkeep.used = self.drain;
                self.accounts.insert(id.clone(), account);
                fresh_accounts.insert(id.clone());
            }
        }
        self.admit_account_facts(&fresh_accounts, &loaded);
        self.admit_moves(&fresh_accounts, &loaded.met_by, &loaded.moves_away);
        self.admit_users(&missing.users, &fresh_accounts, &loaded);
        self.admit_counters(&missing.counters, loaded.test_executions, &loaded.quota_usage);
        self.hours.admit(&missing.hours, &loaded.audited_hours, self.drain);
    }

    fn admit_account_facts(&mut self, fresh: &HashSet<Id>, loaded: &Loaded) {
        for ZoneFact { account, time_ms, source, offset, zone } in &loaded.zone_facts {
            if fresh.contains(account)
                && self.is_before_position(source, *offset)
                && let Some(held) = self.accounts.get_mut(account)
            {
                held.set_zone(fact_order(*time_ms, source, *offset), *zone);
            }
        }
        for PlanFact { account, organization, time_ms, source, offset, kind, .. } in
            &loaded.plan_facts
        {
            if kind.anchors()
                && fresh.contains(account)
                && self.is_before_position(source, *offset)
                && let Some(held) = self.accounts.get_mut(account)
            {
                let number = held.organizations.number(&organization.as_ref());
                held.organizations.get(number).anchors.insert(*time_ms);
            }
        }
        for seen in &loaded.organizations {
            let Some(held) = self.accounts.get_mut(&seen.account) else { continue };
            match &seen.organization {
                None => held.seen.restore(),
                Some(organization) => {
                    let number = held.organizations.number(&organization.as_ref());
                    held.organizations.get(number).seen.restore();
                }
            }
        }
        for extent in &loaded.extents {
            if fresh.contains(&extent.account)
                && let Some(held) = self.accounts.get_mut(&extent.account)
            {
                held.has_all_seats = extent.has_all_seats;
                held.counted_until = extent.last_counted.unwrap_or(YearMonth(i32::MIN));
            }
        }
    }

    /// An account that is new to this partition and known to another one has moved here. The move
    /// is recorded with the account's first event, in the rows that are written first, so that no
    /// other row is stored before it. A move that a lane of this partition has recorded before is
    /// not recorded again: rows that were judged by what was stored then may exist.
    ///
    /// An account that has moved away assumed that this partition was further than the lane is:
    /// because of a late progress, or another owner. So the lane corrects it.
    fn admit_moves(&mut self, fresh: &HashSet<Id>, met_by: &[MetBy], moves_away: &[AccountMove]) {
        let own = self.source.name();
        let known: HashSet<&Id> =
            met_by.iter().filter(|met| met.source == own).map(|met| &met.account).collect();
        for account in fresh.iter().filter(|account| !known.contains(account)) {
            let Some(held) = self.accounts.get_mut(account) else { continue };
            let (account, source) = (account.clone(), Arc::clone(&own));
            held.moves.push(AccountMove { account, source, former: None, former_upto: 0 });
        }
        for MetBy { account, source: former, upto } in met_by {
            if fresh.contains(account)
                && !known.contains(account)
                && let Some(held) = self.accounts.get_mut(account)
            {
                let (account, source, former) =
                    (account.clone(), Arc::clone(&own), Some(Arc::clone(former)));
                held.moves.push(AccountMove { account, source, former, former_upto: *upto });
            }
        }
        let next_offset = self.progress.next_offset;
        for left in moves_away.iter().filter(|left| left.former_upto > next_offset) {
            if fresh.contains(&left.account)
                && let Some(held) = self.accounts.get_mut(&left.account)
            {
                held.moves.push(AccountMove { former_upto: next_offset, ..left.clone() });
            }
        }
    }

    fn admit_users(&mut self, asked: &[(Id, Id)], fresh_accounts: &HashSet<Id>, loaded: &Loaded) {
        let mut fresh: HashMap<(Id, Id), User> = HashMap::new();
        for (account, user) in asked {
            if self
                .accounts
                .get(account)
                .is_some_and(|held| held.users.number(&user.as_ref()).is_none())
            {
                fresh.insert((account.clone(), user.clone()), User::new(&user.as_ref(), self.seed));
            }
        }
        for fact in &loaded.seat_facts {
            // The answer for a whole account includes users that were not asked for.
            let is_of_whole = fresh_accounts.contains(&fact.account)
                && self.accounts.get(&fact.account).is_some_and(|held| held.has_all_seats);
            let user = match fresh.entry((fact.account.clone(), fact.user.clone())) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) if is_of_whole => {
                    entry.insert(User::new(&fact.user.as_ref(), self.seed))
                }
                Entry::Vacant(_) => continue,
            };
            if self.is_before_position(&fact.source, fact.offset)
                && let Some(held) = self.accounts.get_mut(&fact.account)
            {
                let organization = held.organizations.number(&fact.organization.as_ref());
                let order = fact_order(fact.time_ms, &fact.source, fact.offset);
                user.seat_in(organization).insert(order, fact.kind);
            }
        }
        for row in &loaded.seat_usage {
            if let Some(user) = fresh.get_mut(&(row.account.clone(), row.user.clone()))
                && let Some(held) = self.accounts.get_mut(&row.account)
            {
                let organization = held.organizations.number(&row.organization.as_ref());
                let activity =
                    Activity { first_ms: row.first_active_ms, last_ms: row.last_active_ms };
                user.seat_in(organization).restore(row.start_ms, activity);
            }
        }
        for ((account, id), mut user) in fresh {
            if let Some(held) = self.accounts.get_mut(&account)
                && held.users.number(&id.as_ref()).is_none()
            {
                user.upkeep.used = self.drain;
                held.users.insert(user);
            }
        }
    }

    fn admit_counters(
        &mut self,
        asked: &[CounterBlock],
        executions: Vec<TestExecutions>,
        quota: &[QuotaUsage],
    ) {
        let mut fresh = HashSet::new();
        for block in asked {
            let Some(held) = self.accounts.get_mut(&block.account) else { continue };
            let number = held.organizations.number(&block.organization.as_ref());
            let blocks = &mut held.organizations.get(number).blocks;
            if !blocks.contains(block.month) {
                blocks.insert(block.month, self.drain);
                fresh.insert(block.clone());
            }
        }
        for row in executions {
            let block = CounterBlock {
                account: row.account,
                organization: row.organization,
                month: row.day.year_month(),
            };
            if fresh.contains(&block) {
                let key = ProjectDay { project: row.project, day: row.day };
                self.with_block(&block, |held| held.executions.restore(key, row.count, row.upto));
            }
        }
        for row in quota {
            let (account, organization) = (row.account.clone(), row.organization.clone());
            let block = CounterBlock { account, organization, month: row.day.year_month() };
            if fresh.contains(&block) {
                let month = QuotaMonthKey { anchor_ms: row.anchor_ms, month: row.month };
                let key = QuotaDay { month, day: row.day };
                self.with_block(&block, |held| held.quota.restore(key, row.tests, row.upto));
            }
        }
    }

    fn with_block(
        &mut self,
        block: &CounterBlock,
        act: impl FnOnce(&mut crate::core::counters::Block),
    ) {
        let Some(account) = self.accounts.get_mut(&block.account) else { return };
        let number = account.organizations.number(&block.organization.as_ref());
        if let Some(held) = account.organizations.get(number).blocks.get(block.month) {
            act(&mut held.block);
        }
    }

    /// True if the fact precedes the next record. Facts of other sources do: they are from before a
    /// repartitioning.
    fn is_before_position(&self, source: &str, offset: u64) -> bool {
        source != self.source.as_str() || offset < self.progress.next_offset
    }
}

/// Keys that a batch needs, without duplicates.
#[derive(Default)]
struct Wanted<'b> {
    accounts: HashSet<&'b IdRef<'b>>,
    users: HashSet<(&'b IdRef<'b>, &'b IdRef<'b>)>,
    counters: HashSet<(&'b IdRef<'b>, &'b IdRef<'b>, YearMonth)>,
    hours: HashSet<RecordHour>,
}

impl<'b> Wanted<'b> {
    fn len(&self) -> usize {
        self.accounts.len() + self.users.len() + self.counters.len() + self.hours.len()
    }

    fn add_hour(&mut self, lane: &Lane, record: &Record<'_>) {
        let hour = RecordHour::of(record.timestamp_ms);
        if !lane.hours.knows(hour) {
            self.hours.insert(hour);
        }
    }

    fn add(&mut self, lane: &Lane, event: &'b Event<'b>) {
        let account = lane.accounts.get(&event.account);
        if account.is_none() {
            self.accounts.insert(&event.account);
        }
        if let Some(user) = event.user()
            && !account.is_some_and(|held| held.knows_user(user))
        {
            self.users.insert((&event.account, user));
        }
        let EventKind::TestExecuted(test) = &event.kind else { return };
        let organization = account.and_then(|held| held.organizations.find(&test.organization));
        for month in months_near(account, event.time_ms) {
            if !account.is_some_and(|held| held.knows_block(organization, month)) {
                self.counters.insert((&event.account, &test.organization, month));
            }
        }
    }

    fn into_missing(self) -> Missing {
        let counter_block =
            |(account, organization, month): (&IdRef<'_>, &IdRef<'_>, YearMonth)| CounterBlock {
                account: account.to_id(),
                organization: organization.to_id(),
                month,
            };
        Missing {
            accounts: self.accounts.into_iter().map(IdRef::to_id).collect(),
            users: self
                .users
                .into_iter()
                .map(|(account, user)| (account.to_id(), user.to_id()))
                .collect(),
            counters: self.counters.into_iter().map(counter_block).collect(),
            hours: self.hours.into_iter().collect(),
        }
    }
}

/// The calendar months that the instant's day may lie in: one where the account's zone is known,
/// else those that any zone would put it in.
fn months_near(account: Option<&Account>, time_ms: i64) -> impl Iterator<Item = YearMonth> {
    let utc_month = |time_ms| day_of(Zone::UTC, time_ms).year_month();
    let (earliest, latest) = match account {
        Some(held) => (day_of(held.zone(), time_ms).year_month(), None),
        None => {
            (utc_month(time_ms - ZONE_OFFSET_MS_MAX), Some(utc_month(time_ms + ZONE_OFFSET_MS_MAX)))
        }
    };
    std::iter::once(earliest).chain(latest.filter(move |&month| month != earliest))
}
