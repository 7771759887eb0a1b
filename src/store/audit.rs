//! The audit by the hour: written by flushes, loaded by lanes, read by the API.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use super::row_binary::RowBuffer;
use super::rows::TableRow;
use crate::core::audit::{AuditedHour, HourCounts, RecordHour};
use crate::core::rollup::Source;
use crate::report::audit::{AuditPosition, PartitionHour};

/// The hours that are asked for, and the last one that there is.
const HOURS: &str = "\
SELECT toUnixTimestamp(s.hour) AS hour_s, min(s.first_offset) AS first_offset, \
    tupleElement(max(s.counted), 'upto') AS upto, \
    tupleElement(max(s.counted), 'accepted') AS accepted, \
    tupleElement(max(s.counted), 'rejected') AS rejected, \
    tupleElement(max(s.counted), 'duplicates') AS duplicates, \
    tupleElement(max(s.counted), 'skipped') AS skipped, \
    tupleElement(max(s.counted), 'tests_run') AS tests_run, \
    tupleElement(max(s.counted), 'tests_uploaded') AS tests_uploaded, \
    tupleElement(max(s.counted), 'checksum') AS checksum \
FROM ingest_audit_state AS s \
WHERE s.source = {source:String} AND (toUnixTimestamp(s.hour) IN {keys:Array(UInt32)} \
    OR s.hour = (SELECT max(l.hour) FROM ingest_audit_state AS l \
        WHERE l.source = {source:String})) \
GROUP BY s.hour";

/// A partition is one row, whatever incarnations of the topic there were.
const PARTITION_HOURS: &str = "\
SELECT toUnixTimestamp(a.hour) AS hour_s, a.partition AS partition, \
    sum(a.accepted) AS accepted, sum(a.rejected) AS rejected, sum(a.duplicates) AS duplicates, \
    sum(a.skipped) AS skipped, sum(a.tests_run) AS tests_run, \
    sum(a.tests_uploaded) AS tests_uploaded, sum(a.checksum) AS checksum, \
    toBool(min(a.complete)) AS complete \
FROM ingest_audit AS a \
WHERE a.topic = {topic:String} \
    AND toUnixTimestamp(a.hour) BETWEEN {from_s:UInt32} AND {to_s:UInt32} \
    AND (toUnixTimestamp(a.hour) > {after_s:UInt32} \
        OR (toUnixTimestamp(a.hour) = {after_s:UInt32} \
            AND a.partition >= {next_partition:UInt64})) \
GROUP BY a.hour, a.partition \
ORDER BY a.hour, a.partition \
LIMIT {limit:UInt64}";

impl TableRow for AuditedHour {
    const TABLE: &'static str = "ingest_audit_state";
    const COLUMNS: &'static str = "source, hour, topic, topic_id, partition, first_offset, counted";

    fn encode(&self, source: &Source, out: &mut RowBuffer) {
        out.string(source.as_str());
        out.u32(self.hour.start_s());
        out.string(source.topic());
        out.string(source.topic_id());
        out.u32(source.partition());
        out.u64(self.first_offset);
        // A tuple is its elements, one after the other.
        let HourCounts { accepted, rejected, duplicates, skipped, .. } = self.counts;
        let HourCounts { tests_run, tests_uploaded, checksum, .. } = self.counts;
        let counts = [accepted, rejected, duplicates, skipped, tests_run, tests_uploaded, checksum];
        out.u64(self.upto);
        counts.into_iter().for_each(|count| out.u64(count));
    }
}

#[derive(Row, Deserialize)]
struct HourRow {
    hour_s: u32,
    first_offset: u64,
    upto: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    skipped: u64,
    tests_run: u64,
    tests_uploaded: u64,
    checksum: u64,
}

impl From<HourRow> for AuditedHour {
    fn from(row: HourRow) -> Self {
        Self {
            hour: RecordHour(row.hour_s / 3_600),
            first_offset: row.first_offset,
            counts: HourCounts {
                accepted: row.accepted,
                rejected: row.rejected,
                duplicates: row.duplicates,
                skipped: row.skipped,
                tests_run: row.tests_run,
                tests_uploaded: row.tests_uploaded,
                checksum: row.checksum,
            },
            upto: row.upto,
        }
    }
}

#[derive(Row, Deserialize)]
struct PartitionHourRow {
    hour_s: u32,
    partition: u32,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    skipped: u64,
    tests_run: u64,
    tests_uploaded: u64,
    checksum: u64,
    complete: bool,
}

impl From<PartitionHourRow> for PartitionHour {
    fn from(row: PartitionHourRow) -> Self {
        Self {
            partition: row.partition,
            hour: RecordHour(row.hour_s / 3_600),
            counts: HourCounts {
                accepted: row.accepted,
                rejected: row.rejected,
                duplicates: row.duplicates,
                skipped: row.skipped,
                tests_run: row.tests_run,
                tests_uploaded: row.tests_uploaded,
                checksum: row.checksum,
            },
            is_complete: row.complete,
        }
    }
}

impl Store {
    /// The stored ones of these hours, and where any is asked for, the last one of the source.
    pub(super) async fn load_hours(
        &self,
        hours: &[RecordHour],
        source: &Source,
    ) -> Result<Vec<AuditedHour>, StoreError> {
        let keys: Vec<u32> = hours.iter().map(|hour| hour.start_s()).collect();
        let mut rows: Vec<HourRow> = Vec::new();
        for chunk in chunks(&keys) {
            let query = self.read_only(HOURS).param("keys", chunk).param("source", source.as_str());
            rows.extend(self.fetch_all::<HourRow>(query).await?);
        }
        Ok(rows.into_iter().map(AuditedHour::from).collect())
    }

    /// Hours from the first to the last one of the range, both inclusive, of every partition of the
    /// topic, ordered by hour and partition; at most `limit` of those after the position.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn partition_hours(
        &self,
        topic: &str,
        (from, to): (RecordHour, RecordHour),
        after: Option<AuditPosition>,
        limit: usize,
    ) -> Result<Vec<PartitionHour>, StoreError> {
        self.sync_table(AuditedHour::TABLE).await?;
        let after = after.unwrap_or(AuditPosition { hour: from, next_partition: 0 });
        let query = self
            .read(PARTITION_HOURS)
            .param("topic", topic)
            .param("from_s", from.start_s())
            .param("to_s", to.start_s())
            .param("after_s", after.hour.start_s())
            .param("next_partition", after.next_partition)
            .param("limit", limit);
        let rows: Vec<PartitionHourRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(PartitionHour::from).collect())
    }
}
