-- Written after the rows that it covers, and before the progress of its source. A topic that a flush has not touched says
-- nothing: 0 and 1970. Readers: split_accounts, the API's look.
CREATE TABLE IF NOT EXISTS account_progress /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that counted it: topic/topic-id/partition',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'Everything of the account below this offset of the partition is stored',
    first_event SimpleAggregateFunction(min, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s first event in the partition: offset, and Kafka''s timestamp in milliseconds (the greatest number where the record has none)',
    last_event SimpleAggregateFunction(max, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s last event in the partition: offset, and Kafka''s timestamp in milliseconds (the least number where the record has none)',
    directory_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Names, parents, zones and organizations seen below this offset are stored, 0 where nothing is said',
    directory_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    seats_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Seats, purchases, allocations and the first uses of seats below this offset are stored, 0 where nothing is said',
    seats_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    uses_upto SimpleAggregateFunction(max, UInt64) COMMENT 'The last uses of seats below this offset are stored, 0 where nothing is said',
    uses_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    activity_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Active users below this offset are stored, 0 where nothing is said',
    activity_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    tests_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Test executions, quota usage and plans below this offset are stored, 0 where nothing is said',
    tests_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source)
COMMENT 'How far each Kafka partition has counted each account, by topic'
