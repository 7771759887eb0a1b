-- Written before all other rows of a flush, so that none is stored which a lost move was judged by. Readers: split_accounts.
CREATE TABLE IF NOT EXISTS account_moves /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that the account came to: topic/topic-id/partition',
    former LowCardinality(String) COMMENT 'Kafka partition that had counted it before',
    former_upto SimpleAggregateFunction(min, UInt64) COMMENT 'Next offset of the former partition''s progress when the account came'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source, former)
COMMENT 'Accounts whose events came to another Kafka partition'
