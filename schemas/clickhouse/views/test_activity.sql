-- Parameterized: test_activity(account = 'acme', organization = '42', project = '', first_days = ['2026-02-01', '2026-03-01'], last_day = '2026-03-31').
CREATE OR REPLACE VIEW test_activity /*on cluster*/
AS SELECT
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    sum(d.run) AS run,
    sum(d.uploaded) AS uploaded,
    sum(d.duration_ms) AS duration_ms
FROM test_executions_daily AS d
WHERE d.account_id = {account:String}
    AND d.organization_id = {organization:String}
    AND ({project:String} = '' OR d.project_id = {project:String})
    AND d.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
GROUP BY first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests of consecutive ranges of days, each named by its first day, the last one ending on last_day; ranges without tests have no row; for parameters account, organization (alone), project (empty for all), first_days (ascending) and last_day'
