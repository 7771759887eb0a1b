-- A union stays exact when it is rolled up further: a block that is inserted twice changes nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS active_users_by_account_rollup /*on cluster*/
TO active_users_by_account_state
AS SELECT
    state.account_id AS account_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users
FROM active_users_state AS state
GROUP BY
    state.account_id,
    state.day
COMMENT 'Keeps active_users_by_account_state in step with active_users_state'
