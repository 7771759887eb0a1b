-- Minimum and maximum per interval; the interval's end is that of the next fact. Readers: license_intervals.
CREATE TABLE IF NOT EXISTS seat_usage_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    organization_id String COMMENT 'Organization of the seat',
    start DateTime64(3, 'UTC') COMMENT 'When the seat was assigned',
    first_active SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Earliest activity in the interval',
    last_active SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Latest activity in the interval, as its end was known then'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, user_id, organization_id, start)
COMMENT 'First and last use of each assigned seat'
