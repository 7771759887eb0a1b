//! The data of quota reports, each in one query over the tables of plans and of what was used. The
//! views `plans` and `quota_months` say the same to analysts; a test holds them together.

use std::collections::HashMap;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::rows::plan_kind;
use super::scope::Scope;
use crate::core::calendar::Day;
use crate::report::id::{AccountId, OrganizationId};
use crate::report::pace::week_before;
use crate::report::period::stored_day;
use crate::report::quota::{QuotaFacts, QuotaUsed};
use crate::report::window::PlanRecord;

/// Days before that of `as_of` on which tests of the running quota month may have been counted: a
/// month has 31 at most, and a change of zone moves its edges, but not its days, by less than a
/// week.
const MONTH_DAYS_MAX: i32 = 40;

/// Plan records. A record may be there several times, in parts that are not merged yet. `$filter`
/// chooses organizations.
const PLANS: &str = "\
SELECT 'plan' AS part, f.organization_id AS organization_id, toUnixTimestamp64Milli(f.time) AS \
    time_ms, CAST(f.source, 'String') AS source, f.offset AS offset, CAST(f.kind, 'Int8') AS kind, \
    f.plan AS plan, f.monthly_quota AS monthly_quota, toUInt32(0) AS month, toUInt64(0) AS tests, \
    toUInt64(0) AS tests_to_as_of \
FROM plan_facts AS f \
WHERE f.account_id = {account:String}$filter";

/// Tests by quota month: a source's figure is the greatest that it has counted, and sources add up.
/// `$days` limits the days.
const USED: &str = "\
SELECT 'used' AS part, u.organization_id AS organization_id, toUnixTimestamp64Milli(u.anchor) AS \
    time_ms, '' AS source, toUInt64(0) AS offset, toInt8(0) AS kind, '' AS plan, CAST(NULL, \
    'Nullable(UInt64)') AS monthly_quota, u.month AS month, sum(u.tests) AS tests, sumIf(u.tests, \
    u.day <= {as_of_day:Date}) AS tests_to_as_of \
FROM \
( \
    SELECT f.organization_id AS organization_id, f.anchor AS anchor, f.month AS month, f.day AS \
        day, max(f.tests) AS tests \
    FROM quota_usage_state AS f \
    WHERE f.account_id = {account:String}$filter$days \
    GROUP BY f.organization_id, f.anchor, f.month, f.day, f.source \
) AS u \
GROUP BY u.organization_id, u.anchor, u.month";

/// The days of the running quota month.
const RUNNING: &str = " AND f.day BETWEEN {month_start:Date} AND {as_of_day:Date}";

/// Tests that ran in the week before.
const WEEK: &str = "\
SELECT 'week' AS part, w.organization_id AS organization_id, toInt64(0) AS time_ms, '' AS source, \
    toUInt64(0) AS offset, toInt8(0) AS kind, '' AS plan, CAST(NULL, 'Nullable(UInt64)') AS \
    monthly_quota, toUInt32(0) AS month, sum(w.run) AS tests, toUInt64(0) AS tests_to_as_of \
FROM \
( \
    SELECT f.organization_id AS organization_id, max(f.run) AS run \
    FROM test_executions_state AS f \
    WHERE f.account_id = {account:String}$filter \
        AND f.day BETWEEN {week_start:Date} AND {week_end:Date} \
    GROUP BY f.organization_id, f.project_id, f.day, f.source \
) AS w \
GROUP BY w.organization_id";

#[derive(Row, Deserialize)]
struct FactRow {
    part: String,
    organization_id: String,
    time_ms: i64,
    source: String,
    offset: u64,
    kind: i8,
    plan: String,
    monthly_quota: Option<u64>,
    month: u32,
    tests: u64,
    tests_to_as_of: u64,
}

impl FactRow {
    /// Identity and order of a plan record.
    fn place(&self) -> (&str, i64, &str, u64) {
        (&self.organization_id, self.time_ms, &self.source, self.offset)
    }
}

