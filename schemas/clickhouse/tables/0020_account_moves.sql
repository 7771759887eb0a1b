-- Written before all other rows of a flush, so that none is stored which a lost move was judged by. Readers: split_accounts.
CREATE TABLE IF NOT EXISTS account_moves /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that the account came to: topic/topic-id/partition',
    former LowCardinality(String) COMMENT 'Kafka partition that had met it before, empty in the row that only tells that it came',
    former_upto SimpleAggregateFunction(min, UInt64) COMMENT 'Next offset of the former partition''s progress when the account came, 0 without one'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source, former)
COMMENT 'Kafka partitions that have met each account, and from which other ones it came'
