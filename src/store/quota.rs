//! The data of quota reports, each in one query over the tables of plans and of what was used. The
//! views `plans` and `quota_months` say the same to analysts; a test holds them together.

use std::collections::HashMap;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use super::load::chunks;
use super::rows::plan_kind;
use super::scope::Scope;
use crate::core::calendar::{Day, Zone};
use crate::report::alert_rules::QuotaCourse;
use crate::report::id::{AccountId, OrganizationId};
use crate::report::pace::week_before;
use crate::report::period::stored_day;
use crate::report::quota::{QuotaFacts, QuotaUsed};
use crate::report::window::PlanRecord;

/// Days before that of `as_of` on which tests of the running quota month may have been counted: a
/// month has 31 at most, and a change of zone moves its edges, but not its days, by less than a
/// week.
const MONTH_DAYS_MAX: i32 = 40;

/// Plan records. A record may be there several times, in parts that are not merged yet. `$chosen`
/// chooses accounts and organizations.
const PLANS: &str = "\
SELECT 'plan' AS part, f.account_id AS account_id, f.organization_id AS organization_id, \
    toUnixTimestamp64Milli(f.time) AS time_ms, CAST(f.source, 'String') AS source, f.offset AS \
    offset, CAST(f.kind, 'Int8') AS kind, f.plan AS plan, f.monthly_quota AS monthly_quota, \
    toUInt32(0) AS month, toInt32(0) AS day, toUInt64(0) AS tests \
FROM plan_facts AS f \
WHERE $chosen";

/// Tests by quota month and day: a source's figure is the greatest that it has counted, and sources
/// add up. `$days` limits the days; those before `from_day` are added to it.
const USED: &str = "\
SELECT 'used' AS part, u.account_id AS account_id, u.organization_id AS organization_id, \
    toUnixTimestamp64Milli(u.anchor) AS time_ms, '' AS source, toUInt64(0) AS offset, toInt8(0) AS \
    kind, '' AS plan, CAST(NULL, 'Nullable(UInt64)') AS monthly_quota, u.month AS month, \
    toInt32(greatest(u.day, {from_day:Date})) AS day, sum(u.tests) AS tests \
FROM \
( \
    SELECT f.account_id AS account_id, f.organization_id AS organization_id, f.anchor AS anchor, \
        f.month AS month, f.day AS day, max(f.tests) AS tests \
    FROM quota_usage_state AS f \
    WHERE $chosen$days \
    GROUP BY f.account_id, f.organization_id, f.anchor, f.month, f.day, f.source \
) AS u \
GROUP BY u.account_id, u.organization_id, u.anchor, u.month, greatest(u.day, {from_day:Date})";

/// The days of the running quota month, up to that of `as_of`.
const RUNNING: &str = " AND f.day BETWEEN {month_start:Date} AND {from_day:Date}";

/// The days of the running quota month, and those to come.
const RUNNING_AND_AHEAD: &str = " AND f.day >= {month_start:Date}";

/// Tests that ran in the week before.
const WEEK: &str = "\
SELECT 'week' AS part, w.account_id AS account_id, w.organization_id AS organization_id, \
    toInt64(0) AS time_ms, '' AS source, toUInt64(0) AS offset, toInt8(0) AS kind, '' AS plan, \
    CAST(NULL, 'Nullable(UInt64)') AS monthly_quota, toUInt32(0) AS month, toInt32(0) AS day, \
    sum(w.run) AS tests \
FROM \
( \
    SELECT f.account_id AS account_id, f.organization_id AS organization_id, max(f.run) AS run \
    FROM test_executions_state AS f \
    WHERE $chosen \
        AND f.day BETWEEN {week_start:Date} AND {week_end:Date} \
    GROUP BY f.account_id, f.organization_id, f.project_id, f.day, f.source \
) AS w \
GROUP BY w.account_id, w.organization_id";

/// Tests that ran in the weeks before the days from now on, day by day.
const RAN: &str = "\
SELECT 'ran' AS part, w.account_id AS account_id, w.organization_id AS organization_id, \
    toInt64(0) AS time_ms, '' AS source, toUInt64(0) AS offset, toInt8(0) AS kind, '' AS plan, \
    CAST(NULL, 'Nullable(UInt64)') AS monthly_quota, toUInt32(0) AS month, toInt32(w.day) AS day, \
    sum(w.run) AS tests \
FROM \
( \
    SELECT f.account_id AS account_id, f.organization_id AS organization_id, f.day AS day, \
        max(f.run) AS run \
    FROM test_executions_state AS f \
    WHERE $chosen AND f.day >= {week_start:Date} \
    GROUP BY f.account_id, f.organization_id, f.project_id, f.day, f.source \
) AS w \
GROUP BY w.account_id, w.organization_id, w.day";

