-- Cumulative per source, merged by max: a reader sums over sources the max of each. Readers: test_executions_daily.
CREATE TABLE IF NOT EXISTS test_executions_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project, empty where the event named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    source LowCardinality(String) COMMENT 'Kafka partition that was counted: topic/topic-id/partition',
    run SimpleAggregateFunction(max, UInt64) COMMENT 'Tests run on the platform, as this source has counted them so far',
    uploaded SimpleAggregateFunction(max, UInt64) COMMENT 'Tests whose results were uploaded, as this source has counted them so far',
    duration_ms SimpleAggregateFunction(max, UInt64) COMMENT 'Milliseconds that all of them took together, so far',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'Offset before which everything of this source is in the figures'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, organization_id, project_id, day, source)
COMMENT 'Tests executed per project, day and source'
