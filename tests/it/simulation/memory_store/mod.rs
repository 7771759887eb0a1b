//! The tables in memory, merged as ClickHouse merges them: union, `max`, `min`, and rows that
//! replace their equals. Nothing is ever removed.

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use roaring::RoaringTreemap;
use seatmeter::core::audit::{AuditedHour, HourCounts, RecordHour};
use seatmeter::core::calendar::{Day, Zone};
use seatmeter::core::event::PlanKind;
use seatmeter::core::id::Id;
use seatmeter::core::rollup::{
    AccountMove, AccountProgress, ActiveUsers, DirectoryEntry, Entity, ExecutionCount, Field,
    LaneRows, LicenseFact, OrganizationSeen, PlanFact, Progress, QuotaUsage, RejectedRecord,
    SeatFact, SeatFactKind, SeatInterval, SeatOpened, Source, TestExecutions, ZoneFact,
};
use seatmeter::core::takeover::{Claim, Claims};
use seatmeter::core::topics::Topic;

use super::accounts::Accounts;
use super::naive_calendar::{from_days, text};
use super::releases::Release;
use super::seat_interval::Interval;
use super::view::{View, or_none};

/// A row of any table, with the source if the row's type leaves it to the drain.
#[derive(Clone, Debug)]
pub(super) enum Row {
    ActiveUsers(ActiveUsers),
    Executions(Source, TestExecutions),
    Quota(Source, QuotaUsage),
    SeatFact(SeatFact),
    SeatInterval(SeatInterval),
    License(LicenseFact),
    Plan(PlanFact),
    Zone(ZoneFact),
    Directory(DirectoryEntry),
    Organization(OrganizationSeen),
    Rejected(Source, RejectedRecord),
    Hour(Source, AuditedHour),
    AccountMove(AccountMove),
    /// With the account, the day and `upto`.
    ActiveDay(Source, Id, Day, u64),
    AccountProgress(Source, AccountProgress),
    Progress(Source, Progress),
    Claim(Source, Release, Claim),
}

/// The rows of one INSERT, all of one table.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) rows: Vec<Row>,
    /// How far the lanes had counted that yielded them.
    pub(super) upto: Vec<(Source, u64)>,
}

fn upto_of(drains: &[LaneRows]) -> Vec<(Source, u64)> {
    drains.iter().map(|drain| (drain.source.clone(), drain.progress.next_offset)).collect()
}

/// The INSERTs of these drains but for the first and the last: one per table that has rows.
pub(super) fn statements(drains: &[LaneRows]) -> Vec<Statement> {
    let mut tables: [Vec<Row>; 12] = Default::default();
    for drain in drains {
        let source = || drain.source.clone();
        tables[0].extend(drain.active_users.iter().cloned().map(Row::ActiveUsers));
        tables[1].extend(
            drain.test_executions.iter().cloned().map(|row| Row::Executions(source(), row)),
        );
        tables[2].extend(drain.quota_usage.iter().cloned().map(|row| Row::Quota(source(), row)));
        tables[3].extend(drain.seat_facts.iter().cloned().map(Row::SeatFact));
        tables[4].extend(drain.seat_intervals.iter().cloned().map(Row::SeatInterval));
        tables[5].extend(drain.license_facts.iter().cloned().map(Row::License));
        tables[6].extend(drain.plan_facts.iter().cloned().map(Row::Plan));
        tables[7].extend(drain.zone_facts.iter().cloned().map(Row::Zone));
        tables[8].extend(drain.directory.iter().cloned().map(Row::Directory));
        tables[9].extend(drain.organizations.iter().cloned().map(Row::Organization));
        tables[10].extend(drain.rejected.iter().cloned().map(|row| Row::Rejected(source(), row)));
        tables[11].extend(drain.audited_hours.iter().map(|row| Row::Hour(source(), *row)));
    }
    let statement = |rows| Statement { rows, upto: upto_of(drains) };
    tables.into_iter().filter(|rows| !rows.is_empty()).map(statement).collect()
}

impl Row {
    /// A hash of the row, independent of its position: a lane may yield rows in any order.
    pub(super) fn lot(&self, salt: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (salt, format!("{self:?}")).hash(&mut hasher);
        hasher.finish()
    }
}