/// Time zones of now, as the plan.
const ZONES: &str = "\
SELECT 'zone' AS part, f.account_id AS account_id, '' AS organization_id, toInt64(0) AS time_ms, \
    '' AS source, toUInt64(0) AS offset, toInt8(0) AS kind, \
    CAST(argMax(f.timezone, (f.time, f.source, f.offset)), 'String') AS plan, CAST(NULL, \
    'Nullable(UInt64)') AS monthly_quota, toUInt32(0) AS month, toInt32(0) AS day, toUInt64(0) AS \
    tests \
FROM zone_facts AS f \
WHERE $chosen \
GROUP BY f.account_id";

#[derive(Row, Deserialize)]
struct FactRow {
    part: String,
    account_id: String,
    organization_id: String,
    time_ms: i64,
    source: String,
    offset: u64,
    kind: i8,
    plan: String,
    monthly_quota: Option<u64>,
    month: u32,
    day: i32,
    tests: u64,
}

/// Accounts that are asked about together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts<'a> {
    /// These, no more than fit into a query.
    These(&'a [String]),
    /// Those behind one id, up to and including another one, or all behind it; by the bytes of
    /// their ids.
    Behind { after: &'a str, upto: Option<&'a str> },
}

impl<'a> Accounts<'a> {
    /// Splits accounts into runs, each of which fits into a query.
    pub fn runs(ids: &'a [String]) -> impl Iterator<Item = Self> {
        chunks(ids).into_iter().map(Self::These)
    }
}

/// An account's plans and use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountQuota {
    /// The account's zone of now; `None` where this program does not know it.
    pub zone: Option<Zone>,
    /// By organization.
    pub organizations: HashMap<String, QuotaFacts>,
}

impl Default for AccountQuota {
    fn default() -> Self {
        Self { zone: Some(Zone::UTC), organizations: HashMap::new() }
    }
}

/// An account's plans and use, with what estimates are made from.
#[derive(Clone, Debug, Default)]
pub struct AccountCourses {
    /// The account's zone of now; `None` where this program does not know it.
    pub zone: Option<Zone>,
    /// By organization.
    pub organizations: HashMap<String, QuotaCourse>,
}

