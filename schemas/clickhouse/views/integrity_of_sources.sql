-- What an INSERT has stored already beyond the progress is left out, or the row is, so that a flush that is under way, or one that
-- died, makes no difference. Each SELECT reads the progress once: whoever has read the same progress before the query began
-- knows that everything below it was there.
CREATE OR REPLACE VIEW integrity_of_sources /*on cluster*/
(
    identity String COMMENT 'What is compared: see integrity',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    i.identity AS identity,
    '' AS account_id,
    i.source AS source,
    i.expected AS expected,
    i.found AS found,
    toUInt64(greatest(i.expected, i.found) - least(i.expected, i.found)) AS difference,
    i.upto AS upto
FROM
(
    SELECT
        'outcomes' AS identity,
        p.source AS source,
        toUInt64(p.next_offset - p.first_offset) AS expected,
        p.accepted + p.rejected + p.duplicates + p.skipped + p.absent AS found,
        p.next_offset AS upto
    FROM
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p
    UNION ALL
    SELECT
        'rejected_records' AS identity,
        p.source AS source,
        any(p.rejected) AS expected,
        uniqExactIf(r.offset, r.source != '' AND r.offset < p.next_offset) AS found,
        any(p.next_offset) AS upto
    FROM rejected_event_facts AS r
    RIGHT JOIN
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p ON p.source = r.source
    GROUP BY p.source
    UNION ALL
    SELECT
        'audited_records' AS identity,
        p.source AS source,
        p.accepted + p.rejected + p.duplicates + p.skipped AS expected,
        a.records AS found,
        p.next_offset AS upto
    FROM
    (
        SELECT
            h.source AS source,
            max(tupleElement(h.counted, 'upto')) AS upto,
            sum(tupleElement(h.counted, 'accepted') + tupleElement(h.counted, 'rejected')
                + tupleElement(h.counted, 'duplicates') + tupleElement(h.counted, 'skipped')) AS records,
            sum(tupleElement(h.counted, 'tests_run')) AS tests_run,
            sum(tupleElement(h.counted, 'tests_uploaded')) AS tests_uploaded
        FROM
        (
            SELECT
                t.source AS source,
                max(t.counted) AS counted
            FROM ingest_audit_state AS t
            GROUP BY
                t.source,
                t.hour
        ) AS h
        GROUP BY h.source
    ) AS a
    RIGHT JOIN
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p ON p.source = a.source
    WHERE a.upto <= p.next_offset
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Identities of sources that the progress is one side of'
