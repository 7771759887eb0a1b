//! The naive fold: the contract's sections 1 and 2 applied to a log by walking it once, in order,
//! and scanning everything before for each lookup. It shares no code with the core.

mod hours;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::ops::AddAssign;

use chrono::NaiveDate;
use seatmeter::core::calendar::Zone;
use seatmeter::core::rollup::Progress;
use siphasher::sip::SipHasher24;

use self::hours::Hour;
use super::log::{Kind, Log, LogRecord, Meaning, PartitionLog, SimEvent, Test};
use super::naive_calendar::{day_of, month_of, text};
use super::releases::Release;
use super::view::{View, or_none};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Position of a fact among those of its kind: (time, source, offset).
pub(super) type Order = (i64, String, u64);

#[derive(Clone, Debug)]
struct SeatFact {
    order: Order,
    /// How many events the walk met before.
    sequence: usize,
    is_assigned: bool,
    project: Option<String>,
    license_source: Option<String>,
}

/// A seat: account, organization, user.
type Seat = (String, String, String);

/// An activity of a user.
struct Activity {
    time_ms: i64,
    /// How many events the walk met before.
    sequence: usize,
    /// The starts of the intervals that it fell into, as known at that time, by organization.
    starts_ms: Vec<(String, i64)>,
}

#[derive(Default)]
struct Executions {
    run: u64,
    uploaded: u64,
    duration_ms: u64,
}

/// Outcome of a record.
#[derive(Clone, Copy)]
enum Outcome {
    Accepted,
    Rejected,
    Duplicate,
    Skipped,
}

