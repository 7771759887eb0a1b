-- Minimum and maximum per interval. Its end is a minimum because facts only ever shorten an interval: a fact tells its own
-- interval, whose end is the next fact that is known, and the end of the assignment before it. A row tells what is new;
-- of the rest it holds what changes nothing: the year 2299 for a minimum, 1970 for a maximum. Readers: license_intervals.
CREATE TABLE IF NOT EXISTS seat_intervals /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization of the seat',
    user_id String COMMENT 'User',
    start DateTime64(3, 'UTC') COMMENT 'When the seat was assigned',
    opened SimpleAggregateFunction(min, Tuple(is_unknown Bool, source String, offset UInt64, project_id String, license_source String)) COMMENT 'The first record that assigned it at that time, with the project (empty if none) and the licence that it named; unknown in a row that tells other things',
    end SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When it was revoked or assigned anew; 2299 while it is held',
    superseded SimpleAggregateFunction(max, Bool) COMMENT 'Whether the user was assigned a seat in this organization again, later',
    first_active SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Earliest activity since the start, as the end was known then; 2299 if none',
    last_active SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Latest activity since the start, as the end was known then; 1970 if none'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, organization_id, user_id, start)
COMMENT 'Every seat ever held, from assignment to the next assignment or revocation'
