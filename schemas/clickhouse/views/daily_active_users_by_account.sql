CREATE OR REPLACE VIEW daily_active_users_by_account /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'The users, for groupBitmapMerge over days; their keys are user_key in the view users',
    active_users UInt64 COMMENT 'Distinct users'
)
AS SELECT
    state.account_id AS account_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users,
    groupBitmapMerge(state.users) AS active_users
FROM active_users_by_account_state AS state
GROUP BY
    state.account_id,
    state.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users active per account and day; for longer periods merge the bitmaps and never add the counts'
