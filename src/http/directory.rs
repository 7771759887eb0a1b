//! What reports need to know of an account before they are made, kept under the version of the account's directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::answers::AGE_MAX;
use super::problem::Problem;
use super::state::ApiState;
use crate::core::calendar::Zone;
use crate::core::topics::Topic;
use crate::store::AccountVersions;

/// Bytes of each kind that are kept, at most.
const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What keeping one costs besides its texts, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 256;

/// What is known of an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) zone: Zone,
    /// When it was read, or before.
    pub(super) read_at: Instant,
}

/// The direct children of an organization, or the top-level organizations of an account.
#[derive(Debug)]
pub(super) struct Children {
    /// Ascending.
    pub(super) ids: Vec<String>,
    /// When they were read, or before.
    pub(super) read_at: Instant,
}

/// Account and version of its directory.
type AccountKey = (String, u64);

/// Account, organization, and version of the account's directory.
type ChildrenKey = (String, Option<String>, u64);

/// What is kept.
pub(super) struct Directory {
    contexts: Cache<AccountKey, Context>,
    children: Cache<ChildrenKey, Arc<Children>>,
}

impl Directory {
    pub(super) fn new() -> Self {
        let contexts = Cache::builder()
            .weigher(|(account, _): &AccountKey, _: &Context| weight([account]))
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AMinuteOld)
            .build();
        let children = Cache::builder()
            .weigher(|(account, organization, _): &ChildrenKey, children: &Arc<Children>| {
                weight(children.ids.iter().chain(organization).chain([account]))
            })
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AMinuteOld)
            .build();
        Self { contexts, children }
    }
}

fn weight<'a>(texts: impl IntoIterator<Item = &'a String>) -> u32 {
    let bytes: usize = texts.into_iter().map(|text| text.len() + size_of::<String>()).sum();
    u32::try_from(KEPT_OVERHEAD_BYTES + bytes).unwrap_or(u32::MAX)
}

/// Reckoned from the reading.
struct AMinuteOld;

impl Expiry<AccountKey, Context> for AMinuteOld {
    fn expire_after_create(&self, _: &AccountKey, context: &Context, created_at: Instant) -> Option<Duration> {
        Some((context.read_at + AGE_MAX).saturating_duration_since(created_at))
    }
}

impl Expiry<ChildrenKey, Arc<Children>> for AMinuteOld {
    fn expire_after_create(&self, _: &ChildrenKey, children: &Arc<Children>, created_at: Instant) -> Option<Duration> {
        Some((children.read_at + AGE_MAX).saturating_duration_since(created_at))
    }
}

impl ApiState {
    /// What is known of the account. Its versions were read before.
    ///
    /// # Errors
    /// Where no event has named the account, ClickHouse cannot be asked, or no place came free in time.
    pub(super) async fn context(&self, account: &str, versions: &AccountVersions) -> Result<Context, Problem> {
        let key = (account.to_owned(), versions.of(Topic::Directory).version);
        let read = async {
            let _place = self.begin_report(account).await?;
            self.store().sync_topics(&[Topic::Directory]).await?;
            let read_at = Instant::now();
            let context = self.store().account_context(account).await?;
            let context = context.ok_or_else(|| Problem::not_found("No event has named this account."))?;
            Ok(Context { zone: context.zone, read_at })
        };
        self.directory().contexts.try_get_with(key, read).await.map_err(|problem: Arc<Problem>| (*problem).clone())
    }

    /// The direct children of the organization, or the top-level organizations of the account. The versions were read before,
    /// and the caller holds a place.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub(super) async fn children(
        &self,
        account: &str,
        organization: Option<&str>,
        versions: &AccountVersions,
    ) -> Result<Arc<Children>, Problem> {
        let version = versions.of(Topic::Directory).version;
        let key = (account.to_owned(), organization.map(str::to_owned), version);
        let read = async {
            let read_at = Instant::now();
            let mut ids = self.store().child_organizations(account, organization).await?;
            ids.sort_unstable();
            Ok(Arc::new(Children { ids, read_at }))
        };
        self.directory().children.try_get_with(key, read).await.map_err(|problem: Arc<Problem>| (*problem).clone())
    }
}
