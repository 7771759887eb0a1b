//! What a lane holds of one account.

use std::sync::Arc;

use chrono_tz::Tz;
use hashbrown::HashMap;

use super::calendar::{Day, DayWindow, YearMonth, day_window_of};
use super::counters::Block;
use super::id::{Id, IdRef};
use super::quota::Anchors;
use super::rollup::{ActiveUsers, SeatUsage};
use super::seats::{FactOrder, Seat};

/// When an entry was last needed, and by which drain its rows went out; both in drains of the lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upkeep {
    /// The drain after the one in which the entry was last touched.
    pub used: u64,
    /// The drain that carries the entry's latest change. The entry must stay until that one is acknowledged: a load
    /// before then would bring back less than is known.
    pub changed: u64,
}

impl Upkeep {
    /// True where the store holds all that the entry does.
    pub fn is_stored(self, acknowledged: u64) -> bool {
        self.changed <= acknowledged
    }
}

/// An account: its zone, organizations and users.
#[derive(Debug)]
pub struct Account {
    pub id: Id,
    /// The zone fact that holds, by (time, source, offset); `None` while none is known.
    zone_order: Option<FactOrder>,
    zone: Tz,
    /// The day of the latest activity: most records of a batch fall into the same one.
    window: DayWindow,
    /// Every organization that an event has named; complete.
    pub organizations: HashMap<Id, Organization>,
    /// Users whose seats are held.
    pub users: HashMap<Id, User>,
    /// Users active since the last drain, by organization and day. May hold a user more than once.
    active: HashMap<(Option<Id>, Day), Vec<u64>>,
    /// Users with seats whose activity changed since the last drain.
    changed_users: Vec<Id>,
    /// Blocks with counters that changed since the last drain.
    pub changed_blocks: Vec<(Id, YearMonth)>,
    /// True once the account stands among the accounts that any event has named.
    pub is_registered: bool,
    /// True while a drain has something to fetch here.
    pub is_dirty: bool,
    pub upkeep: Upkeep,
}

/// An organization: its plans and counters.
#[derive(Debug)]
pub struct Organization {
    /// A short name, unique in the account, for [`User::counted`].
    number: u32,
    /// True once it stands among the organizations that any event has named.
    pub is_registered: bool,
    pub anchors: Anchors,
    /// Counters of the months that are held; a month that is not in here may have counted anything.
    pub blocks: HashMap<YearMonth, (Block, Upkeep)>,
}

/// Activity that names no organization, in [`User::counted`].
const NO_ORGANIZATION: u32 = u32::MAX;

/// A user: seats, and on which days the user is known to be counted.
#[derive(Debug)]
pub struct User {
    /// The user's key in bitmaps.
    key: u64,
    /// Seats in every organization; complete.
    pub seats: Vec<Seat>,
    /// The (organization, day) that the user was counted in last, newest first. Only spares work: counting a user twice
    /// changes nothing.
    counted: [(u32, Day); 2],
    /// True while the user stands in [`Account::changed_users`].
    is_changed: bool,
    pub upkeep: Upkeep,
}

impl User {
    /// A user that holds no seat.
    pub fn new(id: &Id) -> Self {
        let nowhere = (NO_ORGANIZATION, Day(i32::MIN));
        Self {
            key: id.user_key(),
            seats: Vec::new(),
            counted: [nowhere; 2],
            is_changed: false,
            upkeep: Upkeep::default(),
        }
    }

    /// The user's seat in that organization.
    pub fn seat_in(&mut self, organization: &Id) -> &mut Seat {
        let at = self.seats.iter().position(|seat| seat.organization == *organization).unwrap_or_else(|| {
            self.seats.push(Seat::new(organization.clone()));
            self.seats.len() - 1
        });
        &mut self.seats[at]
    }

    /// True if the user was already counted there; remembers it.
    fn is_counted(&mut self, organization: u32, day: Day) -> bool {
        let place = (organization, day);
        if self.counted[0] == place {
            return true;
        }
        let known = self.counted[1] == place;
        self.counted = [place, self.counted[0]];
        known
    }
}

