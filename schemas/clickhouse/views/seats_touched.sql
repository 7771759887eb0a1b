-- Parameterized: seats_touched(account = 'acme', since = '2026-01-31 00:00:00').
CREATE OR REPLACE VIEW seats_touched /*on cluster*/
AS SELECT fact.user_id AS user_id
FROM seat_facts AS fact
WHERE fact.account_id = {account:String} AND fact.time >= {since:DateTime64(3, 'UTC')}
UNION ALL
SELECT usage.user_id AS user_id
FROM seat_usage_state AS usage
WHERE usage.account_id = {account:String} AND usage.first_active >= {since:DateTime64(3, 'UTC')}
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users whose seats may stand otherwise than they stood at since, some of them repeatedly (user_id), for parameters account and since'
