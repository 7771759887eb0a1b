//! The license usage by organization, written as its rows come: for comparisons that do not fit into memory.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sha2::{Digest as _, Sha256};

use super::making::Making;
use super::problem::Problem;
use super::state::ApiState;
use super::{reply, stream};
use crate::core::calendar::Zone;
use crate::report::licenses::{UsageByOrganizationReport, UsageRequest, UsageSeries, Wanted};
use crate::report::period::Period;
use crate::report::value::Instant;
use crate::store::{SeriesStream, Store, StoreError};

/// Bytes that are sent at once, about.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is compared.
#[derive(Clone)]
pub(super) struct Comparison {
    pub(super) account: String,
    pub(super) request: UsageRequest,
    pub(super) zone: Zone,
    pub(super) period: Period,
    pub(super) children: Vec<String>,
    pub(super) data_through: Option<Instant>,
}

/// Answers with the comparison. The rows are read twice, first for the tag; rows that change in between are newer than
/// their tag, and are then sent once more to whoever asks again.
pub(super) async fn answer(
    state: &ApiState,
    making: Box<Making>,
    headers: &HeaderMap,
    comparison: Comparison,
) -> Result<Response, Problem> {
    let mut hash = Sha256::new();
    let mut first = Chunks::new(state.store(), comparison.clone())?;
    while let Some(chunk) = first.series().await? {
        hash.update(&chunk);
    }
    let tag = reply::tag_of(hash);
    let place = making.stream(&tag).await?;
    if reply::is_known(headers, &tag) {
        return Ok(reply::not_modified(&tag));
    }
    let second = Chunks::new(state.store(), comparison)?;
    Ok(reply::json_stream(&tag, stream::body(place, second.whole(), state.request_timeout())))
}

/// The answer, piece by piece.
struct Chunks {
    period: Period,
    /// Still to be written, in order.
    children: std::vec::IntoIter<String>,
    rows: SeriesStream,
    /// What comes before the series, until it is taken.
    head: Option<Vec<u8>>,
    /// What comes behind them, until it is taken.
    tail: Option<Vec<u8>>,
}

impl Chunks {
    fn new(store: &Store, comparison: Comparison) -> Result<Self, Problem> {
        let Comparison { account, request, zone, period, mut children, data_through } = comparison;
        children.sort_unstable();
        let rows = store.license_usage_series(&account, request.organization.as_deref(), &Wanted::by(&period))?;
        // The series are the last field of the report, so that what lies around them is an answer without any.
        let empty = UsageByOrganizationReport::assemble(&account, &request, zone, &period, Vec::new(), &[].into());
        let mut head = reply::serialized(&empty)?;
        head.truncate(head.len() - b"]}".len());
        let mut tail = b"],\"data_through\":".to_vec();
        tail.extend(reply::serialized(&data_through)?);
        tail.push(b'}');
        Ok(Self { period, children: children.into_iter(), rows, head: Some(head), tail: Some(tail) })
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
            let Some(organization) = self.children.next() else { break };
            let rows = self.rows.rows_of(&organization).await?;
            if !std::mem::take(&mut first) {
                chunk.push(b',');
            }
            let series = UsageSeries::assemble(organization, &self.period, &rows);
            serde_json::to_writer(&mut chunk, &series).expect("strings and numbers can be written as JSON");
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}
