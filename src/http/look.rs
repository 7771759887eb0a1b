//! Looks: the versions up to which accounts are counted, and the time of that, read anew where the
//! last look is too old.
//!
//! A look reads the progress of all sources first and that of the accounts afterwards. A flush
//! records the latter first, so the data of an account's version contains all that was counted by
//! the look's `data_through`. One look runs at a time: requests that arrive meanwhile share the
//! next one.
//!
//! A look is *aging* after a third of the time for which it is good. Whoever is answered from one
//! then may look ahead: questions about the account go on with the aging look until an answer by
//! the next one is there, so that those who ask again and again seldom wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::http::reply::problem::Problem;
use crate::report::value;
use crate::store::{AccountVersions, Store};
use crate::telemetry::http as telemetry;

/// The part of its time after which a look is aging, as a divisor. Answers that take longer than
/// the rest, some 170 ms by default, are waited for all the same.
const AGING_AFTER: u32 = 3;

/// Longest time for which a look ahead holds up others, unless a look is good for longer.
const LOOK_AHEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Accounts that one look asks for, at most.
const ACCOUNTS_MAX: usize = 256;

/// State of an account's counting at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When the look began.
    pub(super) began: Instant,
    /// The account's version on each topic.
    pub(super) versions: AccountVersions,
    /// Time by which everything up to these versions was counted.
    pub(super) data_through: Option<value::Timestamp>,
}

/// State of all accounts' counting at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookAtAll {
    began: Instant,
    /// Grows with each flush that changes the directory of any account.
    pub(super) directory_version: u64,
    /// Time by which everything up to this version was counted.
    pub(super) data_through: Option<value::Timestamp>,
}

/// The latest looks.
pub(super) struct Looks {
    store: Store,
    /// The Kafka topic whose progress is read.
    topic: String,
    /// Greatest age of a look for a question, from the look's beginning.
    age_max: Duration,
    /// Locked while a look runs.
    turn: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Accounts that are asked for.
    waiting: BTreeSet<String>,
    /// The latest look at each account, of those that are not too old.
    accounts: HashMap<String, Look>,
    /// Accounts that are to be looked at ahead.
    waiting_ahead: BTreeSet<String>,
    /// Looks that answers are being made by, and no question has been answered by yet.
    ahead: HashMap<String, Look>,
    /// The latest look at all accounts.
    all: Option<LookAtAll>,
    /// When the progress was read, and what it told.
    progress: Option<(Instant, Option<value::Timestamp>)>,
    /// The beginning of the latest look that failed, and why.
    failed: Option<(Instant, Problem)>,
}

impl Seen {
    fn publish(&mut self, account: &str, look: Look) {
        let is_later = |known: &Look| known.began < look.began;
        if self.accounts.get(account).is_none_or(is_later) {
            self.accounts.insert(account.to_owned(), look);
        }
        if self.ahead.get(account).is_some_and(|ahead| ahead.began <= look.began) {
            self.ahead.remove(account);
        }
    }
}

impl Looks {
    /// `age_max` is how old a look may be for a question.
    pub(super) fn new(store: Store, topic: String, age_max: Duration) -> Self {
        Self { store, topic, age_max, turn: tokio::sync::Mutex::default(), seen: Mutex::default() }
    }

    /// When a look becomes too old for questions.
    pub(super) fn good_until(&self, look: &Look) -> Instant {
        look.began + self.age_max
    }

    /// Whether the look is aging, and still good.
    pub(super) fn is_aging(&self, look: &Look) -> bool {
        (self.age_max / AGING_AFTER..self.age_max).contains(&look.began.elapsed())
    }

    /// Looks at the account for an answer that is made ahead. Questions go on with the look that
    /// they have until [`Self::publish`], or until it is too old. `None` where ClickHouse does not
    /// answer soon: whoever asks next is told.
    pub(super) async fn look_ahead(&self, account: &str) -> Option<Look> {
        let asked = Instant::now();
        let known = || {
            let seen = self.lock();
            let looks = [seen.ahead.get(account), seen.accounts.get(account)];
            let is_young = |look: &&Look| look.began + self.age_max / AGING_AFTER >= asked;
            looks.into_iter().flatten().find(is_young).copied()
        };
        if let Some(look) = known() {
            return Some(look);
        }
        self.lock().waiting_ahead.insert(account.to_owned());
        let _turn = self.turn.lock().await;
        // The look ahead that ended just now may have included this account.
        if let Some(look) = known() {
            return Some(look);
        }
        let accounts = take(&mut self.lock().waiting_ahead, account);
        let began = Instant::now();
        telemetry::looked();
        let limit = self.age_max.max(LOOK_AHEAD_TIMEOUT);
        let looked = tokio::time::timeout(limit, self.look_at(&accounts, began)).await;
        let found = looked.ok()?.ok()?;
        let mut seen = self.lock();
        seen.ahead.retain(|_, look| self.good_until(look) >= began);
        let look = found[0];
        seen.ahead.extend(accounts.into_iter().zip(found));
        Some(look)
    }

