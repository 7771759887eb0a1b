CREATE OR REPLACE VIEW integrity /*on cluster*/
(
    identity String COMMENT 'outcomes: offsets passed, outcomes of records. rejected_records: count, rows of rejected_events. audited_records: records counted, those of ingest_audit. tests: those of ingest_audit, those by project. account_bitmaps: users by organization, by account (and day; days that are over for two days). intervals: assignments, intervals of seats. open_intervals: seats whose latest fact is an assignment, intervals without an end. quota: tests run, quota used (at most as many)',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    i.identity AS identity,
    i.account_id AS account_id,
    i.source AS source,
    i.expected AS expected,
    i.found AS found,
    i.difference AS difference,
    i.upto AS upto
FROM
(
    SELECT * FROM integrity_of_sources
    UNION ALL
    SELECT * FROM integrity_of_tests
    UNION ALL
    SELECT * FROM integrity_of_accounts
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Figures that are counted twice, each with both sides. Those of what a flush is writing are left out; of bitmaps and intervals a difference may be that of a flush, and counts if it stays'
