-- A claim is a maximum, so an old row that arrives late changes nothing. Written before the rows that it announces.
CREATE TABLE IF NOT EXISTS zone_claims /*on cluster*/
(
    source LowCardinality(String) COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic LowCardinality(String) COMMENT 'Kafka topic',
    topic_id LowCardinality(String) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    release LowCardinality(String) COMMENT 'Release of the IANA time zone database that days were told by, such as 2026f',
    claim SimpleAggregateFunction(max, Tuple(turn UInt64, upto UInt64)) COMMENT 'How many changes of release came before; and the offset up to which rows with such days may be stored: beyond the progress amid a flush, or where one was cut off'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, topic, topic_id, partition, release)
COMMENT 'By which release of the time zone data each Kafka partition has been counted'
