-- Written once a target has acknowledged an event, or has not for as long as is tried. Readers: the worker that owns the
-- account's partition, at its start.
CREATE TABLE IF NOT EXISTS alert_deliveries /*on cluster*/
(
    account_id String COMMENT 'Account',
    id String COMMENT 'Id of the event',
    target LowCardinality(String) COMMENT 'Address of a webhook, or kafka: and a topic',
    outcome Enum8('delivered' = 1, 'given_up' = 2) COMMENT 'Acknowledged; or not for three days',
    at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When, by ClickHouse''s clock'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, id, target, outcome)
COMMENT 'Which target has got which event of an alert'
