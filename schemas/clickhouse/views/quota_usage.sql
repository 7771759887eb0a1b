CREATE OR REPLACE VIEW quota_usage /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    first_day Date COMMENT 'First day of that month on which quota was used',
    last_day Date COMMENT 'Last such day',
    used UInt64 COMMENT 'Tests that consumed quota'
)
AS SELECT
    d.account_id AS account_id,
    d.organization_id AS organization_id,
    d.anchor AS anchor,
    d.month AS month,
    min(d.day) AS first_day,
    max(d.day) AS last_day,
    sum(d.used) AS used
FROM quota_usage_daily AS d
GROUP BY
    d.account_id,
    d.organization_id,
    d.anchor,
    d.month
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month; months without use have no row'
