//! Answers to questions: a cached answer is sent at once, any other is made once for all requests
//! that wait for it.
//!
//! The key of a cached answer is the question and the data that it was made from: the local day
//! where the answer depends on the present, and the version of the account, which was read before
//! the report; that of its alerts too where the report lists them. So a key names its data, and no
//! answer is ever invalidated. An answer that time alone changes serves the questions of one
//! [look](super::look) only: its account has events in the future, or its filter depends on the
//! instant. Cached answers expire within a minute, so that a repair by hand shows.
//!
//! Who asks again and again seldom waits: a question that is answered from the cache by an aging
//! look has the next look made, and the answer by it if that is another one.

mod making;
mod report;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::Utc;
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

pub(super) use self::making::Making;
use self::report::NeverStreamed;
pub(super) use self::report::{Made, MadeOrTagged, Report, ReportKind, StreamableReport};
use super::directory::{AGE_MAX, Directory, KnownAccount};
use super::look::{Look, Looks};
use super::places::{Place, Places};
use super::reply::{self, Form};
use super::usage_parts::UsageParts;
use crate::core::calendar::{Day, day_of};
use crate::core::topics::Topic;
use crate::http::reply::problem::Problem;
use crate::report::id::AccountId;
use crate::report::period::Pinned;
use crate::report::value;
use crate::store::Store;
use crate::telemetry::http::{self as telemetry, AnsweredBy};

/// Bytes of answers that are cached, at most.
const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The largest answer that is cached whole, bytes; of a larger one the tag is.
const KEPT_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Overhead of a cached answer besides its texts, bytes, about.
const KEPT_OVERHEAD_BYTES: usize = 512;

/// Outcome of a question.
pub(super) enum Answered {
    /// The answer.
    Whole(Response),
    /// The answer is to be written as its rows come.
    Stream(Streaming),
}

/// An answer that is to be written as its rows come. It holds one of the places for exports.
pub(super) struct Streaming {
    pub(super) tag: String,
    pub(super) known: Arc<KnownAccount>,
    /// The instant that stands in for an `as_of` that was not given, milliseconds since 1970 UTC.
    pub(super) now_ms: i64,
    pub(super) data_through: Option<value::Timestamp>,
    pub(super) place: Place,
}

/// Key of a cached answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    kind: ReportKind,
    /// Form and parameters.
    asked: String,
    moment: Moment,
    /// The version of each topic of the report, and that of the alerts where it lists them.
    versions: Vec<u64>,
}

/// Time that an answer depends on, besides question and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Moment {
    /// Nothing.
    Any,
    /// The local day: buckets, whole days and quota months begin and end at midnight, and nothing
    /// happens later.
    Day(Day),
    /// The instant; it is that of the first question after the look.
    Look(Instant),
}

/// An answer that is cached.
#[derive(Clone)]
struct Kept {
    tag: Arc<str>,
    body: Body,
    expires_at: Instant,
    /// Beginning of the latest look after which the answer was asked for ahead.
    renewed: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
enum Body {
    /// The report without `data_through`.
    Whole(Bytes),
    /// It was too large to be cached.
    TooLarge,
    /// It is written as its rows come.
    Streamed,
}

/// Answers questions, and caches the answers.
pub(super) struct Answers {
    store: Store,
    looks: Arc<Looks>,
    directory: Directory,
    /// Places for report queries.
    reports: Places,
    /// Places for streamed answers.
    exports: Places,
    kept: Cache<Key, Kept>,
    parts: UsageParts,
    /// Time limit of an answer that is made ahead, as of one that somebody waits for.
    request_timeout: Duration,
}

struct UntilExpired;

impl Expiry<Key, Kept> for UntilExpired {
    fn expire_after_create(&self, _: &Key, kept: &Kept, created_at: Instant) -> Option<Duration> {
        Some(kept.expires_at.saturating_duration_since(created_at))
    }
}

impl Answers {
    /// Reports are read from the store, each in one of the places for them; streamed answers take
    /// one of those for exports instead, since a reader may be slow, and holds up no report
    /// meanwhile.
    pub(super) fn new(
        store: Store,
        looks: Arc<Looks>,
        reports: Places,
        exports: Places,
        request_timeout: Duration,
    ) -> Self {
        // The least recently used goes first: by default a cache that is full would turn new
        // answers away instead.
        let kept = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .weigher(weight)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilExpired)
            .build();
        let directory = Directory::new(store.clone(), reports.clone());
        let parts = UsageParts::new();
        Self { store, looks, directory, reports, exports, kept, parts, request_timeout }
    }

    /// Sets the metrics of the places.
    pub(super) fn tell_places(&self) {
        for (kind, places) in [("report", &self.reports), ("export", &self.exports)] {
            let (taken, waiting) = places.taken_and_waiting();
            telemetry::places(kind, taken, waiting);
        }
    }

