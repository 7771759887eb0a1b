//! The in-memory state of one account in a lane.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::calendar::{Day, DayWindow, YearMonth, Zone, day_window_of};
use super::counters::Block;
use super::id::{Id, IdRef, UserKeySeed};
use super::numbered::{Identified, Numbered};
use super::quota::Anchors;
use super::rollup::{AccountMove, AccountProgress, ActiveUsers, RecordPlace, SeatInterval};
use super::seats::{FactOrder, Seat};
use super::topics::{Topic, Topics, Touched};

/// When an entry was last used, and which drain carries its rows; both counted in drains of the
/// lane, of which there are no more than 2^32 in 136 years of one a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upkeep {
    /// The drain after the one in which the entry was last touched.
    pub used: u32,
    /// The drain that carries the entry's latest change. The entry must stay until that drain is
    /// acknowledged: a load before then would return stale data.
    pub changed: u32,
}

impl Upkeep {
    /// True if the store holds everything that the entry does.
    pub fn is_stored(self, acknowledged: u32) -> bool {
        self.changed <= acknowledged
    }
}

/// An account: its zone, organizations and users.
#[derive(Debug)]
pub struct Account {
    pub id: Id,
    seed: UserKeySeed,
    /// The latest zone fact, by (time, source, offset); `None` while none is known.
    zone_order: Option<FactOrder>,
    zone: Zone,
    /// The days of the last lookups, the latest first: most records of a batch fall into the same
    /// day, and late ones are single.
    days: [LocalDay; 2],
    /// Every organization that an event has named; complete.
    pub organizations: Organizations,
    /// Users whose seats are held.
    pub users: Numbered<User>,
    /// True if users who are not in `users` hold no seat.
    pub has_all_seats: bool,
    /// Counters of months after this one that are not held are 0. The last possible month if
    /// nothing is known about stored counters.
    pub counted_until: YearMonth,
    /// Users active since the last drain, by organization (its number) and day. May hold a user
    /// more than once.
    active: HashMap<(u32, Day), Vec<u64>>,
    /// Numbers of the users with seats whose activity changed since the last drain.
    changed_users: Vec<u32>,
    /// Blocks (organization by its number) with counters that changed since the last drain.
    pub changed_blocks: Vec<(u32, YearMonth)>,
    /// Whether the account stands among the accounts that any event has named.
    pub seen: Seen,
    /// True while the account has rows for the next drain.
    pub is_dirty: bool,
    /// The pending row that the account moved to this partition, and from which one; yielded with
    /// its first event here.
    pub moves: Vec<AccountMove>,
    /// The first and the last event since the last drain.
    events: Option<(RecordPlace, RecordPlace)>,
    /// Topics that these events touched.
    touched: Touched,
    pub upkeep: Upkeep,
}

/// Whether an event has named an account or organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    #[default]
    Never,
    /// The store says so. Its row may come from a record beyond the lane's position, and be
    /// announced by nobody.
    Stored,
    /// An event that the lane applied.
    Here,
}

impl Seen {
    /// The store says that it was seen.
    pub fn restore(&mut self) {
        if *self == Self::Never {
            *self = Self::Stored;
        }
    }
}

/// A day of the account's zone.
#[derive(Clone, Copy, Debug)]
pub struct LocalDay {
    window: DayWindow,
    /// The calendar month of the day.
    pub month: YearMonth,
}

impl LocalDay {
    fn of(zone: Zone, time_ms: i64) -> Self {
        let window = day_window_of(zone, time_ms);
        Self { window, month: window.day.year_month() }
    }

    /// The day.
    pub fn day(&self) -> Day {
        self.window.day
    }
}

/// The organizations of an account, each with a stable number that is unique in the account.
#[derive(Debug, Default)]
pub struct Organizations {
    known: Numbered<Organization>,
}

impl Organizations {
    /// The number of the organization; assigned if the organization is new.
    pub fn number(&mut self, id: &IdRef<'_>) -> u32 {
        self.known.number(id).unwrap_or_else(|| {
            self.known.insert(Organization {
                id: id.to_id(),
                seen: Seen::Never,
                anchors: Anchors::default(),
                blocks: Blocks::default(),
            })
        })
    }

    /// Brings an organization into the processor's cache.
    pub fn prefetch(&self, id: &IdRef<'_>) {
        self.known.prefetch(id);
    }

    /// The organization with that number.
    pub fn get(&mut self, number: u32) -> &mut Organization {
        self.known.get_mut(number)
    }

    /// The organization, if it is known.
    pub fn find(&self, id: &IdRef<'_>) -> Option<&Organization> {
        self.known.number(id).map(|number| &self.known.values()[number as usize])
    }

    /// All organizations, by number.
    pub fn all(&self) -> &[Organization] {
        self.known.values()
    }

    /// All organizations, by number.
    pub fn all_mut(&mut self) -> &mut [Organization] {
        self.known.values_mut()
    }
}

