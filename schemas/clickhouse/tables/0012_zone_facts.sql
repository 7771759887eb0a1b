-- The log of time zones: a change applies to the records after it. Readers: accounts.
CREATE TABLE IF NOT EXISTS zone_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    time DateTime64(3, 'UTC') COMMENT 'When it happened, by the event',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    timezone LowCardinality(String) COMMENT 'IANA name of the account''s time zone from this record on'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, time, source, offset)
COMMENT 'Time zones of accounts, one row a record'
