//! Cached parts of the license usage: active users of days that seldom change, and assigned seats.
//! The key of a part is the version of its data, so no part is ever invalidated: a question changes
//! its key when its data changes. The versions in a key are read before the part. The organizations
//! are in the key as such, not as a version of the account's directory: most changes of a directory
//! (a name, the first event after a restart of a worker) leave them as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::directory::AGE_MAX;
use crate::core::calendar::Day;
use crate::core::topics::Topic;
use crate::http::reply::problem::Problem;
use crate::report::id::AccountId;
use crate::report::license_usage::PeriodUsers;
use crate::report::period::DayRanges;
use crate::report::usage_parts::{Parts, RangeUsers};
use crate::store::{AccountVersions, AssignedSeats, Store, Who};

/// Bytes that are cached, at most.
const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Overhead of a cached one besides its figures, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 512;
/// Rows of active users (one per organization and day) from which on parts of them are cached.
/// Fewer are read sooner than it takes to find out whether they have changed.
const ROWS_MIN: usize = 150_000;

/// Key of a cached part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    /// [`Who::identity`].
    who: Arc<[u8]>,
    asked: Asked,
    /// Version of the data.
    version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Users(DayRanges),
    /// Seats at these instants, and at one more after the last change of a seat.
    Seats(Vec<i64>),
}

/// The data that parts are made from.
pub(super) struct Basis<'a> {
    pub(super) store: &'a Store,
    pub(super) account: &'a AccountId,
    /// Versions of the account's topics, read before anything else.
    pub(super) versions: &'a AccountVersions,
    /// Number of organizations of the account.
    pub(super) organizations: usize,
}

/// Figures, and when the oldest of them were read, or before.
pub(super) type Dated<T> = (T, Instant);

/// A part that is cached.
struct Kept<T> {
    figures: Arc<T>,
    /// When it was read, or before.
    read_at: Instant,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { figures: Arc::clone(&self.figures), read_at: self.read_at }
    }
}

/// Seats, with the last of their instants.
struct Seats {
    seats: AssignedSeats,
    last_edge_ms: i64,
}

/// Keeps parts.
pub(super) struct UsageParts {
    users: Cache<Key, Kept<HashMap<String, RangeUsers>>>,
    seats: Cache<Key, Kept<Seats>>,
}

/// Reckoned from the reading.
struct AMinuteOld;

impl<T> Expiry<Key, Kept<T>> for AMinuteOld {
    fn expire_after_create(
        &self,
        _: &Key,
        kept: &Kept<T>,
        created_at: Instant,
    ) -> Option<Duration> {
        Some((kept.read_at + AGE_MAX).saturating_duration_since(created_at))
    }
}