/// An organization: its plans and counters.
#[derive(Debug)]
pub struct Organization {
    pub id: Id,
    /// Whether it stands among the organizations that any event has named.
    pub seen: Seen,
    pub anchors: Anchors,
    /// Counters of the months that are held; see [`Account::counted_until`] for those that are not.
    pub blocks: Blocks,
}

impl Identified for Organization {
    fn id(&self) -> &Id {
        &self.id
    }
}

/// The blocks of an organization, by month. There are usually few, and most lookups repeat the last
/// one.
#[derive(Debug, Default)]
pub struct Blocks {
    /// The block of the last lookup comes first.
    held: Vec<HeldBlock>,
}

/// The counters of one month.
#[derive(Debug)]
pub struct HeldBlock {
    pub month: YearMonth,
    pub block: Block,
    pub upkeep: Upkeep,
}

impl Blocks {
    /// The block of that month, if it is held.
    pub fn get(&mut self, month: YearMonth) -> Option<&mut HeldBlock> {
        let at = self.held.iter().position(|held| held.month == month)?;
        // A block is large, and a swap copies even one with itself.
        if at > 0 {
            self.held.swap(0, at);
        }
        self.held.first_mut()
    }

    /// True if the block of that month is held.
    pub fn contains(&self, month: YearMonth) -> bool {
        self.held.iter().any(|held| held.month == month)
    }

    /// Adds an empty block for a month that is not held.
    pub fn insert(&mut self, month: YearMonth, used: u32) {
        debug_assert!(!self.contains(month), "what a held block has counted must not be forgotten");
        self.held.push(HeldBlock {
            month,
            block: Block::default(),
            upkeep: Upkeep { used, changed: 0 },
        });
    }

    /// All held blocks.
    pub fn iter(&self) -> impl Iterator<Item = &HeldBlock> {
        self.held.iter()
    }

    /// Evicts blocks.
    pub fn retain(&mut self, stays: impl FnMut(&HeldBlock) -> bool) {
        self.held.retain(stays);
    }

    /// True if no block is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Activity that names no organization, in [`User::counted`] and [`Account::active`].
const NO_ORGANIZATION: u32 = u32::MAX;

/// A user: seats, and on which days the user is known to be counted.
#[derive(Debug)]
pub struct User {
    id: Id,
    /// The user's key in bitmaps.
    key: u64,
    /// Seats in every organization; complete. Most users have one, so it is stored inline.
    pub seats: SmallVec<[Seat; 1]>,
    /// The (organization, day) pairs that the user was counted in last, newest first. Only saves
    /// work: counting a user twice changes nothing.
    counted: [(u32, Day); 2],
    /// True while the user is in [`Account::changed_users`].
    is_changed: bool,
    pub upkeep: Upkeep,
}

impl Identified for User {
    fn id(&self) -> &Id {
        &self.id
    }
}

impl User {
    /// A user without seats.
    pub fn new(id: &IdRef<'_>, seed: UserKeySeed) -> Self {
        let nowhere = (NO_ORGANIZATION, Day(i32::MIN));
        Self {
            id: id.to_id(),
            key: id.user_key(seed),
            seats: SmallVec::new(),
            counted: [nowhere; 2],
            is_changed: false,
            upkeep: Upkeep::default(),
        }
    }

