-- Written after the rows that it covers, and before the progress of its source. Readers: split_accounts, loads of lanes.
CREATE TABLE IF NOT EXISTS account_progress /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that counted it: topic/topic-id/partition',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'Everything of the account below this offset of the partition is stored',
    first_event SimpleAggregateFunction(min, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s first event in the partition: offset, and Kafka''s timestamp in milliseconds (the greatest number where the record has none)',
    last_event SimpleAggregateFunction(max, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s last event in the partition: offset, and Kafka''s timestamp in milliseconds (the least number where the record has none)'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source)
COMMENT 'How far each Kafka partition has counted each account'
