-- As of integrity_of_sources. It reads all tests of all accounts.
CREATE OR REPLACE VIEW integrity_of_tests /*on cluster*/
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
    'tests' AS identity,
    '' AS account_id,
    p.source AS source,
    a.tests_run + a.tests_uploaded AS expected,
    e.run + e.uploaded AS found,
    toUInt64(greatest(a.tests_run, e.run) - least(a.tests_run, e.run)
        + greatest(a.tests_uploaded, e.uploaded) - least(a.tests_uploaded, e.uploaded)) AS difference,
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
        max(s.next_offset) AS next_offset
    FROM source_progress AS s
    GROUP BY s.source
) AS p ON p.source = a.source
LEFT JOIN
(
    SELECT
        k.source AS source,
        max(k.upto) AS upto,
        sum(k.run) AS run,
        sum(k.uploaded) AS uploaded
    FROM
    (
        SELECT
            t.source AS source,
            max(t.upto) AS upto,
            max(t.run) AS run,
            max(t.uploaded) AS uploaded
        FROM test_executions_state AS t
        GROUP BY
            t.account_id,
            t.organization_id,
            t.project_id,
            t.day,
            t.source
    ) AS k
    GROUP BY k.source
) AS e ON e.source = p.source
WHERE greatest(a.upto, e.upto) <= p.next_offset
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests by project against those of the audit, by source'
