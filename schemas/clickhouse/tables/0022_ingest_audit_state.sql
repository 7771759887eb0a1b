-- Cumulative per source. A checksum that wraps around is no maximum, so the counts are merged together, by the greatest upto:
-- what one source has counted up to an offset is the same whoever counted it. Readers: ingest_audit.
CREATE TABLE IF NOT EXISTS ingest_audit_state /*on cluster*/
(
    source LowCardinality(String) COMMENT 'Kafka partition that was counted: topic/topic-id/partition',
    hour DateTime('UTC') COMMENT 'Hour of Kafka''s timestamps of the records; 1970 where they have none',
    topic SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka topic',
    topic_id SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition SimpleAggregateFunction(any, UInt32) COMMENT 'Kafka partition',
    first_offset SimpleAggregateFunction(min, UInt64) COMMENT 'Offset of the first record of the hour',
    counted SimpleAggregateFunction(max, Tuple(upto UInt64, accepted UInt64, rejected UInt64, duplicates UInt64, skipped UInt64, tests_run UInt64, tests_uploaded UInt64, checksum UInt64)) COMMENT 'Offset before which everything of this source is in the figures, and the figures: see ingest_audit'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, hour)
COMMENT 'Outcomes of records by Kafka partition and hour of record time, with a checksum'
