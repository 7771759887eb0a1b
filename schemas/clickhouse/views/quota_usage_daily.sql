CREATE OR REPLACE VIEW quota_usage_daily /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    day Date COMMENT 'Calendar day in the account''s time zone',
    used UInt64 COMMENT 'Tests that consumed quota'
)
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.anchor AS anchor,
    s.month AS month,
    s.day AS day,
    sum(s.tests) AS used
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.anchor AS anchor,
        state.month AS month,
        state.day AS day,
        state.source AS source,
        max(state.tests) AS tests
    FROM quota_usage_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.anchor,
        state.month,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.anchor,
    s.month,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month and day'
