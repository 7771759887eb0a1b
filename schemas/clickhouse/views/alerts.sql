CREATE OR REPLACE VIEW alerts /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization, empty for a rule of the whole account',
    rule String COMMENT 'quota, pace or seats',
    line String COMMENT 'What was reached: a percentage, exhausted, runs_out or overage',
    armed_at DateTime64(3, 'UTC') COMMENT 'Anchor of the quota month, or time of the record of purchase; 1970 without one',
    month UInt32 COMMENT 'Quota month, 1 = first; 0 for a rule of seats',
    id String COMMENT 'Id of the event that raised it',
    raised_at DateTime64(3, 'UTC') COMMENT 'When it was found',
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it had fallen below its line again, in the same month or after a purchase; null if it has not',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When its month or purchase was over; null while it is not',
    is_silent Bool COMMENT 'Nothing was sent: it was so before alerts were switched on for the first time',
    data String COMMENT 'The data of the event that raised it, JSON'
)
AS SELECT
    e.account_id AS account_id,
    e.organization_id AS organization_id,
    toString(e.rule) AS rule,
    toString(e.line) AS line,
    e.armed_at AS armed_at,
    e.month AS month,
    argMinIf(e.id, e.stored_at, e.state = 'raised') AS id,
    argMinIf(e.found_at, e.stored_at, e.state = 'raised') AS raised_at,
    if(
        countIf(e.state = 'resolved') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'resolved'))) AS resolved_at,
    if(
        countIf(e.state = 'ended') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'ended'))) AS ended_at,
    argMinIf(e.is_silent, e.stored_at, e.state = 'raised') AS is_silent,
    argMinIf(e.data, e.stored_at, e.state = 'raised') AS data
FROM alert_events AS e
GROUP BY
    e.account_id,
    e.rule,
    e.organization_id,
    e.armed_at,
    e.month,
    e.line
HAVING countIf(e.state = 'raised') > 0
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every alert that was raised; it is open while resolved_at and ended_at are null'