/// State after the log so far.
#[derive(Default)]
pub(super) struct Fold {
    seed: (u64, u64),
    zones: BTreeMap<String, Vec<(Order, Zone)>>,
    /// The zone that applies to the next records.
    release: Release,
    /// By account and organization.
    anchors: BTreeMap<(String, String), Vec<i64>>,
    seats: BTreeMap<Seat, Vec<SeatFact>>,
    /// Users, by account.
    activities: BTreeMap<(String, String), Vec<Activity>>,
    active_users: BTreeMap<(String, String, NaiveDate), BTreeSet<u64>>,
    executions: BTreeMap<(String, String, String, NaiveDate), Executions>,
    quota: BTreeMap<(String, String, i64, u32, NaiveDate), u64>,
    organizations: BTreeSet<(String, String)>,
    /// By account, entity and field.
    directory: BTreeMap<(String, String, &'static str), (Order, String)>,
    /// How many events the walk has met.
    sequence: usize,
    /// Rows that no other record can change.
    rows: View,
    /// By source and hour of record time.
    hours: BTreeMap<(String, String), Hour>,
    /// Per partition, for each record that was not lost.
    outcomes: Vec<Vec<(u64, Outcome)>>,
    /// Events that count, by account and index of the partition, in their order: the phase and the
    /// record's timestamp.
    counted: BTreeMap<String, BTreeMap<usize, Vec<Counted>>>,
}

/// Phase and timestamp of a record whose event counts.
type Counted = (usize, Option<i64>);

/// A user's 64-bit key in bitmaps, by the two halves of the deployment's seed.
fn user_key(user: &str, (k0, k1): (u64, u64)) -> u64 {
    match user.parse::<i64>() {
        Ok(number) if number.to_string() == user && number >= 0 => number.unsigned_abs(),
        _ => {
            let mut hasher = SipHasher24::new_with_keys(k0, k1);
            hasher.write(user.as_bytes());
            hasher.finish() | 1 << 63
        }
    }
}

/// The intervals of a seat: each assignment with its end.
fn intervals(facts: &[SeatFact]) -> Vec<(SeatFact, Option<i64>)> {
    let mut facts = facts.to_vec();
    facts.sort_by(|a, b| a.order.cmp(&b.order));
    let mut intervals = Vec::new();
    for (index, fact) in facts.iter().enumerate() {
        if fact.is_assigned {
            intervals.push((fact.clone(), facts.get(index + 1).map(|next| next.order.0)));
        }
    }
    intervals
}

fn lies_in(time_ms: i64, start_ms: i64, end_ms: Option<i64>) -> bool {
    start_ms <= time_ms && end_ms.is_none_or(|end_ms| time_ms < end_ms)
}

/// Account, source and id of a test.
fn test_of(record: &LogRecord) -> Option<(&str, &str, &str)> {
    match &record.meaning {
        Meaning::Event(SimEvent { account, id, kind: Kind::Test(test), .. }) => {
            Some((account, &test.event_source, id))
        }
        _ => None,
    }
}

/// True if `later` is a duplicate because of `earlier`, which precedes it in the partition.
pub(super) fn makes_duplicate(earlier: &LogRecord, later: &LogRecord) -> bool {
    let is_same = test_of(earlier).is_some_and(|test| test_of(later) == Some(test));
    let is_near = match (earlier.timestamp_ms, later.timestamp_ms) {
        (Some(earlier_ms), Some(later_ms)) => later_ms - earlier_ms <= DAY_MS,
        // The contract covers stamped records; one without a stamp is treated as near in time to
        // any other.
        _ => true,
    };
    is_same && later.offset - earlier.offset <= 1_000_000 && is_near
}

/// Folds the log. Records that are `lost`, by index of the partition and offset, were deleted
/// before they were read. The keys of users are made with `seed`. `told` says of each partition
/// from which offset on which release of the zone data was the last to begin.
pub(super) fn fold(
    log: &Log,
    lost: &BTreeSet<(usize, u64)>,
    told: &[Vec<(u64, Release)>],
    seed: (u64, u64),
) -> Fold {
    let mut fold = Fold {
        seed,
        outcomes: log.partitions.iter().map(|_| Vec::new()).collect(),
        ..Fold::default()
    };
    for phase in 0..log.phases {
        for (index, partition) in log.partitions.iter().enumerate() {
            let start = if phase == 0 { 0 } else { partition.phase_ends[phase - 1].records };
            for at in start..partition.phase_ends[phase].records {
                if !lost.contains(&(index, partition.records[at].offset)) {
                    let offset = partition.records[at].offset;
                    let release = told[index].iter().rfind(|(from, _)| *from <= offset);
                    fold.release = release.map_or(Release::Earlier, |(_, release)| *release);
                    let outcome = fold.record(log, index, at, lost);
                    if let (Outcome::Accepted, Meaning::Event(event)) =
                        (&outcome, &partition.records[at].meaning)
                    {
                        let of_account = fold.counted.entry(event.account.clone()).or_default();
                        of_account
                            .entry(index)
                            .or_default()
                            .push((phase, partition.records[at].timestamp_ms));
                    }
                    fold.audit(&source_name(partition), &partition.records[at], outcome);
                    fold.outcomes[index].push((partition.records[at].offset, outcome));
                }
            }
        }
    }
    fold
}

/// The source's name, as the simulation names it.
pub(super) fn source_name(partition: &PartitionLog) -> String {
    format!("usage-events/Kx9_/{}", partition.partition)
}

impl Fold {
    /// Accounts with events in more than one partition.
    pub(super) fn moved_accounts(&self) -> BTreeSet<String> {
        self.counted
            .iter()
            .filter(|(_, partitions)| partitions.len() > 1)
            .map(|(account, _)| account.clone())
            .collect()
    }

    /// The split accounts whose order is lost although all was counted before each phase: they came
    /// back to a former partition, or the timestamps say that one partition's events were not sent
    /// before the other's.
    pub(super) fn split_accounts(&self) -> BTreeSet<String> {
        let is_former = |one: &[(usize, Option<i64>)], other: &[(usize, Option<i64>)]| {
            let (last, first) = (one[one.len() - 1], other[0]);
            last.0 < first.0
                && last.1.is_none_or(|last_ms| first.1.is_none_or(|first_ms| last_ms < first_ms))
        };
        let is_split = |partitions: &BTreeMap<usize, Vec<(usize, Option<i64>)>>| {
            let events: Vec<_> = partitions.values().collect();
            let mut pairs = events
                .iter()
                .enumerate()
                .flat_map(|(at, one)| events[..at].iter().map(move |other| (one, other)));
            pairs.any(|(one, other)| !is_former(one, other) && !is_former(other, one))
        };
        let split = self.counted.iter().filter(|(_, partitions)| is_split(partitions));
        split.map(|(account, _)| account.clone()).collect()
    }

