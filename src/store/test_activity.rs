//! Tests by day, in one query over the table of executions. The view `test_activity` says the same
//! to analysts; a test holds them together.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Day;
use crate::report::id::{AccountId, OrganizationId, ProjectId};
use crate::report::test_activity::{TestCounts, WantedDays};

/// A source's figures are the greatest that it has counted, and sources add up. `$filter` chooses a
/// project, `$days` the days.
const TEST_DAYS: &str = "\
SELECT toInt32(d.day) AS day, sum(d.run) AS run, sum(d.uploaded) AS uploaded, sum(d.duration_ms) \
    AS duration_ms \
FROM \
( \
    SELECT s.day AS day, max(s.run) AS run, max(s.uploaded) AS uploaded, max(s.duration_ms) AS \
        duration_ms \
    FROM test_executions_state AS s \
    WHERE s.account_id = {account:String} AND s.organization_id = {organization:String}$filter \
        AND ($days) \
    GROUP BY s.project_id, s.day, s.source \
) AS d \
GROUP BY d.day";

#[derive(Row, Deserialize)]
struct TestRow {
    day: i32,
    run: u64,
    uploaded: u64,
    duration_ms: u64,
}

impl Store {
    /// The tests of the days, of the organization alone, and of one project if it is named. Days
    /// without any are missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn test_counts(
        &self,
        account: &AccountId,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
        wanted: &WantedDays,
    ) -> Result<Vec<TestCounts>, StoreError> {
        if wanted.ranges().is_empty() {
            return Ok(Vec::new());
        }
        let filter = project.map_or("", |_| " AND s.project_id = {project:String}");
        let range =
            |index| format!("s.day BETWEEN {{first_{index}:Date}} AND {{last_{index}:Date}}");
        let days: Vec<String> = (0..wanted.ranges().len()).map(range).collect();
        let sql = TEST_DAYS.replace("$filter", filter).replace("$days", &days.join(" OR "));
        let mut query = self.report_query(&sql, account, Some(organization));
        for (index, (first, last)) in wanted.ranges().iter().enumerate() {
            query = query
                .param(&format!("first_{index}"), first.to_string())
                .param(&format!("last_{index}"), last.to_string());
        }
        if let Some(project) = project {
            query = query.param("project", project);
        }
        let rows: Vec<TestRow> = self.fetch_all(query).await?;
        let counts = rows.into_iter().map(|row| TestCounts {
            day: Day(row.day),
            run: row.run,
            uploaded: row.uploaded,
            duration_ms: row.duration_ms,
        });
        Ok(counts.collect())
    }
}
