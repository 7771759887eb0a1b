//! Listings of assignments that are asked for again and again: their order is kept, so that a poll reads the seats of
//! those users alone that were touched since, and of those on its page.
//!
//! A kept listing knows the version of the account that was read before it. Of each user it holds what was read after
//! that version, so it is brought up to a later one by reading anew the users of all rows that came in between, or, where
//! these rows are not known, of all that happened since the earliest time among them; rows that come in while they are read
//! belong to a version later still. A page is cut from a listing that is no older than its
//! question. Names, paths and parents hold while the directory does. What is in doubt is asked of the account's view.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::making::Making;
use super::problem::Problem;
use super::recent::TouchedSeat;
use super::seats::SeatChanges;
use super::state::ApiState;
use super::tracked::Version;
use crate::report::assignments::{Assignment, AssignmentsRequest, Page};
use crate::report::cursor::SortValue;
use crate::report::listing::Listing;
use crate::report::period::Pinned;

/// Listings that are remembered, at most; with more the one that was not asked for the longest is forgotten.
const LISTINGS_MAX: usize = 1_000;
/// What the kept ones take, bytes, at most, about.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one of them takes, bytes, at most, about.
const LISTING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Users whose seats are read anew at once, at most; with more the whole listing is.
const TOUCHED_MAX: usize = 5_000;
/// How often a listing is brought up for one answer: once, and again for rows that have come onto the page, or if somebody
/// else was faster.
const ROUNDS_MAX: usize = 4;
/// A listing that is too large to be kept is tried again after so many questions.
const TRIED_AGAIN_AFTER: u32 = 100;

/// Rows of a page, and how many there are on all pages.
type Rows = (Vec<Assignment>, u64);

/// All that decides which rows there are and how they are ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ListingId {
    account: String,
    request: AssignmentsRequest,
}

/// What is kept.
#[derive(Default)]
pub(super) struct ListingCache {
    listings: Mutex<Listings>,
}

#[derive(Default)]
struct Listings {
    entries: HashMap<ListingId, Entry>,
    clock: u64,
    bytes: usize,
}

struct Entry {
    used: u64,
    state: Known,
    bytes: usize,
}

/// What is known of a listing that is asked for.
#[derive(Clone)]
enum Known {
    /// It was asked for once, or is too large, and will be tried after so many questions more.
    Not(u32),
    /// It was asked for before.
    Asked,
    Kept(Arc<Mutex<KeptListing>>),
}

struct KeptListing {
    /// Its rows were read after this version.
    version: u64,
    /// And so was the directory.
    directory: u64,
    listing: Listing,
}

/// What a page takes.
enum Step {
    Answer(Rows),
    Read(Reading),
    Rebuild,
}

struct Reading {
    /// What is read is read after this version.
    version: u64,
    /// Users touched since then are to be read, milliseconds since 1970 UTC.
    since_ms: Option<i64>,
    /// And these.
    users: HashSet<String>,
}

impl KeptListing {
    /// `touched` are the seats that were touched after the listing's version, where they are known.
    fn step(
        &mut self,
        version: Version,
        changes: &SeatChanges,
        touched: Option<Vec<TouchedSeat>>,
        page: &Page,
    ) -> Step {
        if self.directory < version.directory {
            return Step::Rebuild;
        }
        let mut since_ms = None;
        let mut users = HashSet::new();
        if self.version < version.report {
            match (touched, changes.hold_until_ms(self.version)) {
                (Some(touched), _) => {
                    let here = touched.into_iter().filter(|seat| self.listing.is_about(&seat.organization));
                    users = here.map(|seat| seat.user).collect();
                }
                (None, i64::MIN) => return Step::Rebuild,
                (None, i64::MAX) => {}
                (None, earliest_ms) => since_ms = Some(earliest_ms),
            }
            if users.len() > TOUCHED_MAX {
                return Step::Rebuild;
            }
            if users.is_empty() && since_ms.is_none() {
                self.version = version.report;
            }
        }
        match self.listing.page(page) {
            Ok(rows) if users.is_empty() && since_ms.is_none() => {
                self.listing.forget_but(page);
                Step::Answer((rows, self.listing.total()))
            }
            rows => {
                users.extend(rows.err().unwrap_or_default());
                Step::Read(Reading { version: self.version.max(version.report), since_ms, users })
            }
        }
    }

    /// Takes in what was read of the users, unless somebody else has read later.
    fn take(&mut self, version: u64, users: &HashSet<String>, rows: Vec<Assignment>) {
        if self.version <= version {
            self.listing.update(users, rows);
            self.version = version;
        }
    }
}