impl Account {
    /// An account that nothing is known of.
    pub fn new(id: Id) -> Self {
        Self {
            id,
            zone_order: None,
            zone: Tz::UTC,
            window: day_window_of(Tz::UTC, 0),
            organizations: HashMap::new(),
            users: HashMap::new(),
            active: HashMap::new(),
            changed_users: Vec::new(),
            changed_blocks: Vec::new(),
            is_registered: false,
            is_dirty: false,
            upkeep: Upkeep::default(),
        }
    }

    /// The zone that the next record is judged by.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// A zone record: the latest one by (time, source, offset) holds.
    pub fn set_zone(&mut self, order: FactOrder, zone: Tz) {
        if self.zone_order.as_ref().is_some_and(|held| *held >= order) {
            return;
        }
        self.zone_order = Some(order);
        self.zone = zone;
        self.window = day_window_of(zone, self.window.start_ms);
        for organization in self.organizations.values_mut() {
            organization.anchors.forget_edges();
        }
    }

    /// The day of an instant.
    pub fn day_of(&mut self, time_ms: i64) -> Day {
        if !(self.window.start_ms..self.window.end_ms).contains(&time_ms) {
            self.window = day_window_of(self.zone, time_ms);
        }
        self.window.day
    }

    /// The organization; made where nothing was known of it.
    pub fn organization(&mut self, id: &IdRef<'_>) -> &mut Organization {
        if !self.organizations.contains_key(id) {
            let organization = Organization {
                number: u32::try_from(self.organizations.len()).expect("fewer organizations than records"),
                is_registered: false,
                anchors: Anchors::default(),
                blocks: HashMap::new(),
            };
            self.organizations.insert(id.to_id(), organization);
        }
        self.organizations.get_mut(id).expect("inserted above where it was missing")
    }

    /// The user was active: counts the day, and the use of the seats. Returns how many rows more the next drain will
    /// yield. The user must be held.
    pub fn record_activity(
        &mut self,
        organization: Option<&IdRef<'_>>,
        user: &IdRef<'_>,
        time_ms: i64,
        drain: u64,
    ) -> usize {
        let day = self.day_of(time_ms);
        let number = organization
            .and_then(|id| self.organizations.get(id))
            .map_or(NO_ORGANIZATION, |organization| organization.number);
        let Some((user_id, held)) = self.users.get_key_value_mut(user) else {
            return 0;
        };
        held.upkeep.used = drain;
        let is_new = !held.is_counted(number, day);
        if is_new {
            let key = held.key;
            self.active.entry((organization.map(IdRef::to_id), day)).or_default().push(key);
        }
        let mut used_seat = false;
        for seat in &mut held.seats {
            used_seat |= seat.record(time_ms);
        }
        let is_first_use = used_seat && !held.is_changed;
        if is_first_use {
            held.is_changed = true;
            held.upkeep.changed = drain;
            self.changed_users.push(user_id.clone());
        }
        usize::from(is_new) + usize::from(is_first_use)
    }

    /// Yields the users active since the last drain.
    pub fn drain_active(&mut self) -> impl Iterator<Item = ActiveUsers> {
        let account = self.id.clone();
        std::mem::take(&mut self.active).into_iter().map(move |((organization, day), mut keys)| {
            keys.sort_unstable();
            ActiveUsers { account: account.clone(), organization, day, users: keys.into_iter().collect() }
        })
    }

    /// Yields the seat intervals whose activity changed since the last drain.
    pub fn drain_seat_usage(&mut self, rows: &mut Vec<SeatUsage>) {
        for user_id in std::mem::take(&mut self.changed_users) {
            let Some(user) = self.users.get_mut(&user_id) else { continue };
            user.is_changed = false;
            for seat in &mut user.seats {
                let organization = seat.organization.clone();
                rows.extend(seat.take_changed().map(|(start_ms, activity)| SeatUsage {
                    account: self.id.clone(),
                    organization: organization.clone(),
                    user: user_id.clone(),
                    start_ms,
                    first_active_ms: activity.first_ms,
                    last_active_ms: activity.last_ms,
                }));
            }
        }
    }
}

/// The order of a fact among those of its kind.
pub fn fact_order(time_ms: i64, source: &Arc<str>, offset: u64) -> FactOrder {
    FactOrder { time_ms, source: Arc::clone(source), offset }
}