impl Store {
    /// What the quota of the organizations of the scope, each alone, is made of as of a day: plans,
    /// what is used of the running month, and the week before. Organizations that neither have a
    /// plan nor ran a test may be missing; others may be there where the scope is too large for a
    /// query.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn quota_facts(
        &self,
        account: &str,
        scope: &Scope<'_>,
        as_of_day: Day,
    ) -> Result<HashMap<String, QuotaFacts>, StoreError> {
        let parts = [PLANS, &USED.replace("$days", RUNNING), WEEK];
        let (week_start, week_end) = week_before(as_of_day);
        let days = [
            ("month_start", as_of_day.plus_days(-MONTH_DAYS_MAX)),
            ("as_of_day", as_of_day),
            ("week_start", week_start),
            ("week_end", week_end),
        ];
        let mut query = self.facts_query(&parts, account, scope);
        for (name, day) in days {
            query = query.param(name, stored_day(day).to_string());
        }
        self.facts(query).await
    }

    /// What the quota history of an organization is made of: plans, and what was used of each
    /// month.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn quota_history_facts(
        &self,
        account: &AccountId,
        organization: &OrganizationId,
        as_of_day: Day,
    ) -> Result<QuotaFacts, StoreError> {
        let parts = [PLANS, &USED.replace("$days", "")];
        let query = self
            .facts_query(&parts, account, &Scope::Organizations(vec![organization.as_str()]))
            .param("as_of_day", stored_day(as_of_day).to_string());
        Ok(self.facts(query).await?.remove(organization.as_str()).unwrap_or_default())
    }

    fn facts_query(&self, parts: &[&str], account: &str, scope: &Scope<'_>) -> Query {
        let organizations = match scope {
            Scope::Organizations(ids) if scope.fits() => Some(ids),
            _ => None,
        };
        let filter =
            organizations.map_or("", |_| " AND f.organization_id IN {organizations:Array(String)}");
        let sql = parts.join(" UNION ALL ").replace("$filter", filter);
        let query = self.read(&sql).param("account", account);
        match organizations {
            Some(ids) => query.param("organizations", ids),
            None => query,
        }
    }

    async fn facts(&self, query: Query) -> Result<HashMap<String, QuotaFacts>, StoreError> {
        let rows: Vec<FactRow> = self.fetch_all(query).await?;
        let (mut plans, tests): (Vec<FactRow>, _) =
            rows.into_iter().partition(|row| row.part == "plan");
        plans.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        plans.dedup_by(|a, b| a.place() == b.place());
        let mut facts: HashMap<String, QuotaFacts> = HashMap::new();
        for row in plans {
            let record = self.plan_record(&row)?;
            facts.entry(row.organization_id).or_default().records.push(record);
        }
        for row in tests {
            let of_organization = facts.entry(row.organization_id).or_default();
            if row.part == "week" {
                of_organization.week_tests = row.tests;
            } else {
                of_organization.used.push(QuotaUsed {
                    anchor_ms: row.time_ms,
                    month: row.month,
                    used: row.tests,
                    used_to_as_of: row.tests_to_as_of,
                });
            }
        }
        Ok(facts)
    }

    fn plan_record(&self, row: &FactRow) -> Result<PlanRecord, StoreError> {
        let kind = plan_kind(row.kind).ok_or_else(|| {
            self.target().unreadable(format!("plan kind {} is unknown", row.kind))
        })?;
        Ok(PlanRecord {
            time_ms: row.time_ms,
            kind,
            plan: row.plan.clone(),
            monthly_quota: row.monthly_quota,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::{Zone, day_of, quota_month_start};

    proptest! {
        /// Tests lie on days of the zone that they were counted in, and the month of a report in
        /// the zone of now.
        #[test]
        fn no_day_of_the_running_month_is_left_out(
            counted_in in 0..Zone::all().len(),
            now_in in 0..Zone::all().len(),
            anchor_ms in 946_684_800_000_i64..4_070_908_800_000,
            month in 1..50_u32,
        ) {
            let zone = |index| Zone::all().nth(index).unwrap();
            let (counted_in, now_in) = (zone(counted_in), zone(now_in));
            let first_day = day_of(counted_in, quota_month_start(counted_in, anchor_ms, month));
            let last_day = day_of(now_in, quota_month_start(now_in, anchor_ms, month + 1) - 1);
            prop_assert!(last_day.plus_days(-MONTH_DAYS_MAX) <= first_day);
        }
    }
}
