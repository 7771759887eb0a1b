//! Polls: a report is made once for all who ask for it while nothing of its account changes.
//!
//! The account's version is read before the data, and an answer is kept under it. A later question is answered from what
//! is kept only if the version, read after the question came in, is still the same: so no answer is older than its
//! question, however far a flush has come, and whichever process writes it. Where the embedded engine tells that nothing
//! was written meanwhile, the version holds [without being read again](super::quiet). An answer as of now is kept for as long as
//! moving on changes nothing: until the next local midnight, and only if no fact lies ahead.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::OwnedMutexGuard;

use super::activity::{RangeCache, RecentActivity};
use super::listing::ListingCache;
use super::recent::TouchedSeat;
use super::seats::{SeatChanges, SeatsCache};
use super::tracked::{ACCOUNTS_MAX, Tracked, Version};
use super::tree::TreeCache;
use super::usage::UsageCache;
use super::watch::Watch;
use crate::core::calendar::Day;
use crate::report::subject::AccountContext;
use crate::report::value;
use crate::store::{Activity, Store, StoreError, TableGroup};

/// Bytes of answers that are kept, at most.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest answer that is kept whole, bytes; of a larger one the tag is.
const KEPT_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What keeping an answer costs besides its texts, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 512;
/// Questions that are remembered for their turns, about.
const FLIGHTS_MAX: usize = 10_000;
/// Accounts whose new activity is read as it comes, at most.
const FOLLOWED_MAX: usize = 100;

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReportKind {
    History,
    Usage,
    Assignments,
    Organizations,
    Quota,
    TestActivity,
}

impl ReportKind {
    /// What it is made of besides the directory, which every report reads.
    pub(super) fn reads(self) -> &'static [TableGroup] {
        match self {
            Self::History | Self::Assignments => &[TableGroup::Seats],
            Self::Usage => &[TableGroup::Seats, TableGroup::ActiveUsers],
            Self::Organizations => &[],
            Self::Quota | Self::TestActivity => &[TableGroup::Tests],
        }
    }
}

/// A report as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) account: String,
    pub(super) kind: ReportKind,
    /// All else that decides what is in it besides the data and the moment.
    pub(super) what: String,
}

/// What an answer depends on besides the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing.
    Any,
    /// The local day, and what had happened before now.
    Now {
        /// The moment, milliseconds since 1970 UTC.
        now_ms: i64,
        /// The end of its local day.
        day_end_ms: i64,
    },
}

/// An answer that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) tag: String,
    /// The report without `data_through`; `None` where it was too large.
    pub(super) report: Option<Bytes>,
    version: u64,
    moment: Moment,
}

/// When the parts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    IfWritten,
    InAnyCase,
}

/// Versions of accounts, and the answers that are kept.
pub(super) struct Polls {
    /// How many questions have asked for a version.
    asked: AtomicU64,
    tracked: tokio::sync::Mutex<Tracked>,
    kept: Mutex<KeptAnswers>,
    pub(super) usage: UsageCache,
    pub(super) ranges: RangeCache,
    pub(super) seats: SeatsCache,
    pub(super) trees: TreeCache,
    pub(super) watch: Watch,
    pub(super) listings: ListingCache,
}

#[derive(Default)]
struct KeptAnswers {
    answers: HashMap<Question, (u64, Kept)>,
    /// Questions by their last use.
    used: BTreeMap<u64, Question>,
    clock: u64,
    bytes: usize,
    /// Questions whose answer is being made.
    flights: HashMap<Question, Arc<tokio::sync::Mutex<()>>>,
}

impl Polls {
    pub(super) fn new() -> Self {
        Self {
            asked: AtomicU64::new(0),
            tracked: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            usage: UsageCache::default(),
            ranges: RangeCache::default(),
            seats: SeatsCache::default(),
            trees: TreeCache::default(),
            watch: Watch::default(),
            listings: ListingCache::default(),
        }
    }

    /// How the account stands now for a report; `None` where it cannot be told, and nothing may be kept.
    pub(super) async fn version(&self, store: &Store, account: &str, kind: ReportKind) -> Option<Version> {
        let tracked = self.up_to_date(store, Look::IfWritten).await?;
        Some(tracked.version(account, kind))
    }

