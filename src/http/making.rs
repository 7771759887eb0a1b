//! From a question to its answer: what is kept is answered at once, anything else is made, one at a time.

use axum::http::HeaderMap;
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;
use tokio::sync::OwnedMutexGuard;

use super::places::Place;
use super::poll::{Kept, Moment, Question, ReportKind};
use super::problem::Problem;
use super::reply::{self, Form};
use super::state::{ApiState, Context, Report};
use super::tracked::Version;
use crate::core::calendar::day_window_of;
use crate::report::csv::Table;
use crate::report::period::Pinned;

/// The largest answer that is sent whole, bytes; larger ones are streamed or refused.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a poll comes to.
pub(super) enum Poll {
    /// It is answered by what was kept.
    Answered(Response),
    /// The report is to be made.
    Make(Box<Making>),
}

/// A report that is being made.
pub(super) struct Making {
    pub(super) context: Context,
    /// The instant that stands in for an `as_of` that was not given, milliseconds since 1970 UTC.
    pub(super) now_ms: i64,
    state: ApiState,
    question: Question,
    pinned: Pinned,
    form: Form,
    /// Of the account, read before anything else; `None` where nothing may be kept.
    version: Option<Version>,
    report: Report,
    /// Others who ask the same wait for it.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl ApiState {
    /// Answers the question by what is kept, or takes a place among the report queries to make the report. `what` names
    /// all that decides what is in it.
    pub(super) async fn poll(
        &self,
        headers: &HeaderMap,
        account: &str,
        kind: ReportKind,
        what: String,
        pinned: Pinned,
        form: Form,
    ) -> Result<Poll, Problem> {
        let question = Question { account: account.to_owned(), kind, what: format!("{form:?} {what}") };
        let mut version = match pinned {
            Pinned::Never => None,
            Pinned::ToDay | Pinned::Always => self.polls().version(self.store(), account, kind).await,
        };
        self.watch();
        let mut turn = None;
        if let Some(asked) = version {
            if let Some(response) = self.kept(headers, &question, asked, form).await? {
                return Ok(Poll::Answered(response));
            }
            let (own, has_waited) = self.polls().turn(&question).await;
            turn = Some(own);
            // Whoever had the turn before may have made it since.
            if let Some(response) = self.kept(headers, &question, asked, form).await? {
                return Ok(Poll::Answered(response));
            }
            if has_waited {
                // What is made now is good for all who ask by now, not only for those who asked when this one did.
                version = self.polls().version(self.store(), account, kind).await;
            }
        }
        let report = self.begin_report(account).await?;
        let context = self.context(account, version).await?;
        let (state, now_ms) = (self.clone(), report.now_ms);
        Ok(Poll::Make(Box::new(Making {
            context,
            now_ms,
            state,
            question,
            pinned,
            form,
            version,
            report,
            _turn: turn,
        })))
    }

    async fn kept(
        &self,
        headers: &HeaderMap,
        question: &Question,
        version: Version,
        form: Form,
    ) -> Result<Option<Response>, Problem> {
        let Some(Kept { tag, report, .. }) = self.polls().kept(question, version, Utc::now().timestamp_millis()) else {
            return Ok(None);
        };
        if reply::is_known(headers, &tag) {
            return Ok(Some(reply::not_modified(&tag)));
        }
        let Some(report) = report else { return Ok(None) };
        let data_through = self.data_through(Some(version)).await?;
        reply::whole(headers, form, &tag, &report, data_through).map(Some)
    }
}

impl Making {
    /// How the account stood before anything was read; `None` where it cannot be told.
    pub(super) fn version(&self) -> Option<Version> {
        self.version
    }

    /// Answers with a report as JSON.
    pub(super) async fn json(
        self: Box<Self>,
        headers: &HeaderMap,
        report: &impl Serialize,
    ) -> Result<Response, Problem> {
        let bytes = reply::serialized(report)?;
        self.whole(headers, bytes).await
    }

    /// Answers with a whole table as CSV.
    pub(super) async fn csv(self: Box<Self>, headers: &HeaderMap, mut table: Table) -> Result<Response, Problem> {
        self.whole(headers, table.take_bytes()).await
    }

    async fn whole(self: Box<Self>, headers: &HeaderMap, bytes: Vec<u8>) -> Result<Response, Problem> {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(Problem::too_large());
        }
        let tag = reply::entity_tag(&bytes);
        let response = reply::whole(headers, self.form, &tag, &bytes, self.context.data_through)?;
        self.keep(&tag, Some(bytes)).await?;
        Ok(response)
    }

    /// Ends the making of an answer that is written as its rows come, and keeps its tag. The place among the report
    /// queries is given back for one among the exports.
    pub(super) async fn stream(self: Box<Self>, tag: &str) -> Result<Place, Problem> {
        self.keep(tag, None).await?;
        let Self { state, question, report, .. } = *self;
        drop(report);
        state.begin_export(&question.account).await
    }

    async fn keep(&self, tag: &str, report: Option<Vec<u8>>) -> Result<(), Problem> {
        let Some(version) = self.version else { return Ok(()) };
        let polls = self.state.polls();
        let moment = match self.pinned {
            Pinned::Never => return Ok(()),
            Pinned::Always => Moment::Any,
            Pinned::ToDay => {
                if !polls.is_settled(self.state.store(), &self.question, version, self.now_ms).await? {
                    return Ok(());
                }
                let day_end_ms = day_window_of(self.context.account.zone, self.now_ms).end_ms;
                Moment::Now { now_ms: self.now_ms, day_end_ms }
            }
        };
        polls.keep(self.question.clone(), version, moment, tag, report.map(Into::into));
        Ok(())
    }
}