    fn record(
        &mut self,
        log: &Log,
        index: usize,
        at: usize,
        lost: &BTreeSet<(usize, u64)>,
    ) -> Outcome {
        let partition = &log.partitions[index];
        let (source, record) = (source_name(partition), &partition.records[at]);
        match &record.meaning {
            Meaning::Tombstone => Outcome::Skipped,
            Meaning::Rejected(reason, path) => {
                let payload = String::from_utf8_lossy(
                    record.payload.as_ref().expect("only a tombstone has none"),
                );
                let key = record.key.as_ref().map(|key| String::from_utf8_lossy(key));
                let stamp = or_none(record.timestamp_ms.as_ref());
                let value = format!(
                    "{reason} {} stamped {stamp}, key {key:?}, {payload}",
                    path.unwrap_or_default()
                );
                self.rows.insert(format!("rejected {source} {}", record.offset), value);
                Outcome::Rejected
            }
            Meaning::Event(event) => {
                let is_lost = |earlier: &LogRecord| lost.contains(&(index, earlier.offset));
                let mut before = partition.records[..at].iter();
                if before.any(|earlier| !is_lost(earlier) && makes_duplicate(earlier, record)) {
                    return Outcome::Duplicate;
                }
                self.event(event, &source, record.offset);
                Outcome::Accepted
            }
        }
    }

    fn event(&mut self, event: &SimEvent, source: &str, offset: u64) {
        let SimEvent { id: _, time_ms, account, kind } = event;
        let order: Order = (*time_ms, source.to_owned(), offset);
        let place = format!("{} {source} {offset}", text(*time_ms));
        self.sequence += 1;
        self.organizations.insert((account.clone(), String::new()));
        match kind {
            Kind::Activity { organization, user } => {
                self.activity(account, organization.as_ref(), user, *time_ms)
            }
            Kind::Test(test) => self.test(account, test, *time_ms, source),
            Kind::Purchased { seats } => {
                self.rows.insert(format!("license {account}/ {place}"), seats.to_string());
            }
            Kind::Allocated { organization, seats } => {
                self.name(account, organization);
                self.rows
                    .insert(format!("license {account}/{organization} {place}"), seats.to_string());
            }
            Kind::Assigned { organization, user, project, license_source } => {
                let license_source = license_source.as_ref().unwrap_or(account);
                let opened = Some((project.clone(), license_source.clone()));
                self.seat_fact((account, organization, user), order, opened);
            }
            Kind::Revoked { organization, user } => {
                self.seat_fact((account, organization, user), order, None);
            }
            Kind::Plan { kind, organization, plan, monthly_quota } => {
                self.name(account, organization);
                let value = format!("{kind} {plan} {}", or_none(monthly_quota.as_ref()));
                self.rows.insert(format!("plan {account}/{organization} {place}"), value);
                if *kind != "adjusted" {
                    self.anchors
                        .entry((account.clone(), organization.clone()))
                        .or_default()
                        .push(*time_ms);
                }
            }
            Kind::Account { name, zone } => {
                self.describe(account, "account".to_owned(), "name", name.as_ref(), &order);
                if let Some(zone) = zone {
                    self.rows.insert(format!("zone {account} {place}"), zone.to_string());
                    self.zones.entry(account.clone()).or_default().push((order, *zone));
                }
            }
            Kind::Organization { organization, name, parent } => {
                self.name(account, organization);
                let entity = format!("organization {organization}");
                self.describe(account, entity.clone(), "name", name.as_ref(), &order);
                if let Some(parent) = parent {
                    if let Some(parent) = parent {
                        self.name(account, parent);
                    }
                    let value = parent.clone().unwrap_or_default();
                    self.latest((account.clone(), entity, "parent"), order, value);
                }
            }
            Kind::User { user, name, email } => {
                self.describe(account, format!("user {user}"), "name", name.as_ref(), &order);
                self.describe(account, format!("user {user}"), "email", email.as_ref(), &order);
            }
            Kind::Project { organization, project, name } => {
                self.name(account, organization);
                let entity = format!("project {organization}/{project}");
                self.describe(account, entity, "name", name.as_ref(), &order);
            }
        }
    }

    fn name(&mut self, account: &str, organization: &str) {
        self.organizations.insert((account.to_owned(), organization.to_owned()));
    }

    fn latest(&mut self, key: (String, String, &'static str), order: Order, value: String) {
        match self.directory.get(&key) {
            Some((known, _)) if *known > order => {}
            _ => {
                self.directory.insert(key, (order, value));
            }
        }
    }

    /// A directory field; an empty text has no effect.
    fn describe(
        &mut self,
        account: &str,
        entity: String,
        field: &'static str,
        value: Option<&String>,
        order: &Order,
    ) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.latest((account.to_owned(), entity, field), order.clone(), value.clone());
        }
    }

