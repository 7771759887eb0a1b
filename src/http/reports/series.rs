//! The license usage by organization, written as its rows come: for comparisons that do not fit
//! into memory.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sha2::{Digest as _, Sha256};

use crate::core::calendar::{Zone, day_of};
use crate::http::answers::{Making, Streaming};
use crate::http::directory::KnownAccount;
use crate::http::reply::problem::Problem;
use crate::http::reply::stream;
use crate::http::reply::{self, Form};
use crate::http::request::params::Format;
use crate::http::state::ApiState;
use crate::report::csv::{BYTE_ORDER_MARK, Table};
use crate::report::id::AccountId;
use crate::report::license_usage::{
    UsageByOrganizationReport, UsageRequest, UsageSeries, WantedUsage,
};
use crate::report::period::Period;
use crate::report::tree::OrganizationTree;
use crate::report::value::Timestamp;
use crate::store::{SeriesStream, Store, StoreError};

/// The name of the CSV export.
pub(in crate::http) const FILE_NAME: &str = "license-usage";

/// Bytes that are sent at once, about.
const CHUNK_BYTES: usize = 64 * 1024;

/// A comparison of organizations.
struct Comparison<'a> {
    account: &'a AccountId,
    request: &'a UsageRequest,
    zone: Zone,
    period: &'a Period,
    /// The organizations, in order.
    children: &'a [&'a str],
    data_through: Option<Timestamp>,
}

/// The tag of the comparison, for which its rows are read.
pub(in crate::http) async fn tag(
    making: &Making<'_>,
    request: &UsageRequest,
    format: Format,
    period: &Period,
    children: &[&str],
) -> Result<String, Problem> {
    let Making { account, zone, .. } = *making;
    let comparison = Comparison { account, request, zone, period, children, data_through: None };
    let mut chunks = Chunks::new(making.store(), &comparison, format)?;
    let mut hash = Sha256::new();
    while let Some(chunk) = chunks.series(making.tree()).await? {
        hash.update(&chunk);
    }
    Ok(reply::tag_of(hash))
}

/// Answers with the comparison. Rows that have changed since the tag was made are newer than it,
/// and are then sent once more to whoever asks again.
pub(in crate::http) async fn stream(
    state: &ApiState,
    account: &AccountId,
    request: UsageRequest,
    format: Format,
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
    let chunks = Chunks::new(state.store(), &comparison, format)?;
    let body = stream::body(place, chunks.whole(Arc::clone(&known)), state.request_timeout());
    Ok(match format.form(FILE_NAME) {
        Form::Json => reply::json_stream(&tag, body),
        Form::Csv(file) => reply::csv_stream(&tag, file, day_of(zone, now_ms), body),
    })
}

/// How a series becomes bytes.
enum Writing {
    Json {
        /// No series was written yet.
        is_first: bool,
    },
    Csv(Table),
}

impl Writing {
    fn write(&mut self, series: &UsageSeries, tree: &OrganizationTree, chunk: &mut Vec<u8>) {
        match self {
            Self::Json { is_first } => {
                if !std::mem::take(is_first) {
                    chunk.push(b',');
                }
                serde_json::to_writer(chunk, series)
                    .expect("strings and numbers can be written as JSON");
            }
            Self::Csv(table) => {
                series.write_into(table, tree);
                chunk.extend(table.take_bytes());
            }
        }
    }
}

/// The answer, piece by piece.
struct Chunks {
    period: Period,
    /// Still to be written, in order.
    children: VecDeque<String>,
    rows: SeriesStream,
    writing: Writing,
    /// Bytes before the series, until they are taken.
    head: Option<Vec<u8>>,
    /// Bytes behind the series, until they are taken.
    tail: Option<Vec<u8>>,
}

impl Chunks {
    fn new(store: &Store, comparison: &Comparison<'_>, format: Format) -> Result<Self, Problem> {
        let Comparison { account, request, zone, period, children, data_through } = *comparison;
        let organization = request.organization.as_ref();
        let rows = store.license_usage_series(account, organization, &WantedUsage::by(period))?;
        let (writing, head, tail) = match format {
            Format::Json => {
                // The series are the last field of the report, so that what lies around them is an
                // answer without any.
                let empty = UsageByOrganizationReport::assemble(
                    account,
                    request,
                    zone,
                    period,
                    &[],
                    &[].into(),
                );
                let mut head = reply::serialized(&empty)?;
                head.truncate(head.len() - b"]}".len());
                let mut tail = b"],\"data_through\":".to_vec();
                tail.extend(reply::serialized(&data_through)?);
                tail.push(b'}');
                (Writing::Json { is_first: true }, head, Some(tail))
            }
            Format::Csv { byte_order_mark } => {
                let mut table = UsageByOrganizationReport::empty_table();
                let mark = if byte_order_mark { BYTE_ORDER_MARK } else { b"" };
                let head = [mark, &table.take_bytes()].concat();
                (Writing::Csv(table), head, None)
            }
        };
        Ok(Self {
            period: period.clone(),
            children: children.iter().map(|&id| id.to_owned()).collect(),
            rows,
            writing,
            head: Some(head),
            tail,
        })
    }

    fn whole(self, known: Arc<KnownAccount>) -> impl Stream<Item = Result<Bytes, StoreError>> {
        try_unfold((self, known), async |(mut chunks, known)| {
            let chunk = match chunks.series(&known.tree).await? {
                Some(chunk) => Some(chunk),
                None => chunks.tail.take(),
            };
            Ok(chunk.map(|chunk| (Bytes::from(chunk), (chunks, known))))
        })
    }

    /// The next bytes of all that depends on the data; `None` after the last.
    async fn series(&mut self, tree: &OrganizationTree) -> Result<Option<Vec<u8>>, StoreError> {
        let mut chunk = self.head.take().unwrap_or_default();
        while chunk.len() < CHUNK_BYTES {
            let Some(organization) = self.children.pop_front() else { break };
            let rows = self.rows.rows_of(&organization).await?;
            let series = UsageSeries::assemble(organization, &self.period, &rows);
            self.writing.write(&series, tree, &mut chunk);
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}
