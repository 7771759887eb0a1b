-- The row of the empty source tells since when alerts are on for this database; that of a source how far it had been counted
-- when its accounts were judged last: one that is counted anew from an earlier offset is not judged before it is there again.
CREATE TABLE IF NOT EXISTS alert_sources /*on cluster*/
(
    source LowCardinality(String) COMMENT 'Kafka partition: topic/topic-id/partition; empty for the database',
    judged_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Next offset of the progress that its accounts were judged by last, 0 for the database',
    since SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When its accounts were judged first; of the database: when alerts were switched on first'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY source
COMMENT 'Since when, and how far, each Kafka partition is judged for alerts'
