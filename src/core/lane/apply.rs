//! What each event does to a lane.

use std::borrow::Cow;

use chrono_tz::Tz;
use xxhash_rust::xxh3::xxh3_128;

use super::{Judgement, Lane};
use crate::core::account::{Account, fact_order};
use crate::core::event::{Event, EventKind, Origin, Record, TestExecuted};
use crate::core::id::IdRef;
use crate::core::rollup::{
    DirectoryEntry, Entity, ExecutionCount, Field, LaneRows, LicenseFact, OrganizationSeen, PlanFact, SeatFact,
    SeatFactKind, ZoneFact,
};

/// Where an event stands: what a fact made from it is stamped with.
#[derive(Clone, Copy)]
struct At {
    time_ms: i64,
    offset: u64,
    drain: u64,
}

impl Lane {
    pub(super) fn apply_event(&mut self, record: &Record<'_>, event: &Event<'_>) -> Judgement {
        let mut id = 0;
        if let EventKind::TestExecuted(test) = &event.kind {
            id = self.event_id(&event.account, test);
            // Asked before anything is loaded, since a duplicate needs nothing.
            if self.duplicates.is_duplicate(id, record.offset, record.timestamp_ms) {
                self.duplicates.remember(id, record.offset, record.timestamp_ms);
                return Judgement::Duplicate;
            }
        }
        let at = At { time_ms: event.time_ms, offset: record.offset, drain: self.drain };
        let Some(account) = self.accounts.get_mut(&event.account) else {
            return Judgement::NotHeld;
        };
        if !holds(account, event) {
            return Judgement::NotHeld;
        }
        account.upkeep.used = at.drain;
        let mut entry = Entry { account, rows: &mut self.rows, merged_rows: 0, changed: false, at };
        entry.register(None);
        entry.apply(&event.kind);
        let (merged_rows, changed) = (entry.merged_rows, entry.changed);
        self.merged_rows += merged_rows;
        if changed {
            account.upkeep.changed = at.drain;
            if !account.is_dirty {
                account.is_dirty = true;
                self.dirty_accounts.push(account.id.clone());
            }
        }
        if let EventKind::TestExecuted(_) = &event.kind {
            self.duplicates.remember(id, record.offset, record.timestamp_ms);
        }
        Judgement::Accepted
    }