type Name = Arc<str>;
type FactKey = (Id, Option<Id>, i64, Name, u64);
type SeatKey = (Id, Id, Id);
type ExecutionsKey = (Id, Id, Option<Id>, Day, Source);
type QuotaKey = (Id, Id, i64, u32, Day, Source);
type DirectoryKey = (Id, String, &'static str);
/// With its `upto`.
type Counter<V> = (V, u64);
/// The first offset of an hour, its `upto` and its counts.
type Hour = (u64, (u64, HourCounts));

/// The tables.
#[derive(Clone, Default)]
pub(super) struct MemoryStore {
    /// Counters are added up rather than merged by `max`, for a mutant.
    adds_counters: bool,
    /// The columns of an hour are merged one by one rather than together, for a mutant.
    splits_hours: bool,
    active_users: BTreeMap<(Id, Option<Id>, Day), RoaringTreemap>,
    executions: BTreeMap<ExecutionsKey, Counter<ExecutionCount>>,
    quota: BTreeMap<QuotaKey, Counter<u64>>,
    seat_facts: BTreeMap<(SeatKey, i64, SeatFactKind, Name, u64), SeatFact>,
    seat_intervals: BTreeMap<(SeatKey, i64), Interval>,
    licenses: BTreeMap<FactKey, u64>,
    plans: BTreeMap<FactKey, (PlanKind, Id, Option<u64>)>,
    zones: BTreeMap<FactKey, Zone>,
    directory: BTreeMap<DirectoryKey, (i64, Name, u64, String)>,
    organizations: BTreeSet<(Id, Option<Id>)>,
    rejected: BTreeMap<(Source, u64), RejectedRecord>,
    hours: BTreeMap<(Source, RecordHour), Hour>,
    pub(super) accounts: Accounts,
    progress: BTreeMap<Source, Progress>,
    claims: BTreeMap<Source, Claims>,
}

/// Replaces a row by an equal one; with different rows the result would be undefined.
fn replace<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &mut BTreeMap<K, V>,
    key: K,
    value: V,
) {
    let Some(known) = table.get(&key) else {
        table.insert(key, value);
        return;
    };
    assert!(*known == value, "the rows of {key:?} differ: {known:?} and {value:?}");
}

impl MemoryStore {
    /// Empty tables.
    pub(super) fn new(adds_counters: bool, splits_hours: bool) -> Self {
        Self { adds_counters, splits_hours, ..Self::default() }
    }

