//! The license usage by organization, written as its rows come: for comparisons that do not fit
//! into memory.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sha2::{Digest as _, Sha256};

use crate::core::calendar::Zone;
use crate::http::answers::{Making, Streaming};
use crate::http::reply;
use crate::http::reply::problem::Problem;
use crate::http::reply::stream;
use crate::http::state::ApiState;
use crate::report::licenses::{UsageByOrganizationReport, UsageRequest, UsageSeries, Wanted};
use crate::report::period::Period;
use crate::report::value::Instant;
use crate::store::{SeriesStream, Store, StoreError};

/// Bytes that are sent at once, about.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is compared.
struct Comparison<'a> {
    account: &'a str,
    request: &'a UsageRequest,
    zone: Zone,
    period: &'a Period,
    /// In order.
    children: &'a [&'a str],
    data_through: Option<Instant>,
}

/// The tag of the comparison, for which its rows are read.
pub(in crate::http) async fn tag(
    making: &Making<'_>,
    request: &UsageRequest,
    period: &Period,
    children: &[&str],
) -> Result<String, Problem> {
    let Making { account, zone, .. } = *making;
    let comparison = Comparison { account, request, zone, period, children, data_through: None };
    let mut hash = Sha256::new();
    let mut chunks = Chunks::new(making.store(), &comparison)?;
    while let Some(chunk) = chunks.series().await? {
        hash.update(&chunk);
    }
    Ok(reply::tag_of(hash))
}

/// Answers with the comparison. Rows that have changed since the tag was made are newer than it,
/// and are then sent once more to whoever asks again.
pub(in crate::http) async fn stream(
    state: &ApiState,
    account: &str,
    request: UsageRequest,
    streaming: Streaming,
) -> Result<Response, Problem> {
    let Streaming { tag, known, now_ms, data_through, place } = streaming;
    let zone = known.zone;
    let period = request.period.resolve(zone, now_ms)?;
    let children = known.tree.children(request.organization.as_deref());
    let comparison = Comparison {
        account,
        request: &request,
        zone,
        period: &period,
        children: &children,
        data_through,
    };
    let chunks = Chunks::new(state.store(), &comparison)?;
    Ok(reply::json_stream(&tag, stream::body(place, chunks.whole(), state.request_timeout())))
}

/// The answer, piece by piece.
struct Chunks {
    period: Period,
    /// Still to be written, in order.
    children: VecDeque<String>,
    rows: SeriesStream,
    /// What comes before the series, until it is taken.
    head: Option<Vec<u8>>,
    /// What comes behind them, until it is taken.
    tail: Option<Vec<u8>>,
}

impl Chunks {
    fn new(store: &Store, comparison: &Comparison<'_>) -> Result<Self, Problem> {
        let Comparison { account, request, zone, period, children, data_through } = *comparison;
        let rows = store.license_usage_series(
            account,
            request.organization.as_deref(),
            &Wanted::by(period),
        )?;
        // The series are the last field of the report, so that what lies around them is an answer
        // without any.
        let empty =
            UsageByOrganizationReport::assemble(account, request, zone, period, &[], &[].into());
        let mut head = reply::serialized(&empty)?;
        head.truncate(head.len() - b"]}".len());
        let mut tail = b"],\"data_through\":".to_vec();
        tail.extend(reply::serialized(&data_through)?);
        tail.push(b'}');
        Ok(Self {
            period: period.clone(),
            children: children.iter().map(|&id| id.to_owned()).collect(),
            rows,
            head: Some(head),
            tail: Some(tail),
        })
    }

    fn whole(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        try_unfold(self, async |mut chunks| {
            let chunk = match chunks.series().await? {
                Some(chunk) => Some(chunk),
                None => chunks.tail.take(),
            };
            Ok(chunk.map(|chunk| (Bytes::from(chunk), chunks)))
        })
    }

    /// The next bytes of all that depends on the data; `None` after the last.
    async fn series(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut first = self.head.is_some();
        let mut chunk = self.head.take().unwrap_or_default();
        while chunk.len() < CHUNK_BYTES {
            let Some(organization) = self.children.pop_front() else { break };
            let rows = self.rows.rows_of(&organization).await?;
            if !std::mem::take(&mut first) {
                chunk.push(b',');
            }
            let series = UsageSeries::assemble(organization, &self.period, &rows);
            serde_json::to_writer(&mut chunk, &series)
                .expect("strings and numbers can be written as JSON");
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}