    /// Answers a question whose answer is never streamed.
    ///
    /// # Errors
    /// Where the account is unknown, the report cannot be made, or no place came free in time.
    pub(super) async fn whole<R: Report>(
        self: &Arc<Self>,
        headers: &HeaderMap,
        account: &AccountId,
        report: R,
    ) -> Result<Response, Problem> {
        let report = Arc::new(NeverStreamed(report));
        let found = self.find(account, &*report).await?;
        self.renew_ahead(&found, &report);
        let NeverStreamed(report) = &*report;
        if let Some(response) = found.not_modified(headers) {
            return Ok(response);
        }
        let bytes = match found.bytes.clone() {
            Some(bytes) => bytes,
            None => report.make(&self.making(&found.asked).await?).await?.bytes()?,
        };
        found.reply(headers, report.form(), &bytes)
    }

    /// Answers a question whose answer may be streamed.
    ///
    /// # Errors
    /// As of [`Self::whole`].
    pub(super) async fn answer<R: StreamableReport>(
        self: &Arc<Self>,
        headers: &HeaderMap,
        account: &AccountId,
        report: &Arc<R>,
    ) -> Result<Answered, Problem> {
        let found = self.find(account, &**report).await?;
        self.renew_ahead(&found, report);
        if let Some(response) = found.not_modified(headers) {
            return Ok(Answered::Whole(response));
        }
        let bytes = match found.bytes.clone() {
            Some(bytes) => bytes,
            None if found.is_streamed => {
                return self.streaming(found.asked, found.tag).await.map(Answered::Stream);
            }
            None => {
                match report.make(&self.making(&found.asked).await?).await? {
                    MadeOrTagged::Made(made) => made.bytes()?,
                    // It has grown meanwhile.
                    MadeOrTagged::Tagged(tag) => {
                        let streaming = self.streaming(found.asked, tag.into()).await;
                        return streaming.map(Answered::Stream);
                    }
                }
            }
        };
        found.reply(headers, report.form(), &bytes).map(Answered::Whole)
    }

    /// The kept answer to the question; where there is none, the report is made and kept.
    async fn find<'a, R: StreamableReport>(
        &self,
        account: &'a AccountId,
        report: &R,
    ) -> Result<Found<'a>, Problem> {
        let look = self.looks.look(account).await?;
        self.find_by(look, account, report).await
    }

    /// The same by this look.
    async fn find_by<'a, R: StreamableReport>(
        &self,
        look: Look,
        account: &'a AccountId,
        report: &R,
    ) -> Result<Found<'a>, Problem> {
        let asked = self.asked(look, account, R::KIND, report.pinned()).await?;
        // Of one that was made right now, and is too large to be cached.
        let mut unkept = None;
        let mut by = AnsweredBy::Kept;
        let key = asked.key(format!("{:?} {report:?}", report.form()));
        let make = async {
            by = AnsweredBy::Made;
            let making = self.making(&asked).await?;
            let made = report.make(&making).await?;
            let expires_at = self.expiry(&asked, &making);
            let (tag, body) = match made {
                MadeOrTagged::Tagged(tag) => (tag, Body::Streamed),
                MadeOrTagged::Made(made) => {
                    let bytes = made.bytes()?;
                    let tag = reply::entity_tag(&bytes);
                    if bytes.len() > KEPT_ANSWER_BYTES_MAX {
                        unkept = Some(bytes);
                        (tag, Body::TooLarge)
                    } else {
                        (tag, Body::Whole(bytes))
                    }
                }
            };
            Ok(Kept { tag: tag.into(), body, expires_at, renewed: Arc::default() })
        };
        let kept = self.kept.try_get_with(key, make).await;
        let Kept { tag, body, renewed, .. } =
            kept.map_err(|problem: Arc<Problem>| (*problem).clone())?;
        let is_streamed = matches!(body, Body::Streamed);
        let bytes = if let Body::Whole(bytes) = body { Some(bytes) } else { unkept };
        Ok(Found { asked, tag, bytes, is_streamed, by, renewed })
    }

    /// Where a cached answer is given by an aging look, looks ahead, and makes the answer by that
    /// look: once for each look, and beside the question, which does not wait.
    ///
    /// Not where nobody has asked before, nor while questions wait for a place, nor for what is not
    /// cached whole: that is too costly to be made for nobody. An answer that belongs to its look
    /// is another one after each look.
    fn renew_ahead<R: StreamableReport>(self: &Arc<Self>, found: &Found<'_>, report: &Arc<R>) {
        let Found { asked: Asked { account, look, moment, .. }, bytes, by, renewed, .. } = found;
        let is_asked_again = matches!(by, AnsweredBy::Kept) && bytes.is_some();
        if !is_asked_again || matches!(moment, Moment::Look(_)) || !self.looks.is_aging(look) {
            return;
        }
        let latest = renewed.lock().unwrap_or_else(PoisonError::into_inner).replace(look.began);
        if latest == Some(look.began) || self.reports.are_waited_for() {
            return;
        }
        let (answers, report) = (Arc::clone(self), Arc::clone(report));
        let account = AccountId::clone(account);
        let renewing = async move {
            let Some(look) = answers.looks.look_ahead(&account).await else { return };
            if answers.reports.are_waited_for() {
                return;
            }
            // Whoever asks next meets the same error, and is told.
            let Ok(found) = answers.find_by(look, &account, &*report).await else { return };
            if matches!(found.by, AnsweredBy::Made) {
                telemetry::answered(AnsweredBy::Ahead);
            }
            answers.looks.publish(&account, look);
        };
        tokio::spawn(tokio::time::timeout(self.request_timeout, renewing));
    }

    async fn asked<'a>(
        &self,
        look: Look,
        account: &'a AccountId,
        kind: ReportKind,
        pinned: Pinned,
    ) -> Result<Asked<'a>, Problem> {
        let known = self.directory.known(account, &look.versions).await?;
        // After the look: what it knows of and lies before now has happened.
        let now_ms = Utc::now().timestamp_millis();
        let latest_ms = kind.topics().iter().map(|&topic| look.versions.of(topic).latest_ms).max();
        let moment = match pinned {
            Pinned::Always => Moment::Any,
            Pinned::ToDay if latest_ms < Some(now_ms) => Moment::Day(day_of(known.zone, now_ms)),
            Pinned::ToDay | Pinned::Never => Moment::Look(look.began),
        };
        let alerts =
            if kind.lists_alerts() { Some(self.alerts_version(account).await?) } else { None };
        Ok(Asked { account, kind, look, known, now_ms, moment, alerts })
    }

    /// The version of the account's alerts. Nothing else tells of them, so each question asks.
    async fn alerts_version(&self, account: &AccountId) -> Result<u64, Problem> {
        let _place = self.reports.take(account).await?;
        Ok(self.store.alerts_version(account).await?)
    }

    /// Takes a place for the report, and makes sure that what the look told of can be read.
    async fn making<'a>(&'a self, asked: &'a Asked<'_>) -> Result<Making<'a>, Problem> {
        let place = self.reports.take(asked.account).await?;
        self.store.sync_topics(asked.kind.topics()).await?;
        Ok(Making {
            account: asked.account,
            zone: asked.known.zone,
            now_ms: asked.now_ms,
            store: &self.store,
            known: &asked.known,
            versions: &asked.look.versions,
            parts: &self.parts,
            // What is known of the account was read before the report.
            read_at: Mutex::new(asked.known.read_at),
            _place: place,
        })
    }

    /// When an answer to the question expires.
    fn expiry(&self, asked: &Asked<'_>, making: &Making<'_>) -> Instant {
        match asked.moment {
            Moment::Any | Moment::Day(_) => making.read_at() + AGE_MAX,
            Moment::Look(_) => self.looks.good_until(&asked.look),
        }
    }

    async fn streaming(&self, asked: Asked<'_>, tag: Arc<str>) -> Result<Streaming, Problem> {
        Ok(Streaming {
            tag: tag.to_string(),
            place: self.exports.take(asked.account).await?,
            known: asked.known,
            now_ms: asked.now_ms,
            data_through: asked.look.data_through,
        })
    }
}

