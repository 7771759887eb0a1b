-- Every column is a maximum, or a minimum, so an old row that arrives late changes nothing. Readers: ingest_progress.
CREATE TABLE IF NOT EXISTS source_progress /*on cluster*/
(
    source LowCardinality(String) COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic LowCardinality(String) COMMENT 'Kafka topic',
    topic_id LowCardinality(String) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    first_offset SimpleAggregateFunction(min, UInt64) COMMENT 'First offset that there was when counting began',
    next_offset SimpleAggregateFunction(max, UInt64) COMMENT 'First offset that is not counted yet',
    accepted SimpleAggregateFunction(max, UInt64) COMMENT 'Events counted so far',
    rejected SimpleAggregateFunction(max, UInt64) COMMENT 'Records rejected so far',
    duplicates SimpleAggregateFunction(max, UInt64) COMMENT 'Duplicate test.executed events so far',
    skipped SimpleAggregateFunction(max, UInt64) COMMENT 'Tombstones so far',
    absent SimpleAggregateFunction(max, UInt64) COMMENT 'Offsets so far that the log did not hold',
    last_record SimpleAggregateFunction(max, Tuple(offset UInt64, leader_epoch Int32, fingerprint UInt64)) COMMENT 'The last record counted, by which the log is known again; fingerprint 0 where there is none',
    high_watermark SimpleAggregateFunction(max, UInt64) COMMENT 'End of the partition''s log when last seen: the offset of the next record to be produced',
    end_valid_ms UInt32 EPHEMERAL COMMENT 'How long high_watermark stands for the log''s end, milliseconds from now; 0 where it could not be asked for',
    completes_flush Bool EPHEMERAL true COMMENT 'A flush is complete with this row; another one only tells where the log ends',
    end_known_until SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3) + toIntervalMillisecond(end_valid_ms) COMMENT 'Until when high_watermark stands for the log''s end, by ClickHouse''s clock',
    flushed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT if(completes_flush, now64(3), toDateTime64(0, 3)) COMMENT 'When the last flush was complete, by ClickHouse''s clock; 1970 before the first'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, topic, topic_id, partition)
COMMENT 'How far each Kafka partition has been counted; written last in every flush'