    /// The user's seat in the organization with that number.
    pub fn seat_in(&mut self, organization: u32) -> &mut Seat {
        let known = self.seats.iter().position(|seat| seat.organization == organization);
        let at = known.unwrap_or_else(|| {
            self.seats.push(Seat::new(organization));
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
    /// An account without facts. The keys of its users are made with `seed`.
    pub fn new(id: Id, seed: UserKeySeed) -> Self {
        Self {
            id,
            seed,
            zone_order: None,
            zone: Zone::UTC,
            days: [LocalDay::of(Zone::UTC, 0); 2],
            organizations: Organizations::default(),
            users: Numbered::default(),
            has_all_seats: false,
            counted_until: YearMonth(i32::MAX),
            active: HashMap::new(),
            changed_users: Vec::new(),
            changed_blocks: Vec::new(),
            seen: Seen::Never,
            is_dirty: false,
            moves: Vec::new(),
            events: None,
            touched: Touched::default(),
            upkeep: Upkeep::default(),
        }
    }

    /// An event of that time was applied, and touched these topics. True if it is the first since
    /// the last drain.
    pub fn note_event(&mut self, place: RecordPlace, time_ms: i64, touched: Topics) -> bool {
        let first = self.events.map(|(first, _)| first);
        self.events = Some((first.unwrap_or(place), place));
        self.touched.add(touched, time_ms);
        first.is_none()
    }

    /// Takes the first and the last event since the last drain.
    pub fn take_progress(&mut self) -> Option<AccountProgress> {
        let (first, last) = self.events.take()?;
        let touched = std::mem::take(&mut self.touched);
        Some(AccountProgress { account: self.id.clone(), first, last, touched })
    }

    /// The zone that applies to the next record.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// Applies a zone record: the latest by (time, source, offset) wins.
    pub fn set_zone(&mut self, order: FactOrder, zone: Zone) {
        if self.zone_order.as_ref().is_some_and(|held| *held >= order) {
            return;
        }
        self.zone_order = Some(order);
        self.zone = zone;
        self.days = [LocalDay::of(zone, self.days[0].window.start_ms); 2];
        for organization in self.organizations.all_mut() {
            organization.anchors.forget_edges();
        }
    }

    /// The day of an instant.
    pub fn day_of(&mut self, time_ms: i64) -> LocalDay {
        if !self.days[0].window.contains(time_ms) {
            self.days.swap(0, 1);
            if !self.days[0].window.contains(time_ms) {
                self.days[0] = LocalDay::of(self.zone, time_ms);
            }
        }
        self.days[0]
    }

    /// True if the seats of the user are known.
    pub fn knows_user(&self, id: &IdRef<'_>) -> bool {
        self.has_all_seats || self.users.number(id).is_some()
    }

    /// The number of the user; `None` if the seats are not known.
    pub fn user(&mut self, id: &IdRef<'_>) -> Option<u32> {
        let known = self.users.number(id);
        known.or_else(|| self.has_all_seats.then(|| self.users.insert(User::new(id, self.seed))))
    }

    /// Evicts users.
    pub fn retain_users(&mut self, stays: impl FnMut(&User) -> bool) {
        self.users.retain(stays);
        let numbers = (0..).zip(self.users.values());
        self.changed_users =
            numbers.filter(|(_, user)| user.is_changed).map(|(number, _)| number).collect();
    }

    /// True if the counters of the organization and month are known.
    pub fn knows_block(&self, organization: Option<&Organization>, month: YearMonth) -> bool {
        month > self.counted_until || organization.is_some_and(|held| held.blocks.contains(month))
    }

    /// Ensures that the counters of the organization and month are held; `None` if their values are
    /// not known.
    pub fn hold_block(&mut self, organization: u32, month: YearMonth, used: u32) -> Option<()> {
        let is_uncounted = month > self.counted_until;
        let blocks = &mut self.organizations.get(organization).blocks;
        if blocks.get(month).is_none() {
            if !is_uncounted {
                return None;
            }
            blocks.insert(month, used);
        }
        Some(())
    }

    /// The user was active: counts the day, and the use of the seats. Returns how many rows more
    /// the next drain will yield, and the topics touched; `None`, with nothing changed, where the
    /// user's seats are not known.
    pub fn record_activity(
        &mut self,
        organization: Option<u32>,
        user: &IdRef<'_>,
        time_ms: i64,
        drain: u32,
    ) -> Option<(usize, Topics)> {
        let day = self.day_of(time_ms).day();
        let number = organization.unwrap_or(NO_ORGANIZATION);
        let user = self.user(user)?;
        let held = self.users.get_mut(user);
        held.upkeep.used = drain;
        let is_new = !held.is_counted(number, day);
        let key = held.key;
        let mut touched = Topics::NONE;
        touched.insert_if(Topic::Activity, is_new);
        let mut used_seat = false;
        for seat in &mut held.seats {
            let attained = seat.record(time_ms);
            touched.insert_if(Topic::Seats, attained.is_first);
            touched.insert_if(Topic::Uses, attained.is_last);
            used_seat |= attained.is_change;
        }
        let is_first_use = used_seat && !held.is_changed;
        if is_first_use {
            held.is_changed = true;
            held.upkeep.changed = drain;
            self.changed_users.push(user);
        }
        if is_new {
            self.active.entry((number, day)).or_default().push(key);
        }
        Some((usize::from(is_new) + usize::from(is_first_use), touched))
    }

    /// Yields the users active since the last drain.
    pub fn drain_active(&mut self) -> impl Iterator<Item = ActiveUsers> {
        let account = self.id.clone();
        let organizations = self.organizations.all();
        std::mem::take(&mut self.active).into_iter().map(move |((number, day), mut keys)| {
            keys.sort_unstable();
            keys.dedup();
            let organization =
                organizations.get(number as usize).map(|organization| organization.id.clone());
            ActiveUsers { account: account.clone(), organization, day, users: keys }
        })
    }

    /// Yields the seat intervals whose activity changed since the last drain.
    pub fn drain_seat_activity(&mut self, rows: &mut Vec<SeatInterval>) {
        for number in std::mem::take(&mut self.changed_users) {
            let user = self.users.get_mut(number);
            user.is_changed = false;
            for seat in &mut user.seats {
                let organization = self.organizations.get(seat.organization).id.clone();
                rows.extend(seat.take_changed().map(|(start_ms, activity)| SeatInterval {
                    account: self.id.clone(),
                    organization: organization.clone(),
                    user: user.id.clone(),
                    start_ms,
                    opened: None,
                    end_ms: None,
                    is_superseded: false,
                    first_active_ms: Some(activity.first_ms),
                    last_active_ms: Some(activity.last_ms),
                }));
            }
        }
    }
}

/// Sort key of a fact among those of its kind.
pub fn fact_order(time_ms: i64, source: &Arc<str>, offset: u64) -> FactOrder {
    FactOrder { time_ms, source: Arc::clone(source), offset }
}
