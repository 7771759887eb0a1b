//! Effect of each event on a lane.

use std::borrow::Cow;

use super::ahead::Ahead;
use super::{Judgement, Lane};
use crate::core::account::{Account, HeldBlock, Seen, Upkeep, fact_order};
use crate::core::calendar::Zone;
use crate::core::counters::{ProjectDayRef, QuotaDay};
use crate::core::dedup::event_id;
use crate::core::event::{Decoded, Event, EventKind, Origin, PlanKind, Record, TestExecuted};
use crate::core::id::IdRef;
use crate::core::rollup::{
    DirectoryEntry, Entity, ExecutionCount, Field, LaneRows, LicenseFact, OrganizationSeen,
    PlanFact, RecordPlace, SeatFact, SeatFactKind, ZoneFact,
};
use crate::core::row_bytes::RowBytes;
use crate::core::topics::{Topic, Topics};

/// The position of an event: the stamp of a fact made from it.
#[derive(Clone, Copy)]
struct At {
    time_ms: i64,
    offset: u64,
    drain: u32,
}

impl Lane {
    /// Prepares for an event that will be applied soon: the processor brings in meanwhile what
    /// that reads, where waiting for it would take as long as all else.
    pub fn look_ahead(&mut self, decoded: &Decoded<'_>) -> Ahead {
        let mut ahead = Ahead::default();
        let Decoded::Event(event) = decoded else { return ahead };
        if let EventKind::TestExecuted(test) = &event.kind {
            let id = event_id(event, test, &mut self.id_bytes);
            self.duplicates.prefetch(id);
            ahead.event_id = Some(id);
        }
        if let Some(account) = self.accounts.get(&event.account) {
            if let Some(user) = event.user() {
                account.users.prefetch(user);
            }
            if let EventKind::TestExecuted(test) = &event.kind {
                account.organizations.prefetch(&test.organization);
            }
        }
        ahead
    }

    pub(super) fn apply_event(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        ahead: Ahead,
    ) -> Judgement {
        let mut sighting = None;
        if let EventKind::TestExecuted(test) = &event.kind {
            let id = ahead.event_id.unwrap_or_else(|| event_id(event, test, &mut self.id_bytes));
            let seen = self.duplicates.see(id, record.offset, record.timestamp_ms);
            // Checked before anything is loaded, because a duplicate needs nothing.
            if seen.is_duplicate {
                self.duplicates.remember(seen);
                return Judgement::Duplicate;
            }
            sighting = Some(seen);
        }
        let at = At { time_ms: event.time_ms, offset: record.offset, drain: self.drain };
        let Some(account) = self.accounts.get_mut(&event.account) else {
            return Judgement::NotHeld;
        };
        let touched = Topics::NONE;
        let mut entry = Entry {
            account,
            rows: &mut self.rows,
            row_bytes: 0,
            merged_rows: 0,
            changed: false,
            touched,
            at,
        };
        if entry.apply(&event.kind).is_none() {
            return Judgement::NotHeld;
        }
        entry.register_account();
        let Entry { row_bytes, merged_rows, changed, touched, .. } = entry;
        account.upkeep = Upkeep { used: at.drain, changed: at.drain };
        self.row_bytes += row_bytes;
        self.merged_rows += merged_rows;
        if changed && !account.is_dirty {
            account.is_dirty = true;
            self.dirty_accounts.push(account.id.clone());
        }
        self.rows.account_moves.append(&mut account.moves);
        let place = RecordPlace { offset: record.offset, timestamp_ms: record.timestamp_ms };
        if account.note_event(place, at.time_ms, touched) {
            self.counted_accounts.push(account.id.clone());
            self.merged_rows += 1;
        }
        if let Some(seen) = sighting {
            self.duplicates.remember(seen);
        }
        Judgement::Accepted
    }
}

/// One event being applied to its account.
struct Entry<'l> {
    account: &'l mut Account,
    rows: &'l mut LaneRows,
    /// Bytes added to `rows`.
    row_bytes: usize,
    merged_rows: usize,
    changed: bool,
    /// What the event has an effect on that a reader may find, whether here or in what was loaded.
    touched: Topics,
    at: At,
}