    /// An INSERT of which every row arrives.
    pub(super) fn write(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            self.write_row(row);
        }
    }

    fn write_row(&mut self, row: Row) {
        match row {
            Row::ActiveUsers(row) => {
                self.active_users
                    .entry((row.account, row.organization, row.day))
                    .or_default()
                    .extend(row.users);
            }
            Row::Executions(source, row) => self.write_executions(source, row),
            Row::Quota(source, row) => self.write_quota(source, row),
            Row::SeatFact(row) => {
                let seat = (row.account.clone(), row.organization.clone(), row.user.clone());
                replace(
                    &mut self.seat_facts,
                    (seat, row.time_ms, row.kind, row.source.clone(), row.offset),
                    row,
                );
            }
            Row::SeatInterval(row) => {
                let key = (
                    (row.account.clone(), row.organization.clone(), row.user.clone()),
                    row.start_ms,
                );
                self.seat_intervals.entry(key).or_default().merge(row);
            }
            Row::License(row) => {
                let key = (row.account, row.organization, row.time_ms, row.source, row.offset);
                replace(&mut self.licenses, key, row.seats);
            }
            Row::Plan(row) => {
                let key =
                    (row.account, Some(row.organization), row.time_ms, row.source, row.offset);
                replace(&mut self.plans, key, (row.kind, row.plan, row.monthly_quota));
            }
            Row::Zone(row) => {
                replace(
                    &mut self.zones,
                    (row.account, None, row.time_ms, row.source, row.offset),
                    row.zone,
                );
            }
            Row::Directory(row) => self.write_directory(row),
            Row::Organization(row) => {
                self.organizations.insert((row.account, row.organization));
            }
            Row::Rejected(source, row) => replace(&mut self.rejected, (source, row.offset), row),
            Row::Hour(source, row) => self.write_hour(source, row),
            Row::Claim(source, release, claim) => {
                let known = self.claims.entry(source).or_default();
                let known = known.entry(release.name().into()).or_default();
                *known = claim.max(*known);
            }
            Row::ActiveDay(source, account, day, upto) => {
                self.accounts.write_day((account, day, source), upto);
            }
            Row::AccountMove(row) => self.accounts.write_move(row),
            Row::AccountProgress(source, row) => self.accounts.write_progress(source, row),
            Row::Progress(source, row) => {
                let known = self.progress.entry(source).or_insert(row);
                known.first_offset = known.first_offset.min(row.first_offset);
                known.next_offset = known.next_offset.max(row.next_offset);
                known.accepted = known.accepted.max(row.accepted);
                known.rejected = known.rejected.max(row.rejected);
                known.duplicates = known.duplicates.max(row.duplicates);
                known.skipped = known.skipped.max(row.skipped);
                known.absent = known.absent.max(row.absent);
            }
        }
    }

    fn write_executions(&mut self, source: Source, row: TestExecutions) {
        let key = (row.account, row.organization, row.project, row.day, source);
        let (known, upto) = self.executions.entry(key).or_default();
        *upto = row.upto.max(*upto);
        if self.adds_counters {
            *known += row.count;
            return;
        }
        known.run = known.run.max(row.count.run);
        known.uploaded = known.uploaded.max(row.count.uploaded);
        known.duration_ms = known.duration_ms.max(row.count.duration_ms);
    }

    fn write_quota(&mut self, source: Source, row: QuotaUsage) {
        let key = (row.account, row.organization, row.anchor_ms, row.month, row.day, source);
        let (known, upto) = self.quota.entry(key).or_default();
        *upto = row.upto.max(*upto);
        *known = if self.adds_counters { *known + row.tests } else { row.tests.max(*known) };
    }

    fn write_hour(&mut self, source: Source, row: AuditedHour) {
        let new = (row.upto, row.counts);
        let hour = self.hours.entry((source, row.hour)).or_insert((row.first_offset, new));
        hour.0 = hour.0.min(row.first_offset);
        let checksum = hour.1.1.checksum.max(row.counts.checksum);
        hour.1 = hour.1.max(new);
        if self.splits_hours {
            hour.1.1.checksum = checksum;
        }
    }

    fn write_directory(&mut self, row: DirectoryEntry) {
        let entity = match row.entity {
            Entity::Account => "account".to_owned(),
            Entity::Organization(id) => format!("organization {id}"),
            Entity::User(id) => format!("user {id}"),
            Entity::Project { organization, project } => {
                format!("project {organization}/{project}")
            }
        };
        let field = match row.field {
            Field::Name => "name",
            Field::Email => "email",
            Field::Parent => "parent",
        };
        let value = (row.time_ms, row.source, row.offset, row.value);
        let known =
            self.directory.entry((row.account, entity, field)).or_insert_with(|| value.clone());
        if value > *known {
            *known = value;
        }
    }

    /// The progress that is recorded of a source.
    pub(super) fn progress(&self, source: &Source) -> Option<Progress> {
        self.progress.get(source).copied()
    }

    /// The claims of zone data that are recorded of a source.
    pub(super) fn claims(&self, source: &Source) -> Claims {
        self.claims.get(source).cloned().unwrap_or_default()
    }

    /// Accounts that more than one partition has counted without a stop between.
    pub(super) fn split_accounts(&self) -> BTreeSet<String> {
        self.accounts.split()
    }

    /// The latest time among the rows of a topic; of rows that hold a day, a time before which that
    /// day cannot begin.
    pub(super) fn latest_ms(&self, account: &str, topic: Topic) -> i64 {
        let of = |id: &Id| id.to_string() == account;
        let day_ms = |day: &Day| i64::from(day.0) * 24 * 3_600_000 - 15 * 3_600_000;
        let facts =
            |keys: Vec<&FactKey>| keys.into_iter().filter(|key| of(&key.0)).map(|key| key.2).max();
        let used = self
            .seat_intervals
            .iter()
            .filter(|(((id, ..), _), _)| of(id))
            .map(|(_, interval)| interval);
        let latest_ms = match topic {
            Topic::Directory => {
                let stated = self
                    .directory
                    .iter()
                    .filter(|((id, ..), _)| of(id))
                    .map(|(_, row)| row.0)
                    .max();
                facts(self.zones.keys().collect()).max(stated)
            }
            Topic::Seats => {
                let held = self
                    .seat_facts
                    .values()
                    .filter(|row| of(&row.account))
                    .map(|row| row.time_ms)
                    .max();
                facts(self.licenses.keys().collect())
                    .max(held)
                    .max(used.filter_map(|interval| interval.first_active_ms).max())
            }
            Topic::Uses => used.filter_map(|interval| interval.last_active_ms).max(),
            Topic::Activity => {
                self.active_users.keys().filter(|key| of(&key.0)).map(|key| day_ms(&key.2)).max()
            }
            Topic::Tests => {
                let executed =
                    self.executions.keys().filter(|key| of(&key.0)).map(|key| day_ms(&key.3)).max();
                facts(self.plans.keys().collect()).max(executed)
            }
        };
        latest_ms.unwrap_or_default()
    }

    /// The result of a reader.
    pub(super) fn view(&self) -> View {
        let mut view = View::default();
        for ((account, organization, day), users) in &self.active_users {
            let users: BTreeSet<u64> = users.iter().collect();
            let organization = organization.as_ref().map_or_else(String::new, Id::to_string);
            view.insert(
                format!("active_users {account}/{organization} {}", from_days(day.0)),
                format!("{users:?}"),
            );
        }
        for ((account, organization, project, day, source), (count, _)) in &self.executions {
            let project = project.as_ref().map_or_else(String::new, Id::to_string);
            let key = format!(
                "executions {account}/{organization}/{project} by {source} {}",
                from_days(day.0)
            );
            let ExecutionCount { run, uploaded, duration_ms } = count;
            view.insert(key, format!("{run} run, {uploaded} uploaded, {duration_ms} ms"));
        }
        self.view_quota(&mut view);
        self.view_facts(&mut view);
        for (account, organization) in &self.organizations {
            let organization = organization.as_ref().map_or_else(String::new, Id::to_string);
            view.insert(format!("named {account}/{organization}"), String::new());
        }
        for ((account, entity, field), (time_ms, source, offset, value)) in &self.directory {
            let value = format!("{value:?} since {} {source} {offset}", text(*time_ms));
            view.insert(format!("directory {account} {entity} {field}"), value);
        }
        for ((source, offset), row) in &self.rejected {
            let payload = String::from_utf8_lossy(&row.payload);
            assert_eq!(row.payload_bytes, row.payload.len() as u64, "simulated payloads are short");
            let key = row.key.as_ref().map(|key| String::from_utf8_lossy(key));
            let (reason, stamp) = (row.reject.reason.as_str(), or_none(row.timestamp_ms.as_ref()));
            // The contract has a path only for these two.
            let path = if reason.ends_with("_field") { row.reject.path } else { "" };
            let value = format!("{reason} {path} stamped {stamp}, key {key:?}, {payload}");
            view.insert(format!("rejected {source} {offset}"), value);
        }
        for ((seat, start_ms), interval) in &self.seat_intervals {
            Self::view_seat(&mut view, seat, *start_ms, interval);
        }
        for ((source, hour), (first_offset, (_, counts))) in &self.hours {
            let key = format!("audit {source} {}", text(hour.start_ms()));
            view.insert(key, format!("from {first_offset} on: {counts:?}"));
        }
        view
    }

    /// A reader adds up what the sources have counted.
    fn view_quota(&self, view: &mut View) {
        let mut used: BTreeMap<_, u64> = BTreeMap::new();
        for ((account, organization, anchor_ms, month, day, _), (tests, _)) in &self.quota {
            *used.entry((account, organization, anchor_ms, month, day)).or_default() += tests;
        }
        for ((account, organization, anchor_ms, month, day), tests) in used {
            let (start, day) = (text(*anchor_ms), from_days(day.0));
            view.insert(
                format!("quota {account}/{organization} month {month} from {start} {day}"),
                tests.to_string(),
            );
        }
    }

    fn view_facts(&self, view: &mut View) {
        for ((account, organization, time_ms, source, offset), seats) in &self.licenses {
            let organization = organization.as_ref().map_or_else(String::new, Id::to_string);
            let key =
                format!("license {account}/{organization} {} {source} {offset}", text(*time_ms));
            view.insert(key, seats.to_string());
        }
        for ((account, organization, time_ms, source, offset), (kind, plan, monthly_quota)) in
            &self.plans
        {
            let organization = organization.as_ref().map_or_else(String::new, Id::to_string);
            let key = format!("plan {account}/{organization} {} {source} {offset}", text(*time_ms));
            view.insert(
                key,
                format!("{} {plan} {}", kind.as_str(), or_none(monthly_quota.as_ref())),
            );
        }
        for ((account, _, time_ms, source, offset), zone) in &self.zones {
            view.insert(
                format!("zone {account} {} {source} {offset}", text(*time_ms)),
                zone.to_string(),
            );
        }
    }

    fn view_seat(view: &mut View, seat: &SeatKey, start_ms: i64, interval: &Interval) {
        let (account, organization, user) = seat;
        let Interval { opened, end_ms, is_superseded, first_active_ms, last_active_ms } = interval;
        let usage = first_active_ms.zip(*last_active_ms);
        let usage = usage.filter(|(first_ms, _)| end_ms.is_none_or(|end_ms| *first_ms < end_ms));
        let used = usage.map_or_else(
            || "never used".to_owned(),
            |(first_ms, last_ms)| {
                let last_ms = end_ms.map_or(last_ms, |end_ms| last_ms.min(end_ms));
                format!("used from {} to {}", text(first_ms), text(last_ms))
            },
        );
        let end = end_ms.map_or_else(|| "open".to_owned(), text);
        let latest = if *is_superseded { "followed by another" } else { "the latest" };
        let by = opened.as_ref().map_or_else(
            || "by nothing".to_owned(),
            |SeatOpened { source, offset, project, license_source }| {
                format!(
                    "project {}, source {license_source}, by {source} {offset}",
                    or_none(project.as_ref())
                )
            },
        );
        let key = format!("seat {account}/{organization}/{user} from {}", text(start_ms));
        view.insert(key, format!("to {end}, {by}, {used}, {latest}"));
    }
}

/// Number of queries of an answer.
pub(super) const LOAD_QUERIES: usize = 10;
