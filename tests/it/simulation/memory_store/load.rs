//! Loads from the tables in memory, query by query.

use std::sync::Arc;

use seatmeter::core::audit::AuditedHour;
use seatmeter::core::calendar::{Day, YearMonth};
use seatmeter::core::id::Id;
use seatmeter::core::load::{AccountExtent, Loaded, MetBy, Missing};
use seatmeter::core::rollup::{
    OrganizationSeen, PlanFact, QuotaUsage, SeatUsage, Source, TestExecutions, ZoneFact,
};

use super::MemoryStore;
use crate::simulation::naive_calendar::{calendar_month, from_days};

/// Accounts with more seat facts than this are not loaded as a whole: a low number, so that both
/// cases occur.
const WHOLE_ACCOUNT_FACTS_MAX: usize = 3;

impl MemoryStore {
    /// The part of an answer that comes from the first `queries` tables; each is a separate query,
    /// and what is written between two of them is seen only by the later one.
    pub(in crate::simulation) fn load_table(
        &self,
        query: usize,
        source: &Source,
        missing: &Missing,
        loaded: &mut Loaded,
    ) {
        match query {
            0 => self.load_moves(source, missing, loaded),
            1 => self.load_extents(source, missing, loaded),
            2 => self.load_zones(missing, loaded),
            3 => self.load_plans(missing, loaded),
            4 => self.load_organizations(missing, loaded),
            5 => self.load_seat_facts(missing, loaded),
            6 => self.load_seat_usage(missing, loaded),
            7 => self.load_executions(source, missing, loaded),
            8 => self.load_quota(source, missing, loaded),
            _ => self.load_hours(source, missing, loaded),
        }
    }

    fn load_moves(&self, source: &Source, missing: &Missing, loaded: &mut Loaded) {
        let moves_away = self
            .accounts
            .moves_away(source)
            .filter(|left| missing.accounts.contains(&left.account));
        loaded.moves_away.extend(moves_away);
        let met = self.accounts.met().filter(|(account, _)| missing.accounts.contains(account));
        loaded.met_by.extend(met.map(|(account, by)| {
            MetBy {
                account: account.clone(),
                source: Arc::clone(by),
                upto: self
                    .progress
                    .iter()
                    .find(|(source, _)| source.name() == *by)
                    .map_or(0, |(_, progress)| progress.next_offset),
            }
        }));
    }

    fn load_extents(&self, source: &Source, missing: &Missing, loaded: &mut Loaded) {
        for account in &missing.accounts {
            let facts = self.seat_facts.values().filter(|row| row.account == *account).count();
            loaded.extents.push(AccountExtent {
                account: account.clone(),
                has_all_seats: facts <= WHOLE_ACCOUNT_FACTS_MAX,
                last_counted: self.last_counted(source, account),
            });
        }
    }

    fn load_zones(&self, missing: &Missing, loaded: &mut Loaded) {
        let zones =
            self.zones.iter().filter(|((account, ..), _)| missing.accounts.contains(account));
        loaded.zone_facts.extend(zones.map(|(key, zone)| {
            let (account, _, time_ms, source, offset) = key.clone();
            ZoneFact { account, time_ms, source, offset, zone: *zone }
        }));
    }

    fn load_plans(&self, missing: &Missing, loaded: &mut Loaded) {
        let plans =
            self.plans.iter().filter(|((account, ..), _)| missing.accounts.contains(account));
        loaded.plan_facts.extend(plans.map(|(key, row)| {
            let (account, organization, time_ms, source, offset) = key.clone();
            let organization = organization.expect("plans belong to organizations");
            let (kind, plan, monthly_quota) = row.clone();
            PlanFact { account, organization, time_ms, source, offset, kind, plan, monthly_quota }
        }));
    }

    fn load_organizations(&self, missing: &Missing, loaded: &mut Loaded) {
        let seen =
            self.organizations.iter().filter(|(account, _)| missing.accounts.contains(account));
        loaded.organizations.extend(seen.map(|(account, organization)| OrganizationSeen {
            account: account.clone(),
            organization: organization.clone(),
        }));
    }