impl ListingCache {
    /// What is known of the listing by now.
    fn ask(&self, id: &ListingId) -> Known {
        let mut listings = self.lock();
        listings.clock += 1;
        let clock = listings.clock;
        if let Some(entry) = listings.entries.get_mut(id) {
            entry.used = clock;
            if let Known::Not(questions) = entry.state {
                entry.state = questions.checked_sub(1).map_or(Known::Asked, Known::Not);
            }
            return entry.state.clone();
        }
        if listings.entries.len() >= LISTINGS_MAX {
            listings.drop_oldest();
        }
        listings.entries.insert(id.clone(), Entry { used: clock, state: Known::Not(0), bytes: 0 });
        Known::Not(0)
    }

    /// Keeps the listing, unless a later one is kept; the one that is kept.
    fn keep(&self, id: &ListingId, new: KeptListing) -> Arc<Mutex<KeptListing>> {
        let bytes = new.listing.bytes();
        let mut listings = self.lock();
        let Some(entry) = listings.entries.get_mut(id) else { return Arc::new(Mutex::new(new)) };
        if let Known::Kept(kept) = &entry.state
            && lock(kept).version > new.version
        {
            return Arc::clone(kept);
        }
        let kept = Arc::new(Mutex::new(new));
        entry.state = Known::Kept(Arc::clone(&kept));
        listings.weigh(id, bytes);
        kept
    }