    /// The identity of a `test.executed` event: a 128-bit hash of (account, source, id), each with its length, so that no
    /// two triples run together to the same bytes.
    pub(super) fn event_id(&mut self, account: &IdRef<'_>, test: &TestExecuted<'_>) -> u128 {
        let bytes = &mut self.id_bytes;
        bytes.clear();
        match account {
            IdRef::Number(number) => {
                bytes.push(0);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            IdRef::Text(text) => {
                bytes.push(1);
                bytes.extend_from_slice(&text.len().to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes.extend_from_slice(&test.event_source.len().to_le_bytes());
        bytes.extend_from_slice(test.event_source.as_bytes());
        bytes.extend_from_slice(test.event_id.as_bytes());
        xxh3_128(bytes)
    }
}

/// True if everything that judges the event is held: what is not held is never taken as absent or 0.
fn holds(account: &mut Account, event: &Event<'_>) -> bool {
    let user = match &event.kind {
        EventKind::Activity { user, .. }
        | EventKind::LicenseAssigned { user, .. }
        | EventKind::LicenseRevoked { user, .. } => Some(user),
        EventKind::TestExecuted(test) => test.user.as_ref(),
        _ => None,
    };
    if user.is_some_and(|user| !account.users.contains_key(user)) {
        return false;
    }
    if let EventKind::TestExecuted(test) = &event.kind {
        let month = account.day_of(event.time_ms).year_month();
        let organization = account.organizations.get(&test.organization);
        // An organization that no event has named has counted nothing either, but its counters may stand beyond the
        // lane's position, so they are loaded like any other's.
        return organization.is_some_and(|held| held.blocks.contains_key(&month));
    }
    true
}

/// One event being applied to its account, which holds all that the event needs.
struct Entry<'l> {
    account: &'l mut Account,
    rows: &'l mut LaneRows,
    merged_rows: usize,
    changed: bool,
    at: At,
}

impl Entry<'_> {
    fn apply(&mut self, kind: &EventKind<'_>) {
        match kind {
            EventKind::Activity { organization, user } => {
                if let Some(organization) = organization {
                    self.register(Some(organization));
                }
                self.activity(organization.as_ref(), user);
            }
            EventKind::TestExecuted(test) => self.test_executed(test),
            EventKind::LicensePurchased { seats } => self.license(None, *seats),
            EventKind::LicenseAllocated { organization, seats } => {
                self.register(Some(organization));
                self.license(Some(organization), *seats);
            }
            EventKind::LicenseAssigned { organization, user, project, license_source } => {
                self.seat(organization, user, Some((project.as_ref(), license_source)));
            }
            EventKind::LicenseRevoked { organization, user } => self.seat(organization, user, None),
            EventKind::Plan { kind, organization, plan, monthly_quota } => {
                self.register(Some(organization));
                if kind.anchors() {
                    self.account.organization(organization).anchors.insert(self.at.time_ms);
                    self.changed = true;
                }
                self.rows.plan_facts.push(PlanFact {
                    account: self.account.id.clone(),
                    organization: organization.to_id(),
                    time_ms: self.at.time_ms,
                    source: self.rows.source.name(),
                    offset: self.at.offset,
                    kind: *kind,
                    plan: plan.to_id(),
                    monthly_quota: *monthly_quota,
                });
            }
            EventKind::AccountUpdated { name, timezone } => {
                self.describe(Entity::Account, Field::Name, name.as_ref());
                if let Some(zone) = timezone {
                    self.zone(*zone);
                }
            }
            EventKind::OrganizationUpdated { organization, name, parent } => {
                self.register(Some(organization));
                let entity = Entity::Organization(organization.to_id());
                self.describe(entity.clone(), Field::Name, name.as_ref());
                if let Some(parent) = parent {
                    if let Some(parent) = parent {
                        self.register(Some(parent));
                    }
                    let value = parent.as_ref().map_or_else(String::new, ToString::to_string);
                    self.describe(entity, Field::Parent, Some(&Cow::Owned(value)));
                }
            }
            EventKind::UserUpdated { user, name, email } => {
                self.describe(Entity::User(user.to_id()), Field::Name, name.as_ref());
                self.describe(Entity::User(user.to_id()), Field::Email, email.as_ref());
            }
            EventKind::ProjectUpdated { organization, project, name } => {
                self.register(Some(organization));
                let entity = Entity::Project { organization: organization.to_id(), project: project.to_id() };
                self.describe(entity, Field::Name, name.as_ref());
            }
        }
    }

    /// An event named the account, or one of its organizations.
    fn register(&mut self, organization: Option<&IdRef<'_>>) {
        let is_new = match organization {
            None => !std::mem::replace(&mut self.account.is_registered, true),
            Some(id) => !std::mem::replace(&mut self.account.organization(id).is_registered, true),
        };
        if is_new {
            self.changed = true;
            self.rows.organizations.push(OrganizationSeen {
                account: self.account.id.clone(),
                organization: organization.map(IdRef::to_id),
            });
        }
    }

    fn activity(&mut self, organization: Option<&IdRef<'_>>, user: &IdRef<'_>) {
        let changed_rows = self.account.record_activity(organization, user, self.at.time_ms, self.at.drain);
        self.merged_rows += changed_rows;
        self.changed |= changed_rows > 0;
    }

    fn test_executed(&mut self, test: &TestExecuted<'_>) {
        let At { time_ms, offset, drain } = self.at;
        self.register(Some(&test.organization));
        if let Some(user) = &test.user {
            self.activity(Some(&test.organization), user);
        }
        let day = self.account.day_of(time_ms);
        let zone = self.account.zone();
        let Some(organization) = self.account.organizations.get_mut(&test.organization) else { return };
        let quota_month = match test.origin {
            Origin::Run => organization.anchors.month_at(zone, time_ms),
            Origin::Upload => None,
        };
        let Some((block, upkeep)) = organization.blocks.get_mut(&day.year_month()) else { return };
        let duration_ms = test.duration_ms;
        let count = match test.origin {
            Origin::Run => ExecutionCount { run: test.tests, uploaded: 0, duration_ms },
            Origin::Upload => ExecutionCount { run: 0, uploaded: test.tests, duration_ms },
        };
        upkeep.used = drain;
        let had_changes = block.changed_len();
        block.executions.add(&(test.project.as_ref().map(IdRef::to_id), day), count, offset);
        if let Some(quota_month) = quota_month {
            block.quota.add(&(quota_month, day), test.tests, offset);
        }
        let changes = block.changed_len() - had_changes;
        if block.changed_len() > 0 {
            upkeep.changed = drain;
            self.changed = true;
        }
        if had_changes == 0 && changes > 0 {
            self.account.changed_blocks.push((test.organization.to_id(), day.year_month()));
        }
        self.merged_rows += changes;
    }

    fn license(&mut self, organization: Option<&IdRef<'_>>, seats: u64) {
        self.rows.license_facts.push(LicenseFact {
            account: self.account.id.clone(),
            organization: organization.map(IdRef::to_id),
            time_ms: self.at.time_ms,
            source: self.rows.source.name(),
            offset: self.at.offset,
            seats,
        });
    }

    /// A seat is assigned (with its project and licence source) or revoked.
    fn seat(&mut self, organization: &IdRef<'_>, user: &IdRef<'_>, assigned: Option<(Option<&IdRef<'_>>, &IdRef<'_>)>) {
        self.register(Some(organization));
        let source = self.rows.source.name();
        let kind = if assigned.is_some() { SeatFactKind::Assigned } else { SeatFactKind::Revoked };
        let organization = organization.to_id();
        let Some(held) = self.account.users.get_mut(user) else { return };
        held.upkeep.used = self.at.drain;
        if !held.seat_in(&organization).insert(fact_order(self.at.time_ms, &source, self.at.offset), kind) {
            return;
        }
        held.upkeep.changed = self.at.drain;
        self.changed = true;
        let (project, license_source) = match assigned {
            Some((project, license_source)) => (project.map(IdRef::to_id), Some(license_source.to_id())),
            None => (None, None),
        };
        self.rows.seat_facts.push(SeatFact {
            account: self.account.id.clone(),
            organization,
            user: user.to_id(),
            time_ms: self.at.time_ms,
            kind,
            source,
            offset: self.at.offset,
            project,
            license_source,
        });
    }

    fn zone(&mut self, zone: Tz) {
        let source = self.rows.source.name();
        self.account.set_zone(fact_order(self.at.time_ms, &source, self.at.offset), zone);
        self.changed = true;
        self.rows.zone_facts.push(ZoneFact {
            account: self.account.id.clone(),
            time_ms: self.at.time_ms,
            source,
            offset: self.at.offset,
            zone,
        });
    }

    /// A directory field, where the record gave one.
    fn describe(&mut self, entity: Entity, field: Field, value: Option<&Cow<'_, str>>) {
        let Some(value) = value else { return };
        self.rows.directory.push(DirectoryEntry {
            account: self.account.id.clone(),
            entity,
            field,
            time_ms: self.at.time_ms,
            source: self.rows.source.name(),
            offset: self.at.offset,
            value: value.to_string(),
        });
    }
}
