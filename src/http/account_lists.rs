//! Cached lists of accounts. The key of a list is the accounts that it may contain, and the version
//! of all directories.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::directory::AGE_MAX;
use super::look::Looks;
use super::places::Places;
use crate::core::topics::Topic;
use crate::http::reply::problem::Problem;
use crate::report::accounts::AccountList;
use crate::report::value;
use crate::store::Store;

/// Bytes of lists that are cached, at most.
const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Overhead of a cached list besides its accounts, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 256;
/// The account whose turn at the places the lists take; no id is empty.
const NO_ACCOUNT: &str = "";

/// The accounts that a list may hold (`None`: all), and the version of all directories.
type Key = (Option<Vec<String>>, u64);

#[derive(Clone)]
struct Kept {
    list: Arc<AccountList>,
    /// When it was read, or before.
    read_at: Instant,
}

/// Lists of accounts.
pub(super) struct AccountLists {
    store: Store,
    looks: Arc<Looks>,
    /// Places for report queries.
    places: Places,
    kept: Cache<Key, Kept>,
}

impl AccountLists {
    /// Each reading takes one of the places.
    pub(super) fn new(store: Store, looks: Arc<Looks>, places: Places) -> Self {
        let kept = Cache::builder()
            .weigher(|(ids, _): &Key, kept: &Kept| {
                let ids: usize = ids.iter().flatten().map(|id| id.len() + 24).sum();
                u32::try_from(KEPT_OVERHEAD_BYTES + ids + kept.list.bytes()).unwrap_or(u32::MAX)
            })
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AMinuteOld)
            .build();
        Self { store, looks, places, kept }
    }

    /// Those of the accounts (`None`: of all) that any event has named, and by when all was counted
    /// that the list stands for.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked, or no place came free in time.
    pub(super) async fn of(
        &self,
        ids: Option<Vec<String>>,
    ) -> Result<(Arc<AccountList>, Option<value::Timestamp>), Problem> {
        let look = self.looks.look_at_all().await?;
        let key = (ids, look.directory_version);
        let ids = key.0.clone();
        let read = async {
            let _place = self.places.take(NO_ACCOUNT).await?;
            self.store.sync_topics(&[Topic::Directory]).await?;
            let read_at = Instant::now();
            let accounts = self.store.accounts(ids.as_deref()).await?;
            // Folding and sorting a hundred thousand names takes some time.
            let list = tokio::task::spawn_blocking(|| AccountList::new(accounts)).await;
            let list = Arc::new(list.map_err(|_| Problem::internal())?);
            Ok(Kept { list, read_at })
        };
        let kept = self.kept.try_get_with(key, read).await;
        let kept = kept.map_err(|problem: Arc<Problem>| (*problem).clone())?;
        Ok((kept.list, look.data_through))
    }
}

/// Reckoned from the reading.
struct AMinuteOld;

impl Expiry<Key, Kept> for AMinuteOld {
    fn expire_after_create(&self, _: &Key, kept: &Kept, created_at: Instant) -> Option<Duration> {
        Some((kept.read_at + AGE_MAX).saturating_duration_since(created_at))
    }
}
