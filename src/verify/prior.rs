//! Facts from before what is read: of other sources, and of offsets that the log no longer holds.
//! A lane judges by them, so they are taken from the tables; the folds of their own sources verify
//! them, as far as they can be read.

use hashbrown::HashMap;
use tokio::runtime::Handle;

use super::scope::{FoldedSource, VerifiedScope};
use crate::core::id::Id;
use crate::core::load::{AccountExtent, Loaded, Missing};
use crate::core::rollup::Source;
use crate::store::{Store, StoreError};

/// Accounts of one load.
const LOAD_ACCOUNTS_MAX: usize = 1_000;

/// Facts by source and account.
type Facts = HashMap<(String, Id), Loaded>;

/// Facts that lanes judge by, by source and account.
pub struct Prior {
    store: Store,
    scope: VerifiedScope,
    runtime: Handle,
    facts: Facts,
}

impl Prior {
    /// Loads the facts that precede what is read, for each account that has such.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn load(store: Store, scope: VerifiedScope) -> Result<Self, StoreError> {
        let mut wanted: HashMap<String, (FoldedSource, Vec<Id>)> = HashMap::new();
        for (account, folded) in scope.preceded() {
            let name = folded.source.as_str().to_owned();
            let of_source = wanted.entry(name).or_insert_with(|| (folded.clone(), Vec::new()));
            of_source.1.push(Id::from_text(account));
        }
        let mut prior = Self { store, scope, runtime: Handle::current(), facts: HashMap::new() };
        for (folded, accounts) in wanted.into_values() {
            for chunk in accounts.chunks(LOAD_ACCOUNTS_MAX) {
                let missing = Missing { accounts: chunk.to_vec(), ..Missing::default() };
                let loaded = prior.store.load(&folded.source, &missing).await?;
                prior.share_out(&folded.source, loaded);
            }
        }
        Ok(prior)
    }

    /// The answer to what a fresh lane lacks: the facts that precede what is read, and nothing
    /// else. May wait for ClickHouse, where an account has very many seats; call it on a thread
    /// that may block.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn answer(&self, source: &Source, missing: &Missing) -> Result<Loaded, StoreError> {
        let mut answer = Loaded::default();
        for account in &missing.accounts {
            let found = self.facts.get(&(source.as_str().to_owned(), account.clone()));
            let extent = found.and_then(|loaded| loaded.extents.first());
            answer.extents.push(AccountExtent {
                account: account.clone(),
                has_all_seats: extent.is_none_or(|extent| extent.has_all_seats),
                last_counted: None,
            });
            if let Some(loaded) = found {
                answer.zone_facts.extend(loaded.zone_facts.iter().cloned());
                answer.plan_facts.extend(loaded.plan_facts.iter().cloned());
                answer.seat_facts.extend(loaded.seat_facts.iter().cloned());
            }
        }
        let knows = |account: &Id| {
            let found = self.facts.get(&(source.as_str().to_owned(), account.clone()));
            found
                .and_then(|loaded| loaded.extents.first())
                .is_none_or(|extent| extent.has_all_seats)
        };
        let users: Vec<(Id, Id)> =
            missing.users.iter().filter(|(account, _)| !knows(account)).cloned().collect();
        if !users.is_empty() {
            let wanted = Missing { users, ..Missing::default() };
            let loaded = self.runtime.block_on(self.store.load(source, &wanted))?;
            let is_prior = |fact: &crate::core::rollup::SeatFact| {
                let at = (&*fact.source, fact.offset);
                self.scope.is_prior(&fact.account.to_string(), source.as_str(), at)
            };
            answer.seat_facts.extend(loaded.seat_facts.into_iter().filter(is_prior));
        }
        Ok(answer)
    }

    /// Keeps what precedes, account by account.
    fn share_out(&mut self, source: &Source, loaded: Loaded) {
        let name = source.as_str();
        let Self { scope, facts, .. } = self;
        let is_prior = |account: &Id, source: &str, offset| {
            scope.is_prior(&account.to_string(), name, (source, offset))
        };
        for extent in loaded.extents {
            of(facts, name, &extent.account).extents.push(extent.clone());
        }
        for fact in loaded.zone_facts {
            if is_prior(&fact.account, &fact.source, fact.offset) {
                of(facts, name, &fact.account).zone_facts.push(fact.clone());
            }
        }
        for fact in loaded.plan_facts {
            if is_prior(&fact.account, &fact.source, fact.offset) {
                of(facts, name, &fact.account).plan_facts.push(fact.clone());
            }
        }
        for fact in loaded.seat_facts {
            if is_prior(&fact.account, &fact.source, fact.offset) {
                of(facts, name, &fact.account).seat_facts.push(fact.clone());
            }
        }
    }
}

/// The facts of one account.
fn of<'f>(facts: &'f mut Facts, source: &str, account: &Id) -> &'f mut Loaded {
    facts.entry((source.to_owned(), account.clone())).or_default()
}
