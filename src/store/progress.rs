//! Progress of each partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::row_binary::RowBuffer;
use super::rows::TableRow;
use crate::core::event::UNKNOWN_EPOCH;
use crate::core::rollup::{LastRecord, Progress, Source};
use crate::core::takeover::{Claim, Claims};

/// Stands for no record: no fingerprint is 0.
const NO_RECORD: LastRecord = LastRecord { offset: 0, leader_epoch: UNKNOWN_EPOCH, fingerprint: 0 };

/// The progress of one partition, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    pub source: Source,
    pub progress: Progress,
    /// End of the partition's log when last seen.
    pub high_watermark: u64,
    /// How long that end may be believed from now on; zero where the log could not be asked for it
    /// lately.
    pub end_valid_for: Duration,
    /// A flush is complete with this row. Another one only tells where the log ends.
    pub completes_flush: bool,
}

/// The progress of one partition, as ClickHouse has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProgress {
    pub source: Source,
    pub progress: Progress,
    /// End of the partition's log when last seen.
    pub high_watermark: u64,
    /// The end was asked for lately enough to say how far the progress is behind it.
    pub is_end_known: bool,
    /// When its last flush was complete, by ClickHouse's clock: milliseconds since 1970 UTC; `None`
    /// before the first.
    pub flushed_at_ms: Option<i64>,
}

/// The claim of a release of the zone data, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneClaim {
    pub source: Source,
    pub release: Arc<str>,
    pub claim: Claim,
}

impl TableRow for ZoneClaim {
    const TABLE: &'static str = "zone_claims";
    const COLUMNS: &'static str = "source, topic, topic_id, partition, release, claim";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.string(source.as_str());
        out.string(source.topic());
        out.string(source.topic_id());
        out.u32(source.partition());
        out.string(&*self.release);
        out.u64(self.claim.turn);
        out.u64(self.claim.upto);
    }
}

impl TableRow for ProgressRow {
    const TABLE: &'static str = "source_progress";
    // `flushed_at` and `end_known_until` are left to ClickHouse's clock.
    const COLUMNS: &'static str = "source, topic, topic_id, partition, first_offset, next_offset, \
        accepted, rejected, duplicates, skipped, absent, last_record, high_watermark, \
        end_valid_ms, completes_flush";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.string(source.as_str());
        out.string(source.topic());
        out.string(source.topic_id());
        out.u32(source.partition());
        out.u64(self.progress.first_offset);
        out.u64(self.progress.next_offset);
        out.u64(self.progress.accepted);
        out.u64(self.progress.rejected);
        out.u64(self.progress.duplicates);
        out.u64(self.progress.skipped);
        out.u64(self.progress.absent);
        // A tuple is its elements, one after the other.
        let last = self.progress.last_record.unwrap_or(NO_RECORD);
        out.u64(last.offset);
        out.i32(last.leader_epoch);
        out.u64(last.fingerprint);
        out.u64(self.high_watermark);
        out.u32(u32::try_from(self.end_valid_for.as_millis()).unwrap_or(u32::MAX));
        out.bool(self.completes_flush);
    }
}

#[derive(Row, Deserialize)]
struct StoredRow {
    topic: String,
    topic_id: String,
    partition: u32,
    first_offset: u64,
    next_offset: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    skipped: u64,
    absent: u64,
    last_offset: u64,
    last_leader_epoch: i32,
    last_fingerprint: u64,
    high_watermark: u64,
    is_end_known: bool,
    flushed_at_ms: Option<i64>,
}

#[derive(Row, Deserialize)]
struct FlushedRow {
    source: String,
    flushed_at_ms: i64,
}

#[derive(Row, Deserialize)]
struct ClaimRow {
    topic: String,
    topic_id: String,
    partition: u32,
    release: String,
    turn: u64,
    upto: u64,
}

impl From<StoredRow> for StoredProgress {
    fn from(row: StoredRow) -> Self {
        let last = LastRecord {
            offset: row.last_offset,
            leader_epoch: row.last_leader_epoch,
            fingerprint: row.last_fingerprint,
        };
        Self {
            source: Source::new(&row.topic, &row.topic_id, row.partition),
            progress: Progress {
                first_offset: row.first_offset,
                next_offset: row.next_offset,
                accepted: row.accepted,
                rejected: row.rejected,
                duplicates: row.duplicates,
                skipped: row.skipped,
                absent: row.absent,
                last_record: (last.fingerprint != NO_RECORD.fingerprint).then_some(last),
            },
            high_watermark: row.high_watermark,
            is_end_known: row.is_end_known,
            flushed_at_ms: row.flushed_at_ms,
        }
    }
}