fn weight(key: &Key, kept: &Kept) -> u32 {
    let body = if let Body::Whole(bytes) = &kept.body { bytes.len() } else { 0 };
    let bytes = KEPT_OVERHEAD_BYTES + key.account.len() + key.asked.len() + kept.tag.len() + body;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A question, and the state of its account.
struct Asked<'a> {
    account: &'a AccountId,
    kind: ReportKind,
    look: Look,
    known: Arc<KnownAccount>,
    now_ms: i64,
    moment: Moment,
    /// The version of the alerts, where the report lists them.
    alerts: Option<u64>,
}

impl Asked<'_> {
    /// `asked` is the text of form and parameters.
    fn key(&self, asked: String) -> Key {
        let version = |&topic: &Topic| self.look.versions.of(topic).version;
        Key {
            account: self.account.clone(),
            kind: self.kind,
            asked,
            moment: self.moment,
            versions: self.kind.topics().iter().map(version).chain(self.alerts).collect(),
        }
    }
}

/// An answer that was cached, or was just made.
struct Found<'a> {
    asked: Asked<'a>,
    tag: Arc<str>,
    /// `None` where they are too many to be cached and were not made just now, or where the answer
    /// is streamed.
    bytes: Option<Bytes>,
    is_streamed: bool,
    by: AnsweredBy,
    /// As of [`Kept`].
    renewed: Arc<Mutex<Option<Instant>>>,
}

impl Found<'_> {
    /// 304, where the caller has the answer already.
    fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let is_known = reply::is_known(headers, &self.tag);
        // Whatever is not at hand has to be made, or read anew as it is written.
        telemetry::answered(match &self.bytes {
            _ if is_known => AnsweredBy::NotModified,
            Some(_) => self.by,
            None => AnsweredBy::Made,
        });
        is_known.then(|| reply::not_modified(&self.tag))
    }

    fn reply(&self, headers: &HeaderMap, form: Form, bytes: &[u8]) -> Result<Response, Problem> {
        let Asked { known, look, now_ms, .. } = &self.asked;
        let today = day_of(known.zone, *now_ms);
        reply::whole(headers, form, today, &self.tag, bytes, look.data_through)
    }
}