fn cache<T: Send + Sync + 'static>(bytes: fn(&T) -> usize) -> Cache<Key, Kept<T>> {
    Cache::builder()
        .max_capacity(KEPT_BYTES_MAX / 2)
        .weigher(move |key: &Key, kept: &Kept<T>| {
            let bytes = KEPT_OVERHEAD_BYTES + key.who.len() + bytes(&kept.figures);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(AMinuteOld)
        .build()
}

fn bytes_of_users(users: &HashMap<String, RangeUsers>) -> usize {
    users.iter().map(|(id, users)| 100 + id.len() + users.bytes()).sum()
}

fn bytes_of_seats(seats: &Seats) -> usize {
    seats.seats.by_series.iter().map(|(id, counts)| 100 + id.len() + 8 * counts.len()).sum()
}

impl UsageParts {
    pub(super) fn new() -> Self {
        Self { users: cache(bytes_of_users), seats: cache(bytes_of_seats) }
    }

    /// Seats that were assigned at each of the instants, ascending, by series.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub(super) async fn assigned(
        &self,
        basis: &Basis<'_>,
        who: &Who<'_>,
        edges_ms: &[i64],
    ) -> Result<Dated<HashMap<String, Vec<u64>>>, Problem> {
        let Some((&last_edge_ms, before)) = edges_ms.split_last() else {
            return Ok((HashMap::new(), Instant::now()));
        };
        let key = Key {
            account: basis.account.clone(),
            who: who.identity().into(),
            asked: Asked::Seats(before.to_vec()),
            version: basis.versions.of(Topic::Seats).version,
        };
        let read = async || {
            let read_at = Instant::now();
            let Basis { store, account, organizations, .. } = *basis;
            let few = store.few_assigned_at(account, who, organizations, edges_ms).await?;
            let seats = match few {
                Some(seats) => seats,
                None => store.assigned_at(account, who, edges_ms).await?,
            };
            Ok::<_, Problem>(Kept { figures: Arc::new(Seats { seats, last_edge_ms }), read_at })
        };
        let kept = self.seats.try_get_with(key.clone(), read()).await;
        let mut kept = kept.map_err(|problem: Arc<Problem>| (*problem).clone())?;
        let Seats { seats, last_edge_ms: known_ms } = &*kept.figures;
        // Between two instants after the last change nothing changes.
        if last_edge_ms != *known_ms && seats.last_change_ms >= last_edge_ms.min(*known_ms) {
            kept = read().await?;
            self.seats.insert(key, kept.clone()).await;
        }
        Ok((kept.figures.seats.by_series.clone(), kept.read_at))
    }

    /// Active users of the days, by series.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub(super) async fn active_users(
        &self,
        basis: &Basis<'_>,
        who: &Who<'_>,
        days: &DayRanges,
    ) -> Result<Dated<HashMap<String, PeriodUsers>>, Problem> {
        let read_at = Instant::now();
        let Basis { store, account, organizations, .. } = *basis;
        if let Some(users) = store.few_active_users(account, who, organizations, days).await? {
            return Ok((users.into_iter().collect(), read_at));
        }
        let is_small = organizations.saturating_mul(days.count()) < ROWS_MIN;
        if is_small || matches!(who, Who::Account) {
            let read_at = Instant::now();
            let users = store.active_users_of(account, who, days).await?;
            return Ok((users.into_iter().collect(), read_at));
        }
        let parts = Parts::of(days);
        let identity: Arc<[u8]> = who.identity().into();
        // Before the users.
        let versions = basis.store.day_versions(basis.account, days).await?;
        let ((past, past_at), (current, current_at), (latest, latest_at)) = tokio::try_join!(
            self.part(basis, (who, &identity), parts.past.as_ref(), &versions),
            self.part(basis, (who, &identity), parts.current.as_ref(), &versions),
            self.part(basis, (who, &identity), Some(&parts.latest), &versions),
        )?;
        let none = RangeUsers::default();
        let heads = past.keys().chain(current.keys()).chain(latest.keys());
        let joined = |head: &String| {
            let [past, current, latest] =
                [&past, &current, &latest].map(|part| part.get(head).unwrap_or(&none));
            (head.clone(), parts.join(past, current, latest))
        };
        let heads: BTreeSet<&String> = heads.collect();
        let read_at = past_at.min(current_at).min(latest_at);
        Ok((heads.into_iter().map(joined).collect(), read_at))
    }

    /// The users of a part, of the organizations with that identity.
    async fn part(
        &self,
        basis: &Basis<'_>,
        (who, identity): (&Who<'_>, &Arc<[u8]>),
        days: Option<&DayRanges>,
        versions: &BTreeMap<Day, u64>,
    ) -> Result<Dated<Arc<HashMap<String, RangeUsers>>>, Problem> {
        let Some(days) = days else { return Ok((Arc::default(), Instant::now())) };
        // Each of them only grows, so their sum does.
        let version =
            versions.range(days.first_days[0]..=days.last_day).map(|(_, upto)| upto).sum();
        let read = async {
            let read_at = Instant::now();
            let users = basis.store.user_keys_of(basis.account, who, days).await?;
            Ok::<_, Problem>(Kept { figures: Arc::new(users), read_at })
        };
        let key = Key {
            account: basis.account.clone(),
            who: Arc::clone(identity),
            asked: Asked::Users(days.clone()),
            version,
        };
        let kept = self.users.try_get_with(key, read).await;
        let kept = kept.map_err(|problem: Arc<Problem>| (*problem).clone())?;
        Ok((kept.figures, kept.read_at))
    }
}
