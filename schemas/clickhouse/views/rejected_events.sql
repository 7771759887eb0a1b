CREATE OR REPLACE VIEW rejected_events /*on cluster*/
(
    source String COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    partition UInt32 COMMENT 'Kafka partition',
    offset UInt64 COMMENT 'Offset of the record',
    timestamp Nullable(DateTime64(3, 'UTC')) COMMENT 'Kafka''s timestamp of the record, null where it has none',
    key Nullable(String) COMMENT 'First 64 KiB of the key, as it came, null where the record has none',
    payload String COMMENT 'First 64 KiB of the value, as it came',
    payload_bytes UInt64 COMMENT 'Bytes of the whole value',
    reason String COMMENT 'too_large, invalid_json, missing_field, invalid_field, unknown_type, time_too_old or time_in_future',
    path String COMMENT 'Field at fault, such as data.seats; $key for the record''s key; empty where no single field is',
    flushed_at DateTime64(3, 'UTC') COMMENT 'When it was first written here'
)
AS SELECT
    r.source AS source,
    r.topic AS topic,
    r.partition AS partition,
    r.offset AS offset,
    r.timestamp AS timestamp,
    r.key AS key,
    any(r.payload) AS payload,
    r.payload_bytes AS payload_bytes,
    r.reason AS reason,
    r.path AS path,
    min(r.flushed_at) AS flushed_at
FROM rejected_event_facts AS r
GROUP BY
    r.source,
    r.topic,
    r.partition,
    r.offset,
    r.timestamp,
    r.key,
    r.payload_bytes,
    r.reason,
    r.path
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Records that are not events, each once, with the reason'
