//! Flushes: one INSERT per table, all at once, each acknowledged only when it is stored.

use bytes::Bytes;
use futures_util::future::join_all;

use super::client::Store;
use super::error::StoreError;
use super::rows::{EncodedTable, encode_flush};
use crate::core::rollup::LaneRows;

/// Bytes handed to the HTTP client at once, so that a large flush is not copied whole into its buffers.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a flush wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// One entry per table that got rows.
    pub tables: Vec<TableWritten>,
}

/// What one INSERT wrote.
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
    /// Writes the rows of one flush, merged over all lanes into one INSERT per table that has rows. All INSERTs run at
    /// once, and all have ended when this returns. It does not write progress.
    ///
    /// # Errors
    /// The first that any INSERT met. Any subset of the rows may then be stored; writing the same flush again is right.
    pub async fn write_rows(&self, lanes: &[LaneRows]) -> Result<Written, StoreError> {
        let tables = encode_flush(lanes);
        let results = join_all(tables.into_iter().map(|table| self.insert(table))).await;
        let tables = results.into_iter().collect::<Result<_, _>>()?;
        Ok(Written { tables })
    }

    /// Runs one INSERT to its acknowledgement.
    pub(super) async fn insert(&self, table: EncodedTable) -> Result<TableWritten, StoreError> {
        let EncodedTable { table, columns, rows, bytes } = table;
        let written = TableWritten { table, rows, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) };
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