impl Entry<'_> {
    /// Applies the event; `None`, with nothing changed, if it needs something that is not held:
    /// what is not held is never taken as absent or 0.
    fn apply(&mut self, kind: &EventKind<'_>) -> Option<()> {
        match kind {
            EventKind::Activity { organization, user } => {
                let number = organization.as_ref().map(|id| self.account.organizations.number(id));
                self.activity(number, user)?;
                if let Some(number) = number {
                    self.register_number(number);
                }
            }
            EventKind::TestExecuted(test) => self.test_executed(test)?,
            EventKind::LicensePurchased { seats } => self.license(None, *seats),
            EventKind::LicenseAllocated { organization, seats } => {
                self.register(organization);
                self.license(Some(organization), *seats);
            }
            EventKind::LicenseAssigned { organization, user, project, license_source } => {
                self.seat(organization, user, Some((project.as_ref(), license_source)))?;
            }
            EventKind::LicenseRevoked { organization, user } => {
                self.seat(organization, user, None)?
            }
            EventKind::Plan { kind, organization, plan, monthly_quota } => {
                self.plan(*kind, organization, plan, *monthly_quota);
            }
            EventKind::AccountUpdated { name, timezone } => {
                self.describe(Entity::Account, Field::Name, name.as_ref());
                if let Some(zone) = timezone {
                    self.zone(*zone);
                }
            }
            EventKind::OrganizationUpdated { organization, name, parent } => {
                self.register(organization);
                let entity = Entity::Organization(organization.to_id());
                self.describe(entity.clone(), Field::Name, name.as_ref());
                if let Some(parent) = parent {
                    if let Some(parent) = parent {
                        self.register(parent);
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
                self.register(organization);
                let entity = Entity::Project {
                    organization: organization.to_id(),
                    project: project.to_id(),
                };
                self.describe(entity, Field::Name, name.as_ref());
            }
        }
        Some(())
    }

    fn plan(
        &mut self,
        kind: PlanKind,
        organization: &IdRef<'_>,
        plan: &IdRef<'_>,
        monthly_quota: Option<u64>,
    ) {
        self.register(organization);
        if kind.anchors() {
            let number = self.account.organizations.number(organization);
            self.account.organizations.get(number).anchors.insert(self.at.time_ms);
            self.changed = true;
        }
        let row = PlanFact {
            account: self.account.id.clone(),
            organization: organization.to_id(),
            time_ms: self.at.time_ms,
            source: self.rows.source.name(),
            offset: self.at.offset,
            kind,
            plan: plan.to_id(),
            monthly_quota,
        };
        self.touched.insert(Topic::Tests);
        self.push(|rows| &mut rows.plan_facts, row);
    }

    fn push<R: RowBytes>(&mut self, rows_of: impl FnOnce(&mut LaneRows) -> &mut Vec<R>, row: R) {
        self.row_bytes += row.bytes();
        rows_of(self.rows).push(row);
    }

    /// An event named the account.
    fn register_account(&mut self) {
        let before = std::mem::replace(&mut self.account.seen, Seen::Here);
        self.touched.insert_if(Topic::Directory, before != Seen::Here);
        if before == Seen::Never {
            self.changed = true;
            let row = OrganizationSeen { account: self.account.id.clone(), organization: None };
            self.push(|rows| &mut rows.organizations, row);
        }
    }

    /// An event named the organization.
    fn register(&mut self, organization: &IdRef<'_>) {
        let number = self.account.organizations.number(organization);
        self.register_number(number);
    }

    fn register_number(&mut self, organization: u32) {
        let organization = self.account.organizations.get(organization);
        let before = std::mem::replace(&mut organization.seen, Seen::Here);
        self.touched.insert_if(Topic::Directory, before != Seen::Here);
        if before == Seen::Never {
            self.changed = true;
            let organization = Some(organization.id.clone());
            let row = OrganizationSeen { account: self.account.id.clone(), organization };
            self.push(|rows| &mut rows.organizations, row);
        }
    }

    fn activity(&mut self, organization: Option<u32>, user: &IdRef<'_>) -> Option<()> {
        let (changed_rows, touched) =
            self.account.record_activity(organization, user, self.at.time_ms, self.at.drain)?;
        self.touched = self.touched.union(touched);
        self.merged_rows += changed_rows;
        self.changed |= changed_rows > 0;
        Some(())
    }

    fn test_executed(&mut self, test: &TestExecuted<'_>) -> Option<()> {
        let At { time_ms, offset, drain } = self.at;
        let number = self.account.organizations.number(&test.organization);
        let today = self.account.day_of(time_ms);
        let (day, zone) = (today.day(), self.account.zone());
        // An organization that no event has named has no counts before it either, but its stored
        // counters may lie beyond the lane's position, so they are loaded like any other's.
        self.account.hold_block(number, today.month, drain)?;
        if let Some(user) = &test.user {
            self.activity(Some(number), user)?;
        }
        self.register_number(number);
        // A counter that the stored value covers already may be announced by nobody yet.
        self.touched.insert(Topic::Tests);
        let organization = self.account.organizations.get(number);
        let HeldBlock { block, upkeep, .. } =
            organization.blocks.get(today.month).expect("held, as was seen above");
        let duration_ms = test.duration_ms;
        let count = match test.origin {
            Origin::Run => ExecutionCount { run: test.tests, uploaded: 0, duration_ms },
            Origin::Upload => ExecutionCount { run: 0, uploaded: test.tests, duration_ms },
        };
        upkeep.used = drain;
        let had_changes = block.changed_len();
        block.executions.add(&ProjectDayRef { project: test.project.as_ref(), day }, count, offset);
        if test.origin == Origin::Run
            && let Some(month) = organization.anchors.month_at(zone, time_ms)
        {
            block.quota.add(&QuotaDay { month, day }, test.tests, offset);
        }
        let changes = block.changed_len() - had_changes;
        if block.changed_len() > 0 {
            upkeep.changed = drain;
            self.changed = true;
        }
        if had_changes == 0 && changes > 0 {
            self.account.changed_blocks.push((number, today.month));
        }
        self.merged_rows += changes;
        Some(())
    }

    fn license(&mut self, organization: Option<&IdRef<'_>>, seats: u64) {
        let row = LicenseFact {
            account: self.account.id.clone(),
            organization: organization.map(IdRef::to_id),
            time_ms: self.at.time_ms,
            source: self.rows.source.name(),
            offset: self.at.offset,
            seats,
        };
        self.touched.insert(Topic::Seats);
        self.push(|rows| &mut rows.license_facts, row);
    }

    /// A seat is assigned (with its project and licence source) or revoked.
    fn seat(
        &mut self,
        organization: &IdRef<'_>,
        user: &IdRef<'_>,
        assigned: Option<(Option<&IdRef<'_>>, &IdRef<'_>)>,
    ) -> Option<()> {
        let source = self.rows.source.name();
        let kind = if assigned.is_some() { SeatFactKind::Assigned } else { SeatFactKind::Revoked };
        let number = self.account.organizations.number(organization);
        let holder = self.account.user(user)?;
        let held = self.account.users.get_mut(holder);
        held.upkeep.used = self.at.drain;
        let order = fact_order(self.at.time_ms, &source, self.at.offset);
        let changes = held.seat_in(number).insert(order, kind);
        if changes.is_some() {
            held.upkeep.changed = self.at.drain;
        }
        self.register_number(number);
        let Some(changes) = changes else { return Some(()) };
        self.changed = true;
        self.touched.insert(Topic::Seats);
        // With the fact goes how a holder without a name is searched, where that is not the id
        // itself.
        self.touched.insert_if(Topic::Directory, assigned.is_some() && is_searched_otherwise(user));
        let (project, license_source) = match assigned {
            Some((project, license_source)) => {
                (project.map(IdRef::to_id), Some(license_source.to_id()))
            }
            None => (None, None),
        };
        let row = SeatFact {
            account: self.account.id.clone(),
            organization: organization.to_id(),
            user: user.to_id(),
            time_ms: self.at.time_ms,
            kind,
            source,
            offset: self.at.offset,
            project,
            license_source,
        };
        for change in changes {
            let interval = change.of(&row);
            self.push(|rows| &mut rows.seat_intervals, interval);
        }
        self.push(|rows| &mut rows.seat_facts, row);
        Some(())
    }

    fn zone(&mut self, zone: Zone) {
        let source = self.rows.source.name();
        self.account.set_zone(fact_order(self.at.time_ms, &source, self.at.offset), zone);
        self.changed = true;
        let row = ZoneFact {
            account: self.account.id.clone(),
            time_ms: self.at.time_ms,
            source,
            offset: self.at.offset,
            zone,
        };
        self.touched.insert(Topic::Directory);
        self.push(|rows| &mut rows.zone_facts, row);
    }

    /// A directory field, if the record has it.
    fn describe(&mut self, entity: Entity, field: Field, value: Option<&Cow<'_, str>>) {
        let Some(value) = value else { return };
        let row = DirectoryEntry {
            account: self.account.id.clone(),
            entity,
            field,
            time_ms: self.at.time_ms,
            source: self.rows.source.name(),
            offset: self.at.offset,
            value: value.to_string(),
        };
        self.touched.insert(Topic::Directory);
        self.push(|rows| &mut rows.directory, row);
    }
}

/// True where the text that a user is searched by may differ from the id.
fn is_searched_otherwise(user: &IdRef<'_>) -> bool {
    match user {
        IdRef::Number(_) => false,
        IdRef::Text(text) => text.bytes().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()),
    }
}
