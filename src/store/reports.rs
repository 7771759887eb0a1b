//! What reports ask of ClickHouse: the same parameterized views that analysts use, with the
//! request's values bound as parameters, never written into the statement.

use chrono::{DateTime, SecondsFormat};
use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::rows::plan_kind;
use crate::core::calendar::Day;
use crate::report::ingest::PartitionProgress;
use crate::report::period::DayRanges;
use crate::report::quota::QuotaUsed;
use crate::report::test_activity::TestCounts;
use crate::report::window::PlanRecord;

const PLANS: &str = "\
SELECT toUnixTimestamp64Milli(p.time) AS time_ms, p.kind AS kind, p.plan AS plan, \
    p.monthly_quota AS monthly_quota \
FROM plans AS p \
WHERE p.account_id = {account:String} AND p.organization_id = {organization:String} \
ORDER BY p.time, p.source, p.offset";

const QUOTA_MONTHS: &str = "\
SELECT toUnixTimestamp64Milli(q.anchor) AS anchor_ms, q.month AS month, q.used AS used, \
    q.used_to_last_day AS used_to_as_of \
FROM quota_months(account = {account:String}, organization = {organization:String}, last_day = \
{last_day:Date}) AS q";

const TEST_ACTIVITY: &str = "\
SELECT toInt32(t.first_day) AS first_day, t.run AS run, t.uploaded AS uploaded, t.duration_ms AS \
duration_ms \
FROM test_activity(account = {account:String}, organization = {organization:String}, project = \
{project:String}, \
    first_days = {first_days:Array(Date)}, last_day = {last_day:Date}) AS t";

#[derive(Row, Deserialize)]
struct PlanRow {
    time_ms: i64,
    kind: i8,
    plan: String,
    monthly_quota: Option<u64>,
}

#[derive(Row, Deserialize)]
struct QuotaRow {
    anchor_ms: i64,
    month: u32,
    used: u64,
    used_to_as_of: u64,
}

#[derive(Row, Deserialize)]
struct TestRow {
    first_day: i32,
    run: u64,
    uploaded: u64,
    duration_ms: u64,
}

impl Store {
    /// The plan records of the organization alone, in the order of (time, source, offset).
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn plan_records(
        &self,
        account: &str,
        organization: &str,
    ) -> Result<Vec<PlanRecord>, StoreError> {
        let rows: Vec<PlanRow> =
            self.fetch_all(self.report_query(PLANS, account, Some(organization))).await?;
        let records = rows.into_iter().map(|row| {
            Ok(PlanRecord {
                time_ms: row.time_ms,
                kind: plan_kind(row.kind).ok_or_else(|| {
                    self.target().unreadable(format!("plan kind {} is unknown", row.kind))
                })?,
                plan: row.plan,
                monthly_quota: row.monthly_quota,
            })
        });
        records.collect()
    }

    /// What the organization alone has used in each of its quota months; `as_of_day` is a day on
    /// which events can lie.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn quota_used(
        &self,
        account: &str,
        organization: &str,
        as_of_day: Day,
    ) -> Result<Vec<QuotaUsed>, StoreError> {
        let query = self.report_query(QUOTA_MONTHS, account, Some(organization));
        let rows: Vec<QuotaRow> =
            self.fetch_all(query.param("last_day", as_of_day.to_string())).await?;
        let months = rows.into_iter().map(|row| QuotaUsed {
            anchor_ms: row.anchor_ms,
            month: row.month,
            used: row.used,
            used_to_as_of: row.used_to_as_of,
        });
        Ok(months.collect())
    }

    /// The tests of the days, of the organization alone, and of one project if it is named.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn test_counts(
        &self,
        account: &str,
        organization: &str,
        project: Option<&str>,
        days: Option<&DayRanges>,
    ) -> Result<Vec<TestCounts>, StoreError> {
        let Some(days) = days else { return Ok(Vec::new()) };
        let query = self.report_query(TEST_ACTIVITY, account, Some(organization));
        let query = with_days(query.param("project", project.unwrap_or_default()), days);
        let rows: Vec<TestRow> = self.fetch_all(query).await?;
        let counts = rows.into_iter().map(|row| TestCounts {
            first_day: Day(row.first_day),
            run: row.run,
            uploaded: row.uploaded,
            duration_ms: row.duration_ms,
        });
        Ok(counts.collect())
    }

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
        account: &str,
        organization: Option<&str>,
    ) -> Query {
        self.read(sql)
            .param("account", account)
            .param("organization", organization.unwrap_or_default())
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
