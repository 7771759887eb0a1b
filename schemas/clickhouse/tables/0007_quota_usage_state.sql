-- Cumulative per source, merged by max: a reader sums over sources the max of each. Readers: quota_usage_daily.
CREATE TABLE IF NOT EXISTS quota_usage_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    day Date COMMENT 'Calendar day in the account''s time zone',
    source LowCardinality(String) COMMENT 'Kafka partition that was counted: topic/topic-id/partition',
    tests SimpleAggregateFunction(max, UInt64) COMMENT 'Tests that consumed quota, as this source has counted them so far',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'Offset before which everything of this source is in the figure'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, organization_id, anchor, month, day, source)
COMMENT 'Quota used per quota month, day and source'
