CREATE OR REPLACE VIEW plans /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    time DateTime64(3, 'UTC') COMMENT 'From when on',
    kind Enum8('started' = 1, 'upgraded' = 2, 'adjusted' = 3) COMMENT 'started and upgraded anchor the quota months anew, adjusted does not',
    plan String COMMENT 'Plan',
    monthly_quota Nullable(UInt64) COMMENT 'Tests per quota month, null = unlimited',
    source String COMMENT 'Kafka partition that the record lies in; with offset it orders records of the same time',
    offset UInt64 COMMENT 'Offset of the record'
)
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS time,
    any(f.kind) AS kind,
    any(f.plan) AS plan,
    any(f.monthly_quota) AS monthly_quota,
    f.source AS source,
    f.offset AS offset
FROM plan_facts AS f
GROUP BY
    f.account_id,
    f.organization_id,
    f.time,
    f.source,
    f.offset
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Plan records of organizations; the latest by (time, source, offset) is in force'
