//! `GET A/organizations/{organization_id}/can-run` and `POST /v1/can-run`: answered from memory.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;

use crate::http::auth::MayCheck;
use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::request::params::{AccountParam, CanRunParams, OwnOrganizationParam};
use crate::http::request::path::Organization;
use crate::http::state::ApiState;
use crate::report::can_run::{
    CanRunReport, CanRunResults, CheckResult, CheckStatus, ChecksBody, RunCheck,
};
use crate::report::id::AccountId;
use crate::report::query::Query;
use crate::report::subject::Answer;
use crate::standing::{NoStandings, Reading, UnreadableAccount};
use crate::telemetry::standing as telemetry;

/// The longest body, bytes: a thousand checks with the longest ids, each byte of them escaped.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Whether tests may run
///
/// From memory, by the figures of the quota report, with how old they are. Nothing is reserved:
/// what runs at the same moment may overshoot.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account_id}/organizations/{organization_id}/can-run",
    operation_id = "canRun",
    tag = "can-run",
    params(
        AccountParam,
        OwnOrganizationParam,
        CanRunParams,
    ),
    responses((
        status = 200,
        description = "The result; `no_plan` too where nobody has heard of the organization",
        body = Answer<CanRunReport>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn one(
    State(state): State<ApiState>,
    Organization { account, organization }: Organization,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let check = RunCheck::parse(account, organization, Query::parse(query.as_deref())?)?;
    let accounts = [check.account.clone()];
    answered(&state, &accounts, |reading| {
        let result = judged(reading, check)?;
        count([&result]);
        Ok(CanRunReport { result, age_ms: age_ms(reading) })
    })
    .await
}

/// Whether tests of many organizations may run
///
/// A thousand checks at most, of any accounts, answered together and in their order. A check that
/// the token does not allow is `forbidden`, whether the organization exists or not.
#[utoipa::path(
    post,
    path = "/v1/can-run",
    operation_id = "canRunMany",
    tag = "can-run",
    request_body = ChecksBody,
    responses((
        status = 200,
        description = "A result for each check",
        body = Answer<CanRunResults>,
    )),
    security(("bearer" = []))
)]
pub(in crate::http) async fn many(
    State(state): State<ApiState>,
    Extension(may_check): Extension<MayCheck>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref())?.finish()?;
    let checks = RunCheck::parse_many(&whole(body).await?)?;
    let accounts: Vec<AccountId> = checks.iter().map(|check| check.account.clone()).collect();
    answered(&state, &accounts, |reading| {
        let judge = |check: RunCheck| {
            if may_check.allows(&check.account, &check.organization) {
                judged(reading, check)
            } else {
                Ok(CheckResult::forbidden(check))
            }
        };
        let results = checks.into_iter().map(judge).collect::<Result<Vec<_>, Problem>>()?;
        count(&results);
        Ok(CanRunResults { results, age_ms: age_ms(reading) })
    })
    .await
}

/// Answers from the standings. The answer is of this moment, and nobody is to keep it.
async fn answered<R: Serialize>(
    state: &ApiState,
    accounts: &[AccountId],
    answer: impl FnOnce(&Reading<'_>) -> Result<R, Problem>,
) -> Result<Response, Problem> {
    let dated = |reading: &Reading<'_>| (answer(reading), reading.data_through);
    let (report, data_through) = state.standings().read(accounts, dated).await?;
    let body = reply::serialized(&Answer { report: report?, data_through })?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

fn judged(reading: &Reading<'_>, check: RunCheck) -> Result<CheckResult, Problem> {
    match reading.standing(&check.account, &check.organization) {
        Ok(standing) => Ok(CheckResult::judged(check, standing)),
        Err(UnreadableAccount) => Err(Problem::unavailable(format!(
            "What organizations of the account '{}' may still run cannot be read: its time zone \
            is newer than this server.",
            check.account.as_str()
        ))),
    }
}

fn age_ms(reading: &Reading<'_>) -> u64 {
    u64::try_from(reading.age.as_millis()).unwrap_or(u64::MAX)
}

/// Counts results by their answer.
fn count<'r>(results: impl IntoIterator<Item = &'r CheckResult>) {
    let mut answers = [0; 4];
    for result in results {
        answers[match (result.can_run, result.status) {
            (Some(true), _) => 0,
            (Some(false), _) => 1,
            (None, CheckStatus::Forbidden) => 3,
            (None, _) => 2,
        }] += 1;
    }
    telemetry::checked(answers);
}

/// The whole body of a request.
async fn whole(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::body_too_large(BODY_BYTES_MAX))
        }
        Err(_) => Err(Problem::body_broken()),
    }
}

impl From<NoStandings> for Problem {
    fn from(fault: NoStandings) -> Self {
        match fault {
            NoStandings::NotRead => Self::unavailable(
                "What organizations may still run has not been read yet; ask again shortly, and \
                decide without an answer meanwhile.",
            ),
            NoStandings::TooOld { age } => Self::unavailable(format!(
                "What organizations may still run was last read {} s ago, longer than \
                http.standing_age_max_ms allows; ask again shortly, and decide without an answer \
                meanwhile.",
                age.as_secs()
            )),
        }
    }
}
