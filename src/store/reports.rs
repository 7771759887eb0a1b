//! What queries of reports have in common: the request's values are bound as parameters, never
//! written into the statement.

use chrono::{DateTime, SecondsFormat};
use clickhouse::query::Query;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Day;
use crate::report::id::{AccountId, OrganizationId};
use crate::report::ingest::PartitionProgress;
use crate::report::period::DayRanges;

impl Store {
    /// Makes sure that ClickHouse answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.fetch_all::<u8>(self.read("SELECT toUInt8(1)")).await.map(drop)
    }

    /// The progress of every partition of the topic, of all its incarnations.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn ingest_progress(&self, topic: &str) -> Result<Vec<PartitionProgress>, StoreError> {
        let stored = self.progress(topic).await?;
        let partitions = stored.into_iter().map(|row| PartitionProgress {
            topic: row.source.topic().to_owned(),
            partition: row.source.partition(),
            progress: row.progress,
            high_watermark: row.is_end_known.then_some(row.high_watermark),
            flushed_at_ms: row.flushed_at_ms,
        });
        Ok(partitions.collect())
    }

    /// A report's query; no organization is the empty one, as in the views.
    pub(super) fn report_query(
        &self,
        sql: &str,
        account: &AccountId,
        organization: Option<&OrganizationId>,
    ) -> Query {
        self.read(sql)
            .param("account", account)
            .param("organization", organization.map_or("", OrganizationId::as_str))
    }
}

pub(super) fn with_days(query: Query, days: &DayRanges) -> Query {
    let first_days: Vec<String> = days.first_days.iter().map(Day::to_string).collect();
    query.param("first_days", first_days).param("last_day", days.last_day.to_string())
}

/// An instant as ClickHouse reads it as a parameter of `DateTime64(3, 'UTC')`.
pub(super) fn instant(time_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(time_ms).unwrap_or(DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(SecondsFormat::Millis, true).replace('T', " ").replace('Z', "")
}