impl FactRow {
    /// Identity and order of a plan record.
    fn place(&self) -> (&str, &str, i64, &str, u64) {
        (&self.account_id, &self.organization_id, self.time_ms, &self.source, self.offset)
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
            ("from_day", as_of_day),
            ("week_start", week_start),
            ("week_end", week_end),
        ];
        let query = with_named_days(self.facts_query(&parts, account, scope), &days);
        Ok(self.facts(query).await?.remove(account).unwrap_or_default().organizations)
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
        let scope = Scope::Organizations(vec![organization.as_str()]);
        let query = self.facts_query(&parts, account, &scope);
        let query = with_named_days(query, &[("from_day", as_of_day)]);
        let mut found = self.facts(query).await?.remove(account.as_str()).unwrap_or_default();
        Ok(found.organizations.remove(organization.as_str()).unwrap_or_default())
    }

    /// What the quota of all organizations of the accounts is made of from a day on: zones, plans,
    /// and what is used of the months that run on that day or later, day by day. Accounts without a
    /// plan may be missing.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn quota_facts_from(
        &self,
        accounts: Accounts<'_>,
        from_day: Day,
    ) -> Result<HashMap<String, AccountQuota>, StoreError> {
        let chosen = match accounts {
            Accounts::These(_) => "f.account_id IN {accounts:Array(String)}",
            Accounts::Behind { upto: None, .. } => "f.account_id > {after:String}",
            Accounts::Behind { upto: Some(_), .. } => {
                "f.account_id > {after:String} AND f.account_id <= {upto:String}"
            }
        };
        let parts = [PLANS, &USED.replace("$days", RUNNING_AND_AHEAD), ZONES];
        let query = self.read(&parts.join(" UNION ALL ").replace("$chosen", chosen));
        let query = match accounts {
            Accounts::These(accounts) => query.param("accounts", accounts),
            Accounts::Behind { after, upto } => {
                let query = query.param("after", after);
                upto.into_iter().fold(query, |query, upto| query.param("upto", upto))
            }
        };
        let month_start = from_day.plus_days(-MONTH_DAYS_MAX);
        let days = [("month_start", month_start), ("from_day", from_day)];
        self.facts(with_named_days(query, &days)).await
    }

    /// As [`Self::quota_facts_from`], with the tests that ran from a week before that day on.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub async fn quota_courses_from(
        &self,
        accounts: &[String],
        from_day: Day,
    ) -> Result<HashMap<String, AccountCourses>, StoreError> {
        let parts = [PLANS, &USED.replace("$days", RUNNING_AND_AHEAD), ZONES, RAN];
        let sql = parts.join(" UNION ALL ");
        let sql = sql.replace("$chosen", "f.account_id IN {accounts:Array(String)}");
        let (week_start, _) = week_before(from_day);
        let days = [
            ("month_start", from_day.plus_days(-MONTH_DAYS_MAX)),
            ("from_day", from_day),
            ("week_start", week_start),
        ];
        let query = with_named_days(self.read(&sql).param("accounts", accounts), &days);
        let rows: Vec<FactRow> = self.fetch_all(query).await?;
        let (ran, rows) = rows.into_iter().partition(|row| row.part == "ran");
        let facts = self.facts_of(rows)?.into_iter().map(|(account, quota)| {
            let AccountQuota { zone, organizations } = quota;
            let organizations = organizations
                .into_iter()
                .map(|(id, facts)| (id, QuotaCourse { facts, ran: Vec::new() }));
            (account, AccountCourses { zone, organizations: organizations.collect() })
        });
        let mut found: HashMap<String, AccountCourses> = facts.collect();
        for row in ran {
            let account = found.get_mut(&row.account_id);
            let organization =
                account.and_then(|account| account.organizations.get_mut(&row.organization_id));
            if let Some(organization) = organization {
                organization.ran.push((Day(row.day), row.tests));
            }
        }
        Ok(found)
    }

    fn facts_query(&self, parts: &[&str], account: &str, scope: &Scope<'_>) -> Query {
        let organizations = match scope {
            Scope::Organizations(ids) if scope.fits() => Some(ids),
            _ => None,
        };
        let filter =
            organizations.map_or("", |_| " AND f.organization_id IN {organizations:Array(String)}");
        let chosen = format!("f.account_id = {{account:String}}{filter}");
        let sql = parts.join(" UNION ALL ").replace("$chosen", &chosen);
        let query = self.read(&sql).param("account", account);
        match organizations {
            Some(ids) => query.param("organizations", ids),
            None => query,
        }
    }

    async fn facts(&self, query: Query) -> Result<HashMap<String, AccountQuota>, StoreError> {
        self.facts_of(self.fetch_all(query).await?)
    }

    fn facts_of(&self, rows: Vec<FactRow>) -> Result<HashMap<String, AccountQuota>, StoreError> {
        let (mut plans, others): (Vec<FactRow>, _) =
            rows.into_iter().partition(|row| row.part == "plan");
        plans.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        plans.dedup_by(|a, b| a.place() == b.place());
        let mut found: HashMap<String, AccountQuota> = HashMap::new();
        for row in plans {
            let record = self.plan_record(&row)?;
            let account = found.entry(row.account_id).or_default();
            account.organizations.entry(row.organization_id).or_default().records.push(record);
        }
        for row in others {
            let account = found.entry(row.account_id).or_default();
            if row.part == "zone" {
                account.zone = row.plan.parse().ok();
                continue;
            }
            let organization = account.organizations.entry(row.organization_id).or_default();
            if row.part == "week" {
                organization.week_tests = row.tests;
            } else {
                organization.used.push(QuotaUsed {
                    anchor_ms: row.time_ms,
                    month: row.month,
                    day: Day(row.day),
                    tests: row.tests,
                });
            }
        }
        Ok(found)
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

/// Binds days under their names.
fn with_named_days(query: Query, days: &[(&str, Day)]) -> Query {
    days.iter().fold(query, |query, (name, day)| query.param(name, stored_day(*day).to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::{day_of, quota_month_start};

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
