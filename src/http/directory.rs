//! Cached zones and organizations of accounts, which each report needs. Their key contains the
//! version of the account's directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::places::Places;
use crate::core::calendar::Zone;
use crate::core::topics::Topic;
use crate::http::reply::problem::Problem;
use crate::report::tree::OrganizationTree;
use crate::store::{AccountDirectory, AccountVersions, Store};

/// Greatest age of the data of an answer.
pub(super) const AGE_MAX: Duration = Duration::from_secs(60);
/// Bytes that are cached, at most.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Overhead of a cached one besides its texts, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 256;

/// An account: its zone and organizations.
#[derive(Debug)]
pub(super) struct KnownAccount {
    pub(super) zone: Zone,
    pub(super) tree: OrganizationTree,
    /// When it was read, or before.
    pub(super) read_at: Instant,
}

/// Account and version of its directory.
type Key = (String, u64);

/// The directory of accounts.
pub(super) struct Directory {
    store: Store,
    /// Places for report queries.
    places: Places,
    accounts: Cache<Key, Arc<KnownAccount>>,
}

impl Directory {
    /// Each reading takes one of the places.
    pub(super) fn new(store: Store, places: Places) -> Self {
        let accounts = Cache::builder()
            .weigher(|(account, _): &Key, known: &Arc<KnownAccount>| {
                u32::try_from(KEPT_OVERHEAD_BYTES + account.len() + known.tree.bytes())
                    .unwrap_or(u32::MAX)
            })
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AMinuteOld)
            .build();
        Self { store, places, accounts }
    }

    /// The account. Its versions were read before.
    ///
    /// # Errors
    /// Where no event has named the account, ClickHouse cannot be asked, or no place came free in
    /// time.
    pub(super) async fn known(
        &self,
        account: &str,
        versions: &AccountVersions,
    ) -> Result<Arc<KnownAccount>, Problem> {
        let key = (account.to_owned(), versions.of(Topic::Directory).version);
        let read = async {
            let _place = self.places.take(account).await?;
            self.store.sync_topics(&[Topic::Directory]).await?;
            let read_at = Instant::now();
            let directory = self.store.account_directory(account).await?;
            let directory =
                directory.ok_or_else(|| Problem::not_found("No event has named this account."))?;
            let AccountDirectory { zone, tree } = directory;
            Ok(Arc::new(KnownAccount { zone, tree, read_at }))
        };
        self.accounts
            .try_get_with(key, read)
            .await
            .map_err(|problem: Arc<Problem>| (*problem).clone())
    }
}

/// Reckoned from the reading.
struct AMinuteOld;

impl Expiry<Key, Arc<KnownAccount>> for AMinuteOld {
    fn expire_after_create(
        &self,
        _: &Key,
        known: &Arc<KnownAccount>,
        created_at: Instant,
    ) -> Option<Duration> {
        Some((known.read_at + AGE_MAX).saturating_duration_since(created_at))
    }
}
