CREATE OR REPLACE VIEW test_executions_daily /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project, empty where the event named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    executions UInt64 COMMENT 'Tests run and uploaded',
    run UInt64 COMMENT 'Tests run on the platform',
    uploaded UInt64 COMMENT 'Tests whose results were uploaded',
    duration_ms UInt64 COMMENT 'Milliseconds that all of them took together'
)
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.project_id AS project_id,
    s.day AS day,
    sum(s.run) + sum(s.uploaded) AS executions,
    sum(s.run) AS run,
    sum(s.uploaded) AS uploaded,
    sum(s.duration_ms) AS duration_ms
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.project_id AS project_id,
        state.day AS day,
        state.source AS source,
        max(state.run) AS run,
        max(state.uploaded) AS uploaded,
        max(state.duration_ms) AS duration_ms
    FROM test_executions_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.project_id,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.project_id,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests executed per project and day'
