-- Written after the bitmaps that it covers, and before the progress of accounts. The API keeps figures of days under it.
CREATE TABLE IF NOT EXISTS active_days /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    source LowCardinality(String) COMMENT 'Kafka partition that counted it: topic/topic-id/partition',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'The users of the day from records below this offset of the partition are stored'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day, source)
COMMENT 'How far each Kafka partition has counted the active users of an account''s days'
