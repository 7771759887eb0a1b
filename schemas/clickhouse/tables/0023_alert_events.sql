-- Written before anything is sent. Of several rows of one state of an alert the first that was stored counts: one that comes
-- again, or from a former owner of the partition, changes nothing, so an id has one text. Readers: alerts.
CREATE TABLE IF NOT EXISTS alert_events /*on cluster*/
(
    account_id String COMMENT 'Account',
    rule LowCardinality(String) COMMENT 'quota, pace or seats',
    organization_id String COMMENT 'Organization, empty for a rule of the whole account',
    armed_at DateTime64(3, 'UTC') COMMENT 'Anchor of the quota month, or time of the record of purchase; 1970 without one',
    month UInt32 COMMENT 'Quota month, 1 = first; 0 for a rule of seats',
    line LowCardinality(String) COMMENT 'What was reached: a percentage, exhausted, runs_out or overage',
    state Enum8('raised' = 1, 'resolved' = 2, 'ended' = 3) COMMENT 'Raised; fallen below its line again; or the month or purchase is over, of which nothing is sent',
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When it was stored, by ClickHouse''s clock',
    id String COMMENT 'Id of the event: a hash of rule, line, account, organization, armed_at, month and state',
    found_at DateTime64(3, 'UTC') COMMENT 'When it was found',
    is_silent Bool COMMENT 'Not sent: it was so before alerts were switched on for the first time',
    data String COMMENT 'The data of the event, JSON',
    event String COMMENT 'The event as it is sent, JSON; empty where nothing is'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, rule, organization_id, armed_at, month, line, state, stored_at)
COMMENT 'Alerts that were raised, and what became of them'
