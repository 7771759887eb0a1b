-- What holds once and for all: since when alerts are on, since when a target is known (it gets nothing older), since when a
-- partition's accounts are judged by a line (of what had reached it before, nothing is sent), and how far a partition had been
-- counted when its accounts were judged last: where it is counted anew from an earlier offset, nothing is
-- judged before it is there again.
CREATE TABLE IF NOT EXISTS alert_marks /*on cluster*/
(
    kind Enum8('database' = 1, 'source' = 2, 'target' = 3, 'line' = 4) COMMENT 'What is marked',
    name LowCardinality(String) COMMENT 'Kafka partition as topic/topic-id/partition; name or address of a webhook, or kafka: and a topic; partition, rule and percentage of a line; empty for the database',
    since SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When alerts were switched on first, a partition was judged first, by all or by a line, or a target was known first',
    judged_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Next offset of the progress that the accounts of the partition were judged by last, else 0'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (kind, name)
COMMENT 'Since when, and how far, there are alerts'
