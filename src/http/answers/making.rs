//! A report that is being made.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::core::calendar::Zone;
use crate::http::directory::KnownAccount;
use crate::http::places::Place;
use crate::http::usage_parts::{Basis, Dated, UsageParts};
use crate::report::id::AccountId;
use crate::report::tree::OrganizationTree;
use crate::store::{AccountVersions, Scope, Store};

/// A report that is being made. It holds one of the places for report queries.
pub(in crate::http) struct Making<'a> {
    pub(in crate::http) account: &'a AccountId,
    /// The account's zone of now.
    pub(in crate::http) zone: Zone,
    /// The instant that stands in for an `as_of` that was not given, milliseconds since 1970 UTC.
    pub(in crate::http) now_ms: i64,
    pub(super) store: &'a Store,
    pub(super) known: &'a KnownAccount,
    pub(super) versions: &'a AccountVersions,
    pub(super) parts: &'a UsageParts,
    /// When the oldest was read of what the report is made of, or before.
    pub(super) read_at: Mutex<Instant>,
    pub(super) _place: Place,
}

impl Making<'_> {
    pub(in crate::http) fn store(&self) -> &Store {
        self.store
    }

    /// Parts of the license usage that are kept.
    pub(in crate::http) fn parts(&self) -> &UsageParts {
        self.parts
    }

    /// The data that they are made from.
    pub(in crate::http) fn basis(&self) -> Basis<'_> {
        Basis {
            store: self.store,
            account: self.account,
            versions: self.versions,
            organizations: self.tree().len(),
        }
    }

    /// Takes figures into the report, which is as old as the oldest of them.
    pub(in crate::http) fn take<T>(&self, (figures, read_at): Dated<T>) -> T {
        let mut oldest = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        *oldest = read_at.min(*oldest);
        figures
    }

    /// When the oldest was read of what the report is made of, or before.
    pub(super) fn read_at(&self) -> Instant {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account's organizations.
    pub(in crate::http) fn tree(&self) -> &OrganizationTree {
        &self.known.tree
    }

    /// The organization with all below it, or the whole account.
    pub(in crate::http) fn scope(&self, organization: Option<&str>) -> Scope<'_> {
        organization.map_or(Scope::Account, |id| Scope::Organizations(self.tree().subtree(id)))
    }
}