    fn load_seat_facts(&self, missing: &Missing, loaded: &mut Loaded) {
        let rows = self
            .seat_facts
            .values()
            .filter(|row| names_seats(missing, loaded, &row.account, &row.user));
        let rows: Vec<_> = rows.cloned().collect();
        loaded.seat_facts.extend(rows);
    }

    fn load_seat_usage(&self, missing: &Missing, loaded: &mut Loaded) {
        let rows = self
            .seat_intervals
            .iter()
            .filter(|(((account, _, user), _), _)| names_seats(missing, loaded, account, user));
        let rows = rows.filter_map(|(key, interval)| {
            let ((account, organization, user), start_ms) = key.clone();
            let (first_active_ms, last_active_ms) =
                (interval.first_active_ms?, interval.last_active_ms?);
            Some(SeatUsage {
                account,
                organization,
                user,
                start_ms,
                first_active_ms,
                last_active_ms,
            })
        });
        let rows: Vec<_> = rows.collect();
        loaded.seat_usage.extend(rows);
    }

    fn load_executions(&self, source: &Source, missing: &Missing, loaded: &mut Loaded) {
        for ((account, organization, project, day, by), (count, upto)) in &self.executions {
            if by == source && names_counter(missing, account, organization, *day) {
                loaded.test_executions.push(TestExecutions {
                    account: account.clone(),
                    organization: organization.clone(),
                    project: project.clone(),
                    day: *day,
                    count: *count,
                    upto: *upto,
                });
            }
        }
    }

    fn load_quota(&self, source: &Source, missing: &Missing, loaded: &mut Loaded) {
        for ((account, organization, anchor_ms, month, day, by), (tests, upto)) in &self.quota {
            if by == source && names_counter(missing, account, organization, *day) {
                loaded.quota_usage.push(QuotaUsage {
                    account: account.clone(),
                    organization: organization.clone(),
                    anchor_ms: *anchor_ms,
                    month: *month,
                    day: *day,
                    tests: *tests,
                    upto: *upto,
                });
            }
        }
    }

    /// The hours that are asked for, and the last one of the source.
    fn load_hours(&self, source: &Source, missing: &Missing, loaded: &mut Loaded) {
        let of_source = self.hours.iter().filter(|((by, _), _)| by == source);
        let last = of_source.clone().map(|((_, hour), _)| *hour).max();
        let is_wanted = |hour| {
            missing.hours.contains(&hour) || (!missing.hours.is_empty() && last == Some(hour))
        };
        let rows = of_source.filter(|((_, hour), _)| is_wanted(*hour));
        loaded.audited_hours.extend(rows.map(|((_, hour), (first_offset, (upto, counts)))| {
            let (first_offset, upto) = (*first_offset, *upto);
            AuditedHour { hour: *hour, first_offset, counts: *counts, upto }
        }));
    }

    /// The latest month of any counter of the source.
    fn last_counted(&self, source: &Source, account: &Id) -> Option<YearMonth> {
        let executions = self.executions.keys().map(|(of, _, _, day, by)| (of, *day, by));
        let quota = self.quota.keys().map(|(of, _, _, _, day, by)| (of, *day, by));
        let of_account =
            executions.chain(quota).filter(|(of, _, by)| *of == account && *by == source);
        of_account.map(|(_, day, _)| YearMonth(calendar_month(from_days(day.0)))).max()
    }
}

/// True if the answer is to hold the seats of this user.
fn names_seats(missing: &Missing, loaded: &Loaded, account: &Id, user: &Id) -> bool {
    let is_whole =
        loaded.extents.iter().any(|known| known.account == *account && known.has_all_seats);
    is_whole || missing.users.iter().any(|(a, u)| a == account && u == user)
}

fn names_counter(missing: &Missing, account: &Id, organization: &Id, day: Day) -> bool {
    let month = calendar_month(from_days(day.0));
    missing.counters.iter().any(|block| {
        block.account == *account && block.organization == *organization && block.month.0 == month
    })
}
