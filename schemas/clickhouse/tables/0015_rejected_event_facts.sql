-- A replay writes the same record again, later. Readers: rejected_events, where each is once.
CREATE TABLE IF NOT EXISTS rejected_event_facts /*on cluster*/
(
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    topic SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka topic',
    partition SimpleAggregateFunction(any, UInt32) COMMENT 'Kafka partition',
    offset UInt64 COMMENT 'Offset of the record',
    timestamp SimpleAggregateFunction(any, Nullable(DateTime64(3, 'UTC'))) COMMENT 'Kafka''s timestamp of the record, null where it has none',
    key SimpleAggregateFunction(any, Nullable(String)) COMMENT 'First 64 KiB of the key, as it came, null where the record has none',
    payload SimpleAggregateFunction(any, String) COMMENT 'First 64 KiB of the value, as it came' CODEC(ZSTD(3)),
    payload_bytes SimpleAggregateFunction(any, UInt64) COMMENT 'Bytes of the whole value',
    reason SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'too_large, invalid_json, missing_field, invalid_field, unknown_type, time_too_old or time_in_future',
    path SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Field at fault, such as data.seats; $key for the record''s key; empty where no single field is',
    flushed_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT now64(3) COMMENT 'When it was first written here'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, offset)
COMMENT 'Records that are not events, with the reason'
