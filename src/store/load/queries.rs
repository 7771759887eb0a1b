//! The queries of a load. Each merges the rows of its table by their full key.

pub(super) const ZONE_FACTS: &str = "\
SELECT f.account_id AS account_id, toUnixTimestamp64Milli(f.time) AS time_ms, f.source AS source, \
f.offset AS offset, \
    any(f.timezone) AS timezone \
FROM zone_facts AS f \
WHERE f.account_id IN {keys:Array(String)} \
GROUP BY f.account_id, f.time, f.source, f.offset";

pub(super) const PLAN_FACTS: &str = "\
SELECT f.account_id AS account_id, f.organization_id AS organization_id, \
toUnixTimestamp64Milli(f.time) AS time_ms, \
    f.source AS source, f.offset AS offset, any(f.kind) AS kind, any(f.plan) AS plan, \
    any(f.monthly_quota) AS monthly_quota \
FROM plan_facts AS f \
WHERE f.account_id IN {keys:Array(String)} \
GROUP BY f.account_id, f.organization_id, f.time, f.source, f.offset";

pub(super) const ORGANIZATIONS: &str = "\
SELECT s.account_id AS account_id, s.organization_id AS organization_id \
FROM organizations_seen AS s \
WHERE s.account_id IN {keys:Array(String)} \
GROUP BY s.account_id, s.organization_id";

/// The seat facts that a condition on `f` selects.
///
/// Redeliveries are kept apart: which of them is the first depends on which of them the lane has to
/// forget.
macro_rules! seat_facts {
    ($condition:literal) => {
        concat!(
            "SELECT f.account_id AS account_id, f.user_id AS user_id, f.organization_id AS \
            organization_id, \
                toUnixTimestamp64Milli(f.time) AS time_ms, f.kind AS kind, f.source AS source, \
                f.offset AS offset, \
                any(f.project_id) AS project_id, any(f.license_source) AS license_source \
            FROM seat_facts AS f \
            WHERE ",
            $condition,
            " GROUP BY f.account_id, f.user_id, f.organization_id, f.time, f.kind, f.source, \
            f.offset"
        )
    };
}

pub(super) const SEAT_FACTS: &str =
    seat_facts!("(f.account_id, f.user_id) IN {keys:Array(Tuple(String, String))}");
pub(super) const SEAT_FACTS_OF_ACCOUNTS: &str = seat_facts!("f.account_id IN {keys:Array(String)}");

/// The use of seats that a condition on `s` selects; those that were never used are left out.
macro_rules! seat_usage {
    ($condition:literal) => {
        concat!(
            "SELECT s.account_id AS account_id, s.user_id AS user_id, s.organization_id AS \
            organization_id, \
                toUnixTimestamp64Milli(s.start) AS start_ms, \
                toUnixTimestamp64Milli(min(s.first_active)) AS first_active_ms, \
                toUnixTimestamp64Milli(max(s.last_active)) AS last_active_ms \
            FROM seat_intervals AS s \
            WHERE ",
            $condition,
            " GROUP BY s.account_id, s.organization_id, s.user_id, s.start \
            HAVING last_active_ms > 0"
        )
    };
}

// The organizations of the users' seats come from the facts, so that the primary key finds the
// intervals.
pub(super) const SEAT_USAGE: &str = seat_usage!(
    "(s.account_id, s.organization_id, s.user_id) IN \
        (SELECT f.account_id, f.organization_id, f.user_id FROM seat_facts AS f \
        WHERE (f.account_id, f.user_id) IN {keys:Array(Tuple(String, String))})"
);
pub(super) const SEAT_USAGE_OF_ACCOUNTS: &str = seat_usage!("s.account_id IN {keys:Array(String)}");

/// How many seat facts each account has, about: what merges have not yet made one is counted more
/// than once.
pub(super) const SEAT_FACT_COUNTS: &str = "\
SELECT f.account_id AS account_id, count() AS facts \
FROM seat_facts AS f \
WHERE f.account_id IN {keys:Array(String)} \
GROUP BY f.account_id";

/// The last day of any counter of one source.
macro_rules! last_day {
    ($table:literal) => {
        concat!(
            "SELECT s.account_id AS account_id, toInt32(max(s.day)) AS day FROM ",
            $table,
            " AS s WHERE s.account_id IN {keys:Array(String)} AND s.source = {source:String} GROUP \
            BY s.account_id"
        )
    };
}

pub(super) const LAST_EXECUTIONS: &str = last_day!("test_executions_state");
pub(super) const LAST_QUOTA_USAGE: &str = last_day!("quota_usage_state");

// The first condition is what the primary key can use, the second what is asked for.
pub(super) const TEST_EXECUTIONS: &str = "\
SELECT s.account_id AS account_id, s.organization_id AS organization_id, s.project_id AS \
project_id, \
    toInt32(s.day) AS day, max(s.run) AS run, max(s.uploaded) AS uploaded, max(s.duration_ms) AS \
    duration_ms, \
    max(s.upto) AS upto \
FROM test_executions_state AS s \
WHERE (s.account_id, s.organization_id) IN {owners:Array(Tuple(String, String))} \
    AND (s.account_id, s.organization_id, toInt32(toYear(s.day)) * 12 + toMonth(s.day) - 1) \
        IN {keys:Array(Tuple(String, String, Int32))} \
    AND s.source = {source:String} \
GROUP BY s.account_id, s.organization_id, s.project_id, s.day";

pub(super) const QUOTA_USAGE: &str = "\
SELECT s.account_id AS account_id, s.organization_id AS organization_id, \
toUnixTimestamp64Milli(s.anchor) AS anchor_ms, \
    s.month AS month, toInt32(s.day) AS day, max(s.tests) AS tests, max(s.upto) AS upto \
FROM quota_usage_state AS s \
WHERE (s.account_id, s.organization_id) IN {owners:Array(Tuple(String, String))} \
    AND (s.account_id, s.organization_id, toInt32(toYear(s.day)) * 12 + toMonth(s.day) - 1) \
        IN {keys:Array(Tuple(String, String, Int32))} \
    AND s.source = {source:String} \
GROUP BY s.account_id, s.organization_id, s.anchor, s.month, s.day";