    /// Questions about the account are answered by this look from now on, unless there is a later
    /// one.
    pub(super) fn publish(&self, account: &str, look: Look) {
        self.lock().publish(account, look);
    }

    /// The account's state, by a look that began at most `http.look_max_age_ms` before this call.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub(super) async fn look(&self, account: &str) -> Result<Look, Problem> {
        let asked = Instant::now();
        if let Some(known) = self.known(account, asked) {
            return known;
        }
        self.lock().waiting.insert(account.to_owned());
        let _turn = self.turn.lock().await;
        // The look that ended just now may have included this account.
        if let Some(known) = self.known(account, asked) {
            self.lock().waiting.remove(account);
            return known;
        }
        let accounts = take(&mut self.lock().waiting, account);
        let began = Instant::now();
        telemetry::looked();
        let looked = self.look_at(&accounts, began).await;
        let mut seen = self.lock();
        seen.accounts.retain(|_, look| self.good_until(look) >= began);
        match looked {
            Ok(found) => {
                for (account, look) in accounts.iter().zip(&found) {
                    seen.publish(account, *look);
                }
                Ok(found[0])
            }
            Err(problem) => {
                seen.failed = Some((began, problem.clone()));
                Err(problem)
            }
        }
    }

    /// The same of all accounts.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub(super) async fn look_at_all(&self) -> Result<LookAtAll, Problem> {
        let asked = Instant::now();
        let known = || self.lock().all.filter(|look| look.began + self.age_max >= asked);
        if let Some(look) = known() {
            return Ok(look);
        }
        let _turn = self.turn.lock().await;
        if let Some(look) = known() {
            return Ok(look);
        }
        let began = Instant::now();
        telemetry::looked();
        // This has to be before the version is read.
        let data_through = self.progress_seen(began).await?;
        let directory_version = self.store.directories_version().await?;
        let look = LookAtAll { began, directory_version, data_through };
        self.lock().all = Some(look);
        Ok(look)
    }

    /// Looks at the accounts; answers in their order.
    async fn look_at(&self, accounts: &[String], began: Instant) -> Result<Vec<Look>, Problem> {
        // This has to be before the accounts are read.
        let data_through = self.progress_seen(began).await?;
        let versions = self.store.account_versions(accounts).await?;
        let look = |account: &String| {
            let versions = versions.get(account).copied().unwrap_or_default();
            Look { began, versions, data_through }
        };
        Ok(accounts.iter().map(look).collect())
    }

    /// Time by which everything was counted, read no longer ago than a look may be old.
    async fn progress_seen(&self, began: Instant) -> Result<Option<value::Timestamp>, Problem> {
        let known = self.lock().progress.filter(|(read, _)| *read + self.age_max >= began);
        if let Some((_, data_through)) = known {
            return Ok(data_through);
        }
        let data_through = self.store.flushed_through_ms(&self.topic).await?.map(value::Timestamp);
        self.lock().progress = Some((began, data_through));
        Ok(data_through)
    }

    /// What is known for a question of that moment; `None` where somebody has to look.
    fn known(&self, account: &str, asked: Instant) -> Option<Result<Look, Problem>> {
        let mut seen = self.lock();
        let is_good = |look: &&Look| self.good_until(look) >= asked;
        if let Some(look) = seen.accounts.get(account).filter(is_good) {
            return Some(Ok(*look));
        }
        if let Some(look) = seen.ahead.get(account).filter(is_good).copied() {
            seen.publish(account, look);
            return Some(Ok(look));
        }
        seen.failed
            .as_ref()
            .filter(|(began, _)| *began >= asked)
            .map(|(_, problem)| Err(problem.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // What is known is whole at any moment, also if a thread panicked that held it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account, and others that wait, which wait no longer.
fn take(waiting: &mut BTreeSet<String>, account: &str) -> Vec<String> {
    waiting.remove(account);
    let mut accounts = vec![account.to_owned()];
    while accounts.len() < ACCOUNTS_MAX
        && let Some(other) = waiting.pop_first()
    {
        accounts.push(other);
    }
    accounts
}
