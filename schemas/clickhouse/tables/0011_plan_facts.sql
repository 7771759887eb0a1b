-- The log of plans. Readers: plans.
CREATE TABLE IF NOT EXISTS plan_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    time DateTime64(3, 'UTC') COMMENT 'From when on, by the event',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    kind Enum8('started' = 1, 'upgraded' = 2, 'adjusted' = 3) COMMENT 'started and upgraded anchor the quota months anew, adjusted does not',
    plan String COMMENT 'Plan',
    monthly_quota Nullable(UInt64) COMMENT 'Tests per quota month, null = unlimited'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, organization_id, time, source, offset)
COMMENT 'Plans started, upgraded and adjusted, one row a record'