    /// An assignment by project and licence source, or a revocation.
    fn seat_fact(
        &mut self,
        (account, organization, user): (&str, &str, &str),
        order: Order,
        opened: Option<(Option<String>, String)>,
    ) {
        self.name(account, organization);
        let is_assigned = opened.is_some();
        let (project, license_source) = opened.unzip();
        let (sequence, project) = (self.sequence, project.flatten());
        let fact = SeatFact { order, sequence, is_assigned, project, license_source };
        let seat = (account.to_owned(), organization.to_owned(), user.to_owned());
        let facts = self.seats.entry(seat).or_default();
        // Facts of the same kind at the same time are one, the first in the log.
        let same = |other: &SeatFact| {
            other.order.0 == fact.order.0 && other.is_assigned == fact.is_assigned
        };
        if !facts.iter().any(same) {
            facts.push(fact);
        }
    }

    /// The zone that applies now: the latest known, whatever its time.
    fn zone(&self, account: &str) -> Zone {
        let latest = self
            .zones
            .get(account)
            .and_then(|facts| facts.iter().max_by_key(|(order, _)| order.clone()));
        latest.map_or(Zone::UTC, |(_, zone)| self.release.rules(*zone))
    }

    fn activity(&mut self, account: &str, organization: Option<&String>, user: &str, time_ms: i64) {
        if let Some(organization) = organization {
            self.name(account, organization);
        }
        let day = day_of(self.zone(account), time_ms);
        let place = (account.to_owned(), organization.cloned().unwrap_or_default(), day);
        self.active_users.entry(place).or_default().insert(user_key(user, self.seed));
        let mut starts_ms = Vec::new();
        for ((seat_account, seat_organization, seat_user), facts) in &self.seats {
            if seat_account == account && seat_user == user {
                let within = intervals(facts)
                    .into_iter()
                    .find(|(fact, end_ms)| lies_in(time_ms, fact.order.0, *end_ms));
                starts_ms.extend(within.map(|(fact, _)| (seat_organization.clone(), fact.order.0)));
            }
        }
        let activity = Activity { time_ms, sequence: self.sequence, starts_ms };
        self.activities.entry((account.to_owned(), user.to_owned())).or_default().push(activity);
    }

    fn test(&mut self, account: &str, test: &Test, time_ms: i64, source: &str) {
        self.name(account, &test.organization);
        if let Some(user) = &test.user {
            self.activity(account, Some(&test.organization), user, time_ms);
        }
        let (zone, organization) = (self.zone(account), test.organization.clone());
        let day = day_of(zone, time_ms);
        let project = format!("{} by {source}", test.project.as_deref().unwrap_or_default());
        let key = (account.to_owned(), organization.clone(), project, day);
        let executions = self.executions.entry(key).or_default();
        executions.duration_ms += test.duration_ms;
        if test.is_upload {
            executions.uploaded += test.tests;
            return;
        }
        executions.run += test.tests;
        let anchors = self.anchors.get(&(account.to_owned(), organization.clone()));
        let anchor_ms = anchors
            .and_then(|times| times.iter().copied().filter(|anchor| *anchor <= time_ms).max());
        if let Some(anchor_ms) = anchor_ms {
            let month = month_of(zone, anchor_ms, time_ms);
            let key = (account.to_owned(), organization, anchor_ms, month, day);
            self.quota.entry(key).or_default().add_assign(test.tests);
        }
    }

    /// The expected progress of a partition at `next_offset`.
    pub(super) fn progress_at(&self, log: &Log, index: usize, next_offset: u64) -> Progress {
        let first_offset = log.partitions[index].first_offset;
        let mut progress = Progress { first_offset, next_offset, ..Progress::default() };
        for (_, outcome) in self.outcomes[index].iter().filter(|(offset, _)| *offset < next_offset)
        {
            match outcome {
                Outcome::Accepted => progress.accepted += 1,
                Outcome::Rejected => progress.rejected += 1,
                Outcome::Duplicate => progress.duplicates += 1,
                Outcome::Skipped => progress.skipped += 1,
            }
        }
        let passed = next_offset - first_offset;
        progress.absent =
            passed - progress.accepted - progress.rejected - progress.duplicates - progress.skipped;
        progress
    }
}
