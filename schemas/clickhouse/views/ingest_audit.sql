-- An hour is complete once a record of a later one lies below the progress: everything below it is stored. Producers stamp
-- the records, so a late one may come all the same, and is then counted in its hour.
CREATE OR REPLACE VIEW ingest_audit /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    hour DateTime('UTC') COMMENT 'Hour of Kafka''s timestamps of the records; 1970 where they have none',
    first_offset UInt64 COMMENT 'Offset of the first record of the hour',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    tests_run UInt64 COMMENT 'Tests run on the platform, of the accepted events',
    tests_uploaded UInt64 COMMENT 'Tests whose results were uploaded, of the accepted events',
    checksum UInt64 COMMENT 'Sum modulo 2^64, over the accepted records, of xxh3(concat(reinterpretAsFixedString(xxh3(account_id)), reinterpretAsFixedString(toUInt64(offset)), id))',
    complete Bool COMMENT 'Whether a later hour of the partition has been counted past'
)
AS SELECT
    h.source AS source,
    h.topic AS topic,
    h.topic_id AS topic_id,
    h.partition AS partition,
    h.hour AS hour,
    h.first_offset AS first_offset,
    tupleElement(h.counted, 'accepted') AS accepted,
    tupleElement(h.counted, 'rejected') AS rejected,
    tupleElement(h.counted, 'duplicates') AS duplicates,
    tupleElement(h.counted, 'skipped') AS skipped,
    tupleElement(h.counted, 'tests_run') AS tests_run,
    tupleElement(h.counted, 'tests_uploaded') AS tests_uploaded,
    tupleElement(h.counted, 'checksum') AS checksum,
    toBool(h.hour < l.hour) AS complete
FROM
(
    SELECT
        s.source AS source,
        s.hour AS hour,
        any(s.topic) AS topic,
        any(s.topic_id) AS topic_id,
        any(s.partition) AS partition,
        min(s.first_offset) AS first_offset,
        max(s.counted) AS counted
    FROM ingest_audit_state AS s
    GROUP BY
        s.source,
        s.hour
) AS h
LEFT JOIN
(
    SELECT
        f.source AS source,
        max(f.hour) AS hour
    FROM ingest_audit_state AS f
    INNER JOIN
    (
        SELECT
            p.source AS source,
            max(p.next_offset) AS next_offset
        FROM source_progress AS p
        GROUP BY p.source
    ) AS g ON g.source = f.source
    WHERE f.first_offset < g.next_offset
    GROUP BY f.source
) AS l ON l.source = h.source
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Outcomes of records by Kafka partition and hour of record time, with a checksum of those accepted, to compare with a producer''s count or a copy of the log'