    /// The listing cannot be kept.
    fn refuse(&self, id: &ListingId) {
        let mut listings = self.lock();
        if let Some(entry) = listings.entries.get_mut(id) {
            entry.state = Known::Not(TRIED_AGAIN_AFTER);
            listings.weigh(id, 0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listings> {
        lock(&self.listings)
    }
}

impl Listings {
    /// The listing takes so many bytes by now.
    fn weigh(&mut self, id: &ListingId, bytes: usize) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.bytes = self.bytes + bytes - std::mem::replace(&mut entry.bytes, bytes);
        while self.bytes > KEPT_BYTES_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| id.clone());
        let entry = oldest.and_then(|id| self.entries.remove(&id));
        self.bytes -= entry.map_or(0, |entry| entry.bytes);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ApiState {
    /// The rows of a page, one more than its limit if there are as many, and how many there are on all pages.
    pub(super) async fn assignments(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page,
        making: &Making,
    ) -> Result<Rows, Problem> {
        let is_whole = !matches!(page.after, Some(ref after) if matches!(after.key, SortValue::Beginning(_)));
        if let Some(version) = making.version()
            && request.pinned() == Pinned::Always
            && is_whole
            && let Some(rows) = self.listed(account, request, page, version).await?
        {
            return Ok(rows);
        }
        Ok(self.store().assignments(account, request, page, making.now_ms).await?)
    }

    /// The page of a kept listing; `None` where there is none. The version was read before.
    async fn listed(
        &self,
        account: &str,
        request: &AssignmentsRequest,
        page: &Page,
        version: Version,
    ) -> Result<Option<Rows>, Problem> {
        let cache = &self.polls().listings;
        let id = ListingId { account: account.to_owned(), request: request.listing() };
        let mut known = match cache.ask(&id) {
            Known::Not(_) => return Ok(None),
            Known::Asked => None,
            Known::Kept(kept) => Some(kept),
        };
        // Changes are recorded from here on: before anything is read, and up to the version at least.
        let changes = self.polls().seat_changes(account).await;
        let mut is_new = false;
        for _ in 0..ROUNDS_MAX {
            let since = known.as_ref().map_or(version.report, |kept| lock(kept).version);
            let touched = self.polls().touched_seats(account, since).await;
            let step = known.as_ref().map_or(Step::Rebuild, |kept| lock(kept).step(version, &changes, touched, page));
            let is_read = match (step, &known) {
                (Step::Answer(rows), _) => return Ok(Some(rows)),
                (Step::Read(reading), Some(kept)) => self.bring_up(&id, kept, reading).await?,
                _ => false,
            };
            if is_read {
                continue;
            }
            if std::mem::replace(&mut is_new, true) {
                // The rows of its page alone are too much.
                cache.refuse(&id);
                break;
            }
            let listing = self.store().listing(account, &id.request).await?;
            let Some(listing) = listing.filter(|listing| listing.bytes() <= LISTING_BYTES_MAX) else {
                cache.refuse(&id);
                break;
            };
            let kept = KeptListing { version: version.report, directory: version.directory, listing };
            known = Some(cache.keep(&id, kept));
        }
        Ok(None)
    }

    /// Reads what the listing lacks; false where that is too much.
    async fn bring_up(
        &self,
        id: &ListingId,
        kept: &Arc<Mutex<KeptListing>>,
        reading: Reading,
    ) -> Result<bool, Problem> {
        let mut users = reading.users;
        if let Some(since_ms) = reading.since_ms {
            let organizations = lock(kept).listing.organizations();
            let touched = self.store().seat_holders_touched(&id.account, organizations, since_ms, TOUCHED_MAX).await?;
            let Some(touched) = touched else { return Ok(false) };
            users.extend(touched);
        }
        let asked: Vec<String> = users.iter().cloned().collect();
        let rows = self.store().assignments_of(&id.account, &id.request, &asked).await?;
        let Some(rows) = rows else { return Ok(false) };
        let bytes = {
            let mut kept = lock(kept);
            kept.take(reading.version, &users, rows);
            kept.listing.bytes()
        };
        self.polls().listings.lock().weigh(id, bytes);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::assignments::{Sort, SortKey};
    use crate::report::listing::{KeyValue, Places, RowKey};
    use crate::report::query::Query;

    fn id(account: &str) -> ListingId {
        let (request, _) = AssignmentsRequest::parse_page(account, Query::parse(None).unwrap()).unwrap();
        ListingId { account: account.to_owned(), request }
    }

    fn kept(version: u64, rows: usize) -> KeptListing {
        let key = |index: usize| RowKey {
            value: KeyValue::Null,
            user_id: index.to_string().into(),
            organization_id: "o".into(),
        };
        let sort = Sort { key: SortKey::Email, descending: false };
        let listing = Listing::new(sort, (0..rows).map(key).collect(), Places::default());
        KeptListing { version, directory: version, listing }
    }

    fn version_kept(cache: &ListingCache, id: &ListingId) -> Option<u64> {
        match cache.ask(id) {
            Known::Kept(kept) => Some(lock(&kept).version),
            Known::Asked | Known::Not(_) => None,
        }
    }

    #[test]
    fn a_listing_is_kept_when_it_is_asked_for_again() {
        let cache = ListingCache::default();
        assert!(matches!(cache.ask(&id("a")), Known::Not(0)));
        assert!(matches!(cache.ask(&id("a")), Known::Asked));
        assert!(matches!(cache.ask(&id("b")), Known::Not(0)), "another account has another listing");
        cache.keep(&id("a"), kept(5, 1));
        assert_eq!(version_kept(&cache, &id("a")), Some(5));
    }

    #[test]
    fn what_was_read_later_stays() {
        let cache = ListingCache::default();
        cache.ask(&id("a"));
        cache.keep(&id("a"), kept(5, 1));
        assert_eq!(lock(&cache.keep(&id("a"), kept(4, 2))).version, 5);
        cache.keep(&id("a"), kept(6, 3));
        assert_eq!(version_kept(&cache, &id("a")), Some(6));
        let mut listing = kept(6, 3);
        let users = HashSet::from(["0".to_owned()]);
        listing.take(5, &users, Vec::new());
        assert_eq!((listing.version, listing.listing.total()), (6, 3));
        listing.take(7, &users, Vec::new());
        assert_eq!((listing.version, listing.listing.total()), (7, 2));
    }

    #[test]
    fn a_listing_that_is_too_large_is_tried_again_some_day() {
        let cache = ListingCache::default();
        cache.ask(&id("a"));
        cache.refuse(&id("a"));
        let refused = (0..1_000).take_while(|_| matches!(cache.ask(&id("a")), Known::Not(_))).count();
        assert_eq!(refused, TRIED_AGAIN_AFTER as usize);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let cache = ListingCache::default();
        let rows = KEPT_BYTES_MAX / 4 / 100;
        for account in ["a", "b", "c"] {
            cache.ask(&id(account));
            cache.keep(&id(account), kept(1, rows));
        }
        assert!(version_kept(&cache, &id("a")).is_some());
        cache.ask(&id("d"));
        cache.keep(&id("d"), kept(1, rows));
        let are_kept = ["a", "b", "c", "d"].map(|account| version_kept(&cache, &id(account)).is_some());
        assert_eq!(are_kept, [true, false, true, true]);
        for number in 0..2 * LISTINGS_MAX {
            cache.ask(&id(&number.to_string()));
        }
        let listings = cache.lock();
        assert_eq!((listings.entries.len(), listings.bytes), (LISTINGS_MAX, 0));
    }
}