impl Store {
    /// Records claims of zone data. Rows with days that the claims are about must not be sent
    /// before they are acknowledged.
    ///
    /// # Errors
    /// Where they are not; recording them again is right.
    pub async fn write_zone_claims(&self, rows: &[ZoneClaim]) -> Result<(), StoreError> {
        self.insert_rows::<ZoneClaim>(rows.iter().map(|row| (&row.source, row))).await?;
        Ok(())
    }

    /// The claims of zone data to every partition of the topic, of all its incarnations.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn zone_claims(&self, topic: &str) -> Result<BTreeMap<Source, Claims>, StoreError> {
        let query = self
            .read_only(
                "SELECT c.topic AS topic, c.topic_id AS topic_id, c.partition AS partition, \
                c.release AS release, \
                 max(c.claim).turn AS turn, max(c.claim).upto AS upto FROM zone_claims AS c \
                 WHERE c.topic = {topic:String} GROUP BY c.source, c.topic, c.topic_id, \
                 c.partition, c.release",
            )
            .param("topic", topic);
        let rows: Vec<ClaimRow> = self.fetch_all(query).await?;
        let mut claims: BTreeMap<Source, Claims> = BTreeMap::new();
        for row in rows {
            let source = Source::new(&row.topic, &row.topic_id, row.partition);
            let claim = Claim { turn: row.turn, upto: row.upto };
            claims.entry(source).or_default().insert(row.release.into(), claim);
        }
        Ok(claims)
    }

    /// Records progress. Call it alone, once every row that the progress covers is acknowledged: a
    /// reader takes it for the proof that they are there.
    ///
    /// # Errors
    /// Where it is not acknowledged; recording it again is right.
    pub async fn write_progress(&self, rows: &[ProgressRow]) -> Result<(), StoreError> {
        self.insert_rows::<ProgressRow>(rows.iter().map(|row| (&row.source, row))).await?;
        Ok(())
    }

    /// When the partition of the topic, of any incarnation, was flushed whose last flush is oldest,
    /// by ClickHouse's clock: milliseconds since 1970 UTC; `None` where one was not flushed at all,
    /// or none is known.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn flushed_through_ms(&self, topic: &str) -> Result<Option<i64>, StoreError> {
        // The rows as they are stored: to have ClickHouse aggregate some few costs it more than to
        // send them, and this is asked with every look.
        let query = self.read(
            "SELECT CAST(p.source, 'String') AS source, \
            toUnixTimestamp64Milli(p.flushed_at) AS flushed_at_ms \
            FROM source_progress AS p WHERE p.topic = {topic:String}",
        );
        let rows: Vec<FlushedRow> = self.fetch_all(query.param("topic", topic)).await?;
        let mut latest_ms: BTreeMap<String, i64> = BTreeMap::new();
        for FlushedRow { source, flushed_at_ms } in rows {
            let latest_ms = latest_ms.entry(source).or_default();
            *latest_ms = flushed_at_ms.max(*latest_ms);
        }
        Ok(latest_ms.into_values().min().filter(|&oldest_ms| oldest_ms > 0))
    }

    /// The progress of every partition of the topic, of all its incarnations, ordered by source.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn progress(&self, topic: &str) -> Result<Vec<StoredProgress>, StoreError> {
        let query = self
            .read_only(
                "SELECT topic, topic_id, partition, first_offset, next_offset, accepted, \
                rejected, duplicates, skipped, absent, \
                 tupleElement(last_record, 1) AS last_offset, tupleElement(last_record, 2) AS \
                 last_leader_epoch, \
                 tupleElement(last_record, 3) AS last_fingerprint, \
                 high_watermark, toBool(isNotNull(lag)) AS is_end_known, \
                 toUnixTimestamp64Milli(flushed_at) AS flushed_at_ms \
                 FROM ingest_progress WHERE topic = {topic:String} ORDER BY source",
            )
            .param("topic", topic);
        let rows: Vec<StoredRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(StoredProgress::from).collect())
    }
}
