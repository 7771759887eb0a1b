-- The log of assignments and revocations; redeliveries included. Readers: license_intervals.
CREATE TABLE IF NOT EXISTS seat_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    organization_id String COMMENT 'Organization of the seat',
    time DateTime64(3, 'UTC') COMMENT 'When it happened, by the event',
    kind Enum8('assigned' = 1, 'revoked' = 2) COMMENT 'What happened',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    project_id String COMMENT 'Project of an assigned seat, empty where the event named none',
    license_source String COMMENT 'Licence that an assigned seat is taken from; empty of a revoked one'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, user_id, organization_id, time, kind, source, offset)
COMMENT 'Seats assigned and revoked, one row a record'
