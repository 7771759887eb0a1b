//! Flushes: one INSERT per table, or a few where its rows are many bytes, each acknowledged only
//! when it is stored.
//!
//! ```text
//! moves of accounts -> all other rows, at once -> active days -> progress of accounts
//!     (then the progress of sources)
//! ```
//!
//! A move lost after rows were stored that had been judged by it would hide a split account; of the
//! moves those come last which say no more than that an account was met, because what is told once
//! is not told again. An active day says that its users are there, the progress of an account that
//! all its rows are.

use std::borrow::Borrow;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, join_all};

use super::client::Store;
use super::error::StoreError;
use super::rows::{DirectoryRow, EncodedTable, TableRow, encode_rows};
use crate::core::audit::AuditedHour;
use crate::core::rollup::{
    AccountMove, AccountProgress, ActiveDay, ActiveUsers, LaneRows, LicenseFact, OrganizationSeen,
    PlanFact, QuotaUsage, RejectedRecord, SeatFact, SeatInterval, Source, TestExecutions, ZoneFact,
};

/// Bytes handed to the HTTP client at once, so that a large flush is not copied whole into its
/// buffers.
const CHUNK_BYTES: usize = 256 * 1024;

/// Rows that a flush wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// One entry per table that got rows.
    pub tables: Vec<TableWritten>,
}

/// Rows that were written to one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableWritten {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Bytes of them in RowBinary.
    pub bytes: u64,
}

impl Store {
    /// Writes the rows of one flush, merged over all lanes into one INSERT per table that has rows,
    /// and more only where they are too large for one: the moves of accounts first, then all other
    /// tables at once, then the active days and the progress of accounts. All INSERTs have ended
    /// when this returns. It does not write the progress of sources.
    ///
    /// # Errors
    /// The first that any INSERT met. Any subset of the rows may then be stored; writing the same
    /// flush again is right.
    pub async fn write_rows(&self, lanes: &[LaneRows]) -> Result<Written, StoreError> {
        let moves = |has_former| {
            of(lanes, |lane| &lane.account_moves)
                .filter(move |(_, row)| row.former.is_some() == has_former)
        };
        let moves_here = self.insert_rows::<AccountMove>(moves(true)).await?;
        let met = self.insert_rows::<AccountMove>(moves(false)).await?;
        let directory = || {
            lanes.iter().flat_map(|lane| DirectoryRow::all_of(lane).map(|row| (&lane.source, row)))
        };
        let writes = [
            self.insert_rows::<ActiveUsers>(of(lanes, |lane| &lane.active_users)).boxed(),
            self.insert_rows::<TestExecutions>(of(lanes, |lane| &lane.test_executions)).boxed(),
            self.insert_rows::<QuotaUsage>(of(lanes, |lane| &lane.quota_usage)).boxed(),
            self.insert_rows::<SeatFact>(of(lanes, |lane| &lane.seat_facts)).boxed(),
            self.insert_rows::<SeatInterval>(of(lanes, |lane| &lane.seat_intervals)).boxed(),
            self.insert_rows::<LicenseFact>(of(lanes, |lane| &lane.license_facts)).boxed(),
            self.insert_rows::<PlanFact>(of(lanes, |lane| &lane.plan_facts)).boxed(),
            self.insert_rows::<ZoneFact>(of(lanes, |lane| &lane.zone_facts)).boxed(),
            self.insert_rows::<DirectoryRow<'_>>(directory()).boxed(),
            self.insert_rows::<OrganizationSeen>(of(lanes, |lane| &lane.organizations)).boxed(),
            self.insert_rows::<RejectedRecord>(of(lanes, |lane| &lane.rejected)).boxed(),
            self.insert_rows::<AuditedHour>(of(lanes, |lane| &lane.audited_hours)).boxed(),
        ];
        let results = join_all(writes).await;
        let mut tables: Vec<TableWritten> = results.into_iter().collect::<Result<_, _>>()?;
        let days = active_days(lanes);
        let days = self.insert_rows::<ActiveDay<'_>>(days.into_iter()).await?;
        let progress =
            self.insert_rows::<AccountProgress>(of(lanes, |lane| &lane.account_progress)).await?;
        tables.extend([moves_here, met, days, progress]);
        Ok(Written { tables: tables.into_iter().filter(|written| written.rows > 0).collect() })
    }

    /// Writes rows of one table, one INSERT after the other.
    pub(super) async fn insert_rows<'a, R: TableRow>(
        &self,
        rows: impl Iterator<Item = (&'a Source, impl Borrow<R>)>,
    ) -> Result<TableWritten, StoreError> {
        let mut written = TableWritten { table: R::TABLE, rows: 0, bytes: 0 };
        for body in encode_rows::<R>(rows) {
            let TableWritten { rows, bytes, .. } = self.insert(body).await?;
            written.rows += rows;
            written.bytes += bytes;
        }
        Ok(written)
    }

    /// Runs one INSERT to its acknowledgement.
    pub(super) async fn insert(&self, table: EncodedTable) -> Result<TableWritten, StoreError> {
        let EncodedTable { table, columns, rows, bytes } = table;
        let written =
            TableWritten { table, rows, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) };
        let sql = format!("INSERT INTO {table} ({columns}) FORMAT RowBinary");
        let bytes = Bytes::from(bytes);
        self.within(async {
            let mut insert = self.client().insert_formatted_with(sql);
            for start in (0..bytes.len()).step_by(CHUNK_BYTES) {
                insert.send(bytes.slice(start..bytes.len().min(start + CHUNK_BYTES))).await?;
            }
            insert.end().await
        })
        .await?;
        Ok(written)
    }
}

/// The rows of one table, of all lanes.
fn of<'a, R: 'a>(
    lanes: &'a [LaneRows],
    rows: impl Fn(&'a LaneRows) -> &'a Vec<R> + 'a,
) -> impl Iterator<Item = (&'a Source, &'a R)> {
    lanes.iter().flat_map(move |lane| rows(lane).iter().map(|row| (&lane.source, row)))
}

/// The active days of all lanes.
fn active_days(lanes: &[LaneRows]) -> Vec<(&Source, ActiveDay<'_>)> {
    let mut days = Vec::new();
    for lane in lanes {
        days.extend(lane.active_days().into_iter().map(|row| (&lane.source, row)));
    }
    days
}
