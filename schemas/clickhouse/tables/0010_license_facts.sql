-- The log of purchases and allocations. Readers: license_purchases.
CREATE TABLE IF NOT EXISTS license_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the seats are allocated to, empty for those that the account owns',
    time DateTime64(3, 'UTC') COMMENT 'From when on, by the event',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    seats UInt64 COMMENT 'Seats owned or allocated from then on; an absolute figure'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, organization_id, time, source, offset)
COMMENT 'Seats purchased and allocated, one row a record'
