CREATE OR REPLACE VIEW ingest_progress /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    first_offset UInt64 COMMENT 'First offset that there was when counting began',
    next_offset UInt64 COMMENT 'First offset that is not counted yet',
    high_watermark UInt64 COMMENT 'End of the partition''s log when last seen',
    lag Nullable(UInt64) COMMENT 'Records still to be counted; NULL where the log could not be asked for its end lately',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    absent UInt64 COMMENT 'Offsets that the log did not hold',
    last_record Tuple(offset UInt64, leader_epoch Int32, fingerprint UInt64) COMMENT 'The last record counted, by which the log is known again; fingerprint 0 where there is none',
    zone_release String COMMENT 'Release of the IANA time zone database that days were told by last; empty before the first',
    flushed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the last flush was complete; NULL before the first'
)
AS SELECT
    p.source AS source,
    p.topic AS topic,
    p.topic_id AS topic_id,
    p.partition AS partition,
    min(p.first_offset) AS first_offset,
    max(p.next_offset) AS next_offset,
    max(p.high_watermark) AS high_watermark,
    multiIf(
        max(p.end_known_until) < now64(3),
        NULL,
        max(p.high_watermark) > max(p.next_offset),
        max(p.high_watermark) - max(p.next_offset),
        0
    ) AS lag,
    max(p.accepted) AS accepted,
    max(p.rejected) AS rejected,
    max(p.duplicates) AS duplicates,
    max(p.skipped) AS skipped,
    max(p.absent) AS absent,
    max(p.last_record) AS last_record,
    ifNull(any(z.release), '') AS zone_release,
    nullIf(max(p.flushed_at), toDateTime64(0, 3, 'UTC')) AS flushed_at
FROM source_progress AS p
LEFT JOIN
(
    SELECT
        c.source AS source,
        argMax(c.release, c.claim) AS release
    FROM zone_claims AS c
    GROUP BY c.source
) AS z ON z.source = p.source
GROUP BY
    p.source,
    p.topic,
    p.topic_id,
    p.partition
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'How far each Kafka partition has been counted'