    /// Looks for changes, also for those that the engine has made by itself, for whoever asks next.
    pub(super) async fn look(&self, store: &Store) {
        drop(self.up_to_date(store, Look::InAnyCase).await);
    }

    async fn up_to_date(&self, store: &Store, look: Look) -> Option<tokio::sync::MutexGuard<'_, Tracked>> {
        if !store.tells_changes() {
            return None;
        }
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut tracked = self.tracked.lock().await;
        if tracked.asked >= ticket && look == Look::IfWritten {
            return Some(tracked);
        }
        // All who have asked by now share this reading, which begins after they did.
        let asked = self.asked.load(Ordering::SeqCst);
        // This has to be after they did, and before the parts are listed.
        let (now, writes) = (Instant::now(), store.writes().await);
        if look == Look::InAnyCase || !tracked.quiet.holds(writes.as_ref(), now) {
            tracked.quiet.forget();
            if let Err(error) = tracked.refresh(store).await {
                // The report says so too if ClickHouse is away. Else our user may not look at system.parts.
                tracing::debug!(%error, "which accounts have changed cannot be told");
                return None;
            }
            tracked.quiet.listed(writes, now);
        }
        tracked.asked = asked;
        Some(tracked)
    }

    /// For each range of days, the latest version at which activity on any of them was counted, as of now.
    pub(super) async fn active_days(&self, account: &str, ranges: &[(Day, Day)]) -> Vec<u64> {
        let tracked = self.tracked.lock().await;
        let days = tracked.active_days.get(account);
        let version = |&(first, last): &(Day, Day)| {
            let within = days.into_iter().flatten().filter(|(day, _)| (first..=last).contains(day));
            within.map(|(_, version)| *version).fold(tracked.everything, u64::max)
        };
        ranges.iter().map(version).collect()
    }

    /// From when on the seats of the account have changed, as of now. The account is followed row by row from now on.
    pub(super) async fn seat_changes(&self, account: &str) -> SeatChanges {
        let mut tracked = self.tracked.lock().await;
        tracked.recent_seats(account);
        if let Some(known) = tracked.seat_changes.get(account) {
            return known.clone();
        }
        let unknown = SeatChanges::since(tracked.latest(account, &[TableGroup::Seats]));
        if tracked.seat_changes.len() < ACCOUNTS_MAX {
            tracked.seat_changes.insert(account.to_owned(), unknown.clone());
        }
        unknown
    }

    /// The seats of the account that were touched after the given version, where they are known.
    pub(super) async fn touched_seats(&self, account: &str, version: u64) -> Option<Vec<TouchedSeat>> {
        self.tracked.lock().await.recent_seats(account).after(version)
    }

    /// The version of now, and the activity of the account that came after the given one, where that is known. The account
    /// is followed from now on.
    pub(super) async fn recent_activity(&self, account: &str, version: u64) -> (u64, Option<Vec<Arc<Activity>>>) {
        let mut tracked = self.tracked.lock().await;
        let clock = tracked.clock;
        if let Some(recent) = tracked.activity.get(account) {
            return (clock, recent.after(version));
        }
        if tracked.activity.len() >= FOLLOWED_MAX {
            tracked.activity.clear();
        }
        let recent = RecentActivity::since(tracked.latest(account, &[TableGroup::ActiveUsers]));
        let after = recent.after(version);
        tracked.activity.insert(account.to_owned(), recent);
        (clock, after)
    }

    /// When the data was complete, if it is known for this version.
    pub(super) async fn data_through(&self, version: Version) -> Option<Option<value::Instant>> {
        let tracked = self.tracked.lock().await;
        tracked.data_through.filter(|(progress, _)| *progress >= version.progress).map(|(_, known)| known)
    }

    /// Keeps when the data was complete. It was read after the version.
    pub(super) async fn keep_data_through(&self, version: Version, data_through: Option<value::Instant>) {
        let mut tracked = self.tracked.lock().await;
        if tracked.data_through.is_none_or(|(progress, _)| progress < version.progress) {
            tracked.data_through = Some((version.progress, data_through));
        }
    }

    /// Whether anything of the account happens at or after the instant, as far as the version knows.
    pub(super) async fn is_settled(
        &self,
        store: &Store,
        question: &Question,
        version: Version,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let account = question.account.as_str();
        let known = self.tracked.lock().await.latest_ms.get(account).copied();
        let latest_ms = match known {
            Some(latest_ms) => latest_ms,
            None => {
                let latest_ms = store.latest_ms(account).await?;
                let mut tracked = self.tracked.lock().await;
                // A change that came in meanwhile may or may not be in it.
                if tracked.version(account, question.kind).account == version.account
                    && tracked.latest_ms.len() < ACCOUNTS_MAX
                {
                    tracked.latest_ms.insert(account.to_owned(), latest_ms);
                }
                latest_ms
            }
        };
        Ok(latest_ms < now_ms)
    }

    /// The answer to the question, if one is kept that is no older than the version, and as good as one of now.
    pub(super) fn kept(&self, question: &Question, version: Version, now_ms: i64) -> Option<Kept> {
        let mut kept = self.kept_answers();
        kept.clock += 1;
        let clock = kept.clock;
        let (used, answer) = kept.answers.get_mut(question)?;
        if answer.version < version.report || !answer.moment.holds(now_ms) {
            return None;
        }
        let before = std::mem::replace(used, clock);
        let answer = answer.clone();
        kept.used.remove(&before);
        kept.used.insert(clock, question.clone());
        Some(answer)
    }

    /// Keeps an answer whose data was read after the version.
    pub(super) fn keep(&self, question: Question, version: Version, moment: Moment, tag: &str, report: Option<Bytes>) {
        let report = report.filter(|report| report.len() <= KEPT_ANSWER_BYTES_MAX);
        let answer = Kept { tag: tag.to_owned(), report, version: version.report, moment };
        let mut kept = self.kept_answers();
        if kept.answers.get(&question).is_some_and(|(_, other)| other.version > answer.version) {
            return;
        }
        kept.drop_answer(&question);
        kept.clock += 1;
        let clock = kept.clock;
        kept.bytes += bytes_of(&question, &answer);
        kept.used.insert(clock, question.clone());
        kept.answers.insert(question, (clock, answer));
        while kept.bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = kept.used.pop_first()
        {
            kept.drop_answer(&oldest);
        }
    }

    /// Waits until nobody else makes an answer to the question; meanwhile one may have been kept. True if there was anybody.
    pub(super) async fn turn(&self, question: &Question) -> (OwnedMutexGuard<()>, bool) {
        let flight = {
            let mut kept = self.kept_answers();
            if kept.flights.len() > FLIGHTS_MAX {
                kept.flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            }
            Arc::clone(kept.flights.entry(question.clone()).or_default())
        };
        match Arc::clone(&flight).try_lock_owned() {
            Ok(turn) => (turn, false),
            Err(_) => (flight.lock_owned().await, true),
        }
    }

    /// What is known of the account, if it is known for this version.
    pub(super) async fn account(&self, account: &str, version: Version) -> Option<AccountContext> {
        let tracked = self.tracked.lock().await;
        let (known, context) = tracked.contexts.get(account)?;
        (*known >= version.directory).then_some(*context)
    }

    /// Keeps what is known of the account. It was read after the version.
    pub(super) async fn keep_account(&self, account: &str, version: Version, context: AccountContext) {
        let mut tracked = self.tracked.lock().await;
        if tracked.contexts.len() >= ACCOUNTS_MAX {
            tracked.contexts.clear();
        }
        let known = tracked.contexts.entry(account.to_owned()).or_insert((version.directory, context));
        if known.0 <= version.directory {
            *known = (version.directory, context);
        }
    }

    fn kept_answers(&self) -> std::sync::MutexGuard<'_, KeptAnswers> {
        // What is kept is whole at any moment, also if a thread panicked that held it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptAnswers {
    fn drop_answer(&mut self, question: &Question) {
        if let Some((used, answer)) = self.answers.remove(question) {
            self.used.remove(&used);
            self.bytes -= bytes_of(question, &answer);
        }
    }
}

impl Moment {
    fn holds(self, now_ms: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Now { now_ms: made_ms, day_end_ms } => (made_ms..day_end_ms).contains(&now_ms),
        }
    }
}

fn bytes_of(question: &Question, answer: &Kept) -> usize {
    let texts = 2 * (question.account.len() + question.what.len()) + answer.tag.len();
    KEPT_OVERHEAD_BYTES + texts + answer.report.as_ref().map_or(0, Bytes::len)
}
