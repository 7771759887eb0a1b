-- Which of the files in tables/ have been applied. The checksum tells an edited file from the one that was applied.
CREATE TABLE IF NOT EXISTS schema_migrations /*on cluster*/
(
    version UInt32 COMMENT 'Number of the migration file',
    name String COMMENT 'Name of the migration file without its number',
    checksum String COMMENT 'SHA-256 of the file, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (version, name, checksum)
COMMENT 'Migrations applied to this database'
;
-- Every column is a maximum, or a minimum, so an old row that arrives late changes nothing. Readers: ingest_progress.
CREATE TABLE IF NOT EXISTS source_progress /*on cluster*/
(
    source LowCardinality(String) COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic LowCardinality(String) COMMENT 'Kafka topic',
    topic_id LowCardinality(String) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    first_offset SimpleAggregateFunction(min, UInt64) COMMENT 'First offset that there was when counting began',
    next_offset SimpleAggregateFunction(max, UInt64) COMMENT 'First offset that is not counted yet',
    accepted SimpleAggregateFunction(max, UInt64) COMMENT 'Events counted so far',
    rejected SimpleAggregateFunction(max, UInt64) COMMENT 'Records rejected so far',
    duplicates SimpleAggregateFunction(max, UInt64) COMMENT 'Duplicate test.executed events so far',
    skipped SimpleAggregateFunction(max, UInt64) COMMENT 'Tombstones so far',
    absent SimpleAggregateFunction(max, UInt64) COMMENT 'Offsets so far that the log did not hold',
    last_record SimpleAggregateFunction(max, Tuple(offset UInt64, leader_epoch Int32, fingerprint UInt64)) COMMENT 'The last record counted, by which the log is known again; fingerprint 0 where there is none',
    high_watermark SimpleAggregateFunction(max, UInt64) COMMENT 'End of the partition''s log when last seen: the offset of the next record to be produced',
    end_valid_ms UInt32 EPHEMERAL COMMENT 'How long high_watermark stands for the log''s end, milliseconds from now; 0 where it could not be asked for',
    completes_flush Bool EPHEMERAL true COMMENT 'A flush is complete with this row; another one only tells where the log ends',
    end_known_until SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3) + toIntervalMillisecond(end_valid_ms) COMMENT 'Until when high_watermark stands for the log''s end, by ClickHouse''s clock',
    flushed_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT if(completes_flush, now64(3), toDateTime64(0, 3)) COMMENT 'When the last flush was complete, by ClickHouse''s clock; 1970 before the first'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, topic, topic_id, partition)
COMMENT 'How far each Kafka partition has been counted; written last in every flush'
;
-- Union of bitmaps: a user that is written twice is there once. The day comes before the organization, since reports are about
-- ranges of days, of one organization or of all. Readers: daily_active_users.
CREATE TABLE IF NOT EXISTS active_users_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the activity named, empty where it named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'Keys of the users who were active (see user_key in the view users)'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day, organization_id)
COMMENT 'Users active per account, organization and day'
;
-- Filled by active_users_by_account_rollup. Readers: daily_active_users_by_account.
CREATE TABLE IF NOT EXISTS active_users_by_account_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'Keys of the users who were active (see user_key in the view users)'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day)
COMMENT 'Users active per account and day, whatever organization their activity named'
;
-- A union stays exact when it is rolled up further: a block that is inserted twice changes nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS active_users_by_account_rollup /*on cluster*/
TO active_users_by_account_state
AS SELECT
    state.account_id AS account_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users
FROM active_users_state AS state
GROUP BY
    state.account_id,
    state.day
COMMENT 'Keeps active_users_by_account_state in step with active_users_state'
;
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
;
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
;
-- The log of assignments and revocations; redeliveries included. Readers: license_intervals.
CREATE TABLE IF NOT EXISTS seat_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    organization_id String COMMENT 'Organization of the seat',
    time DateTime64(3, 'UTC') COMMENT 'When it happened, by the event',
    kind Enum8('assigned' = 1, 'revoked' = 2) COMMENT 'What happened',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    project_id String COMMENT 'Project of an assigned seat, empty where the event named none',
    license_source String COMMENT 'Licence that an assigned seat is taken from; empty of a revoked one'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, user_id, organization_id, time, kind, source, offset)
COMMENT 'Seats assigned and revoked, one row a record'
;
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
;
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
;
-- The log of plans. Readers: plans.
CREATE TABLE IF NOT EXISTS plan_facts /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    time DateTime64(3, 'UTC') COMMENT 'From when on, by the event',
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    offset UInt64 COMMENT 'Offset of the record',
    kind Enum8('started' = 1, 'upgraded' = 2, 'adjusted' = 3) COMMENT 'started and upgraded anchor the quota months anew, adjusted does not',
    plan String COMMENT 'Plan',
    monthly_quota Nullable(UInt64) COMMENT 'Tests per quota month, null = unlimited'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, organization_id, time, source, offset)
COMMENT 'Plans started, upgraded and adjusted, one row a record'
;
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
;
-- The latest value of each field: the maximum of (time, source, offset, value, search_key). The search key is the value as people
-- look for it: decomposed by NFKD, without combining marks, case-folded, with i for the dotless one. No SQL function makes it, so
-- the worker writes it; it is empty where it is the value itself. A user who has no name is searched by the id: where that has a
-- key other than itself, a name of time 0 that is empty carries it. Readers: accounts, organizations, users, projects.
CREATE TABLE IF NOT EXISTS directory_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    entity Enum8('account' = 1, 'organization' = 2, 'user' = 3, 'project' = 4) COMMENT 'What is described',
    organization_id String COMMENT 'Organization of a project, empty of anything else',
    entity_id String COMMENT 'Id of what is described; of an account its own',
    field Enum8('name' = 1, 'email' = 2, 'parent' = 3) COMMENT 'Which field of it; parent is an organization''s and empty at top level',
    latest SimpleAggregateFunction(max, Tuple(time DateTime64(3, 'UTC'), source String, offset UInt64, value String, search_key String)) COMMENT 'The value, led by the time, source and offset of the record that gave it, and what it is searched by, empty where that is the value itself'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, entity, organization_id, entity_id, field)
COMMENT 'Names, e-mail addresses and parents, field by field'
;
-- Readers: accounts, organizations.
CREATE TABLE IF NOT EXISTS organizations_seen /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization, empty for the account itself'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, organization_id)
COMMENT 'Every account and organization that any event has named'
;
-- A replay writes the same record again, later. Readers: rejected_events, where each is once.
CREATE TABLE IF NOT EXISTS rejected_event_facts /*on cluster*/
(
    source LowCardinality(String) COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    topic SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka topic',
    partition SimpleAggregateFunction(any, UInt32) COMMENT 'Kafka partition',
    offset UInt64 COMMENT 'Offset of the record',
    timestamp SimpleAggregateFunction(any, Nullable(DateTime64(3, 'UTC'))) COMMENT 'Kafka''s timestamp of the record, null where it has none',
    key SimpleAggregateFunction(any, Nullable(String)) COMMENT 'First 64 KiB of the key, as it came, null where the record has none',
    payload SimpleAggregateFunction(any, String) COMMENT 'First 64 KiB of the value, as it came' CODEC(ZSTD(3)),
    payload_bytes SimpleAggregateFunction(any, UInt64) COMMENT 'Bytes of the whole value',
    reason SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'too_large, invalid_json, missing_field, invalid_field, unknown_type, time_too_old or time_in_future',
    path SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Field at fault, such as data.seats; $key for the record''s key; empty where no single field is',
    flushed_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT now64(3) COMMENT 'When it was first written here'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, offset)
COMMENT 'Records that are not events, with the reason'
;
-- The text from which each view was made. A view is made anew when its text changes.
CREATE TABLE IF NOT EXISTS schema_views /*on cluster*/
(
    name LowCardinality(String) COMMENT 'Name of the view',
    checksum String COMMENT 'SHA-256 of its statement, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was made; the latest row of a view counts'
)
ENGINE = /*replicated*/ReplacingMergeTree(applied_at)
ORDER BY name
COMMENT 'Views made in this database'
;
-- What is chosen once for a database and stays. `migrate` puts random numbers of its own in the place of rand64: then they
-- are part of the table, so of two programs that migrate at once the first decides, and the rows that both add are the same.
CREATE TABLE IF NOT EXISTS deployment /*on cluster*/
(
    user_key_seed Tuple(UInt64, UInt64) DEFAULT (rand64(1), rand64(2)) COMMENT 'Secret key of the hash that makes user_key of a text id (see the view users); never to be changed while there is data',
    made_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was made'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY user_key_seed
COMMENT 'What was chosen for this database when it was made'
;
-- A claim is a maximum, so an old row that arrives late changes nothing. Written before the rows that it announces.
CREATE TABLE IF NOT EXISTS zone_claims /*on cluster*/
(
    source LowCardinality(String) COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic LowCardinality(String) COMMENT 'Kafka topic',
    topic_id LowCardinality(String) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    release LowCardinality(String) COMMENT 'Release of the IANA time zone database that days were told by, such as 2026f',
    claim SimpleAggregateFunction(max, Tuple(turn UInt64, upto UInt64)) COMMENT 'How many changes of release came before; and the offset up to which rows with such days may be stored: beyond the progress amid a flush, or where one was cut off'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, topic, topic_id, partition, release)
COMMENT 'By which release of the time zone data each Kafka partition has been counted'
;
-- Written after the rows that it covers, and before the progress of its source. A topic that a flush has not touched says
-- nothing: 0 and 1970. Readers: split_accounts, the API's look.
CREATE TABLE IF NOT EXISTS account_progress /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that counted it: topic/topic-id/partition',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'Everything of the account below this offset of the partition is stored',
    first_event SimpleAggregateFunction(min, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s first event in the partition: offset, and Kafka''s timestamp in milliseconds (the greatest number where the record has none)',
    last_event SimpleAggregateFunction(max, Tuple(offset UInt64, timestamp_ms Int64)) COMMENT 'The account''s last event in the partition: offset, and Kafka''s timestamp in milliseconds (the least number where the record has none)',
    directory_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Names, parents, zones and organizations seen below this offset are stored, 0 where nothing is said',
    directory_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    seats_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Seats, purchases, allocations and the first uses of seats below this offset are stored, 0 where nothing is said',
    seats_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    uses_upto SimpleAggregateFunction(max, UInt64) COMMENT 'The last uses of seats below this offset are stored, 0 where nothing is said',
    uses_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    activity_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Active users below this offset are stored, 0 where nothing is said',
    activity_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one',
    tests_upto SimpleAggregateFunction(max, UInt64) COMMENT 'Test executions, quota usage and plans below this offset are stored, 0 where nothing is said',
    tests_latest SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Greatest time of an event that may have changed one of them, 1970 without one'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source)
COMMENT 'How far each Kafka partition has counted each account, by topic'
;
-- Written before all other rows of a flush, so that none is stored which a lost move was judged by. Readers: split_accounts.
CREATE TABLE IF NOT EXISTS account_moves /*on cluster*/
(
    account_id String COMMENT 'Account',
    source LowCardinality(String) COMMENT 'Kafka partition that the account came to: topic/topic-id/partition',
    former LowCardinality(String) COMMENT 'Kafka partition that had met it before, empty in the row that only tells that it came',
    former_upto SimpleAggregateFunction(min, UInt64) COMMENT 'Next offset of the former partition''s progress when the account came, 0 without one'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, source, former)
COMMENT 'Kafka partitions that have met each account, and from which other ones it came'
;
-- Written after the bitmaps that it covers, and before the progress of accounts. The API keeps figures of days under it.
CREATE TABLE IF NOT EXISTS active_days /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    source LowCardinality(String) COMMENT 'Kafka partition that counted it: topic/topic-id/partition',
    upto SimpleAggregateFunction(max, UInt64) COMMENT 'The users of the day from records below this offset of the partition are stored'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day, source)
COMMENT 'How far each Kafka partition has counted the active users of an account''s days'
;
-- Cumulative per source. A checksum that wraps around is no maximum, so the counts are merged together, by the greatest upto:
-- what one source has counted up to an offset is the same whoever counted it. Readers: ingest_audit.
CREATE TABLE IF NOT EXISTS ingest_audit_state /*on cluster*/
(
    source LowCardinality(String) COMMENT 'Kafka partition that was counted: topic/topic-id/partition',
    hour DateTime('UTC') COMMENT 'Hour of Kafka''s timestamps of the records; 1970 where they have none',
    topic SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka topic',
    topic_id SimpleAggregateFunction(any, LowCardinality(String)) COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition SimpleAggregateFunction(any, UInt32) COMMENT 'Kafka partition',
    first_offset SimpleAggregateFunction(min, UInt64) COMMENT 'Offset of the first record of the hour',
    counted SimpleAggregateFunction(max, Tuple(upto UInt64, accepted UInt64, rejected UInt64, duplicates UInt64, skipped UInt64, tests_run UInt64, tests_uploaded UInt64, checksum UInt64)) COMMENT 'Offset before which everything of this source is in the figures, and the figures: see ingest_audit'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (source, hour)
COMMENT 'Outcomes of records by Kafka partition and hour of record time, with a checksum'
;
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
;
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
;
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
;
CREATE OR REPLACE VIEW ingest_progress /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    first_offset UInt64 COMMENT 'First offset that there was when counting began',
    next_offset UInt64 COMMENT 'First offset that is not counted yet',
    high_watermark UInt64 COMMENT 'End of the partition''s log when last seen',
    lag Nullable(UInt64) COMMENT 'Records still to be counted; NULL where the log could not be asked for its end lately',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    absent UInt64 COMMENT 'Offsets that the log did not hold',
    last_record Tuple(offset UInt64, leader_epoch Int32, fingerprint UInt64) COMMENT 'The last record counted, by which the log is known again; fingerprint 0 where there is none',
    zone_release String COMMENT 'Release of the IANA time zone database that days were told by last; empty before the first',
    flushed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the last flush was complete; NULL before the first'
)
AS SELECT
    p.source AS source,
    p.topic AS topic,
    p.topic_id AS topic_id,
    p.partition AS partition,
    min(p.first_offset) AS first_offset,
    max(p.next_offset) AS next_offset,
    max(p.high_watermark) AS high_watermark,
    multiIf(
        max(p.end_known_until) < now64(3),
        NULL,
        max(p.high_watermark) > max(p.next_offset),
        max(p.high_watermark) - max(p.next_offset),
        0
    ) AS lag,
    max(p.accepted) AS accepted,
    max(p.rejected) AS rejected,
    max(p.duplicates) AS duplicates,
    max(p.skipped) AS skipped,
    max(p.absent) AS absent,
    max(p.last_record) AS last_record,
    ifNull(any(z.release), '') AS zone_release,
    nullIf(max(p.flushed_at), toDateTime64(0, 3, 'UTC')) AS flushed_at
FROM source_progress AS p
LEFT JOIN
(
    SELECT
        c.source AS source,
        argMax(c.release, c.claim) AS release
    FROM zone_claims AS c
    GROUP BY c.source
) AS z ON z.source = p.source
GROUP BY
    p.source,
    p.topic,
    p.topic_id,
    p.partition
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'How far each Kafka partition has been counted'
;
CREATE OR REPLACE VIEW `DATABASE`.`ingest_progress` /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    first_offset UInt64 COMMENT 'First offset that there was when counting began',
    next_offset UInt64 COMMENT 'First offset that is not counted yet',
    high_watermark UInt64 COMMENT 'End of the partition''s log when last seen',
    lag Nullable(UInt64) COMMENT 'Records still to be counted; NULL where the log could not be asked for its end lately',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    absent UInt64 COMMENT 'Offsets that the log did not hold',
    last_record Tuple(offset UInt64, leader_epoch Int32, fingerprint UInt64) COMMENT 'The last record counted, by which the log is known again; fingerprint 0 where there is none',
    zone_release String COMMENT 'Release of the IANA time zone database that days were told by last; empty before the first',
    flushed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the last flush was complete; NULL before the first'
)
SQL SECURITY DEFINER
AS SELECT
    p.source AS source,
    p.topic AS topic,
    p.topic_id AS topic_id,
    p.partition AS partition,
    min(p.first_offset) AS first_offset,
    max(p.next_offset) AS next_offset,
    max(p.high_watermark) AS high_watermark,
    multiIf(
        max(p.end_known_until) < now64(3),
        NULL,
        max(p.high_watermark) > max(p.next_offset),
        max(p.high_watermark) - max(p.next_offset),
        0
    ) AS lag,
    max(p.accepted) AS accepted,
    max(p.rejected) AS rejected,
    max(p.duplicates) AS duplicates,
    max(p.skipped) AS skipped,
    max(p.absent) AS absent,
    max(p.last_record) AS last_record,
    ifNull(any(z.release), '') AS zone_release,
    nullIf(max(p.flushed_at), toDateTime64(0, 3, 'UTC')) AS flushed_at
FROM source_progress AS p
LEFT JOIN
(
    SELECT
        c.source AS source,
        argMax(c.release, c.claim) AS release
    FROM zone_claims AS c
    GROUP BY c.source
) AS z ON z.source = p.source
GROUP BY
    p.source,
    p.topic,
    p.topic_id,
    p.partition
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'How far each Kafka partition has been counted'
;
-- An hour is complete once a record of a later one lies below the progress: everything below it is stored. Producers stamp
-- the records, so a late one may come all the same, and is then counted in its hour.
CREATE OR REPLACE VIEW ingest_audit /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    hour DateTime('UTC') COMMENT 'Hour of Kafka''s timestamps of the records; 1970 where they have none',
    first_offset UInt64 COMMENT 'Offset of the first record of the hour',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    tests_run UInt64 COMMENT 'Tests run on the platform, of the accepted events',
    tests_uploaded UInt64 COMMENT 'Tests whose results were uploaded, of the accepted events',
    checksum UInt64 COMMENT 'Sum modulo 2^64, over the accepted records, of xxh3(concat(reinterpretAsFixedString(xxh3(account_id)), reinterpretAsFixedString(toUInt64(offset)), id))',
    complete Bool COMMENT 'Whether a later hour of the partition has been counted past'
)
AS SELECT
    h.source AS source,
    h.topic AS topic,
    h.topic_id AS topic_id,
    h.partition AS partition,
    h.hour AS hour,
    h.first_offset AS first_offset,
    tupleElement(h.counted, 'accepted') AS accepted,
    tupleElement(h.counted, 'rejected') AS rejected,
    tupleElement(h.counted, 'duplicates') AS duplicates,
    tupleElement(h.counted, 'skipped') AS skipped,
    tupleElement(h.counted, 'tests_run') AS tests_run,
    tupleElement(h.counted, 'tests_uploaded') AS tests_uploaded,
    tupleElement(h.counted, 'checksum') AS checksum,
    toBool(h.hour < l.hour) AS complete
FROM
(
    SELECT
        s.source AS source,
        s.hour AS hour,
        any(s.topic) AS topic,
        any(s.topic_id) AS topic_id,
        any(s.partition) AS partition,
        min(s.first_offset) AS first_offset,
        max(s.counted) AS counted
    FROM ingest_audit_state AS s
    GROUP BY
        s.source,
        s.hour
) AS h
LEFT JOIN
(
    SELECT
        f.source AS source,
        max(f.hour) AS hour
    FROM ingest_audit_state AS f
    INNER JOIN
    (
        SELECT
            p.source AS source,
            max(p.next_offset) AS next_offset
        FROM source_progress AS p
        GROUP BY p.source
    ) AS g ON g.source = f.source
    WHERE f.first_offset < g.next_offset
    GROUP BY f.source
) AS l ON l.source = h.source
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Outcomes of records by Kafka partition and hour of record time, with a checksum of those accepted, to compare with a producer''s count or a copy of the log'
;
-- An hour is complete once a record of a later one lies below the progress: everything below it is stored. Producers stamp
-- the records, so a late one may come all the same, and is then counted in its hour.
CREATE OR REPLACE VIEW `DATABASE`.`ingest_audit` /*on cluster*/
(
    source String COMMENT 'One incarnation of one Kafka partition: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partition UInt32 COMMENT 'Kafka partition',
    hour DateTime('UTC') COMMENT 'Hour of Kafka''s timestamps of the records; 1970 where they have none',
    first_offset UInt64 COMMENT 'Offset of the first record of the hour',
    accepted UInt64 COMMENT 'Events counted',
    rejected UInt64 COMMENT 'Records rejected: see rejected_events',
    duplicates UInt64 COMMENT 'Duplicate test.executed events',
    skipped UInt64 COMMENT 'Tombstones',
    tests_run UInt64 COMMENT 'Tests run on the platform, of the accepted events',
    tests_uploaded UInt64 COMMENT 'Tests whose results were uploaded, of the accepted events',
    checksum UInt64 COMMENT 'Sum modulo 2^64, over the accepted records, of xxh3(concat(reinterpretAsFixedString(xxh3(account_id)), reinterpretAsFixedString(toUInt64(offset)), id))',
    complete Bool COMMENT 'Whether a later hour of the partition has been counted past'
)
SQL SECURITY DEFINER
AS SELECT
    h.source AS source,
    h.topic AS topic,
    h.topic_id AS topic_id,
    h.partition AS partition,
    h.hour AS hour,
    h.first_offset AS first_offset,
    tupleElement(h.counted, 'accepted') AS accepted,
    tupleElement(h.counted, 'rejected') AS rejected,
    tupleElement(h.counted, 'duplicates') AS duplicates,
    tupleElement(h.counted, 'skipped') AS skipped,
    tupleElement(h.counted, 'tests_run') AS tests_run,
    tupleElement(h.counted, 'tests_uploaded') AS tests_uploaded,
    tupleElement(h.counted, 'checksum') AS checksum,
    toBool(h.hour < l.hour) AS complete
FROM
(
    SELECT
        s.source AS source,
        s.hour AS hour,
        any(s.topic) AS topic,
        any(s.topic_id) AS topic_id,
        any(s.partition) AS partition,
        min(s.first_offset) AS first_offset,
        max(s.counted) AS counted
    FROM ingest_audit_state AS s
    GROUP BY
        s.source,
        s.hour
) AS h
LEFT JOIN
(
    SELECT
        f.source AS source,
        max(f.hour) AS hour
    FROM ingest_audit_state AS f
    INNER JOIN
    (
        SELECT
            p.source AS source,
            max(p.next_offset) AS next_offset
        FROM source_progress AS p
        GROUP BY p.source
    ) AS g ON g.source = f.source
    WHERE f.first_offset < g.next_offset
    GROUP BY f.source
) AS l ON l.source = h.source
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Outcomes of records by Kafka partition and hour of record time, with a checksum of those accepted, to compare with a producer''s count or a copy of the log'
;
CREATE OR REPLACE VIEW rejected_events /*on cluster*/
(
    source String COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    partition UInt32 COMMENT 'Kafka partition',
    offset UInt64 COMMENT 'Offset of the record',
    timestamp Nullable(DateTime64(3, 'UTC')) COMMENT 'Kafka''s timestamp of the record, null where it has none',
    key Nullable(String) COMMENT 'First 64 KiB of the key, as it came, null where the record has none',
    payload String COMMENT 'First 64 KiB of the value, as it came',
    payload_bytes UInt64 COMMENT 'Bytes of the whole value',
    reason String COMMENT 'too_large, invalid_json, missing_field, invalid_field, unknown_type, time_too_old or time_in_future',
    path String COMMENT 'Field at fault, such as data.seats; $key for the record''s key; empty where no single field is',
    flushed_at DateTime64(3, 'UTC') COMMENT 'When it was first written here'
)
AS SELECT
    r.source AS source,
    r.topic AS topic,
    r.partition AS partition,
    r.offset AS offset,
    r.timestamp AS timestamp,
    r.key AS key,
    any(r.payload) AS payload,
    r.payload_bytes AS payload_bytes,
    r.reason AS reason,
    r.path AS path,
    min(r.flushed_at) AS flushed_at
FROM rejected_event_facts AS r
GROUP BY
    r.source,
    r.topic,
    r.partition,
    r.offset,
    r.timestamp,
    r.key,
    r.payload_bytes,
    r.reason,
    r.path
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Records that are not events, each once, with the reason'
;
CREATE OR REPLACE VIEW `DATABASE`.`rejected_events` /*on cluster*/
(
    source String COMMENT 'Kafka partition that the record lies in: topic/topic-id/partition',
    topic String COMMENT 'Kafka topic',
    partition UInt32 COMMENT 'Kafka partition',
    offset UInt64 COMMENT 'Offset of the record',
    timestamp Nullable(DateTime64(3, 'UTC')) COMMENT 'Kafka''s timestamp of the record, null where it has none',
    key Nullable(String) COMMENT 'First 64 KiB of the key, as it came, null where the record has none',
    payload String COMMENT 'First 64 KiB of the value, as it came',
    payload_bytes UInt64 COMMENT 'Bytes of the whole value',
    reason String COMMENT 'too_large, invalid_json, missing_field, invalid_field, unknown_type, time_too_old or time_in_future',
    path String COMMENT 'Field at fault, such as data.seats; $key for the record''s key; empty where no single field is',
    flushed_at DateTime64(3, 'UTC') COMMENT 'When it was first written here'
)
SQL SECURITY DEFINER
AS SELECT
    r.source AS source,
    r.topic AS topic,
    r.partition AS partition,
    r.offset AS offset,
    r.timestamp AS timestamp,
    r.key AS key,
    any(r.payload) AS payload,
    r.payload_bytes AS payload_bytes,
    r.reason AS reason,
    r.path AS path,
    min(r.flushed_at) AS flushed_at
FROM rejected_event_facts AS r
GROUP BY
    r.source,
    r.topic,
    r.partition,
    r.offset,
    r.timestamp,
    r.key,
    r.payload_bytes,
    r.reason,
    r.path
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Records that are not events, each once, with the reason'
;
-- Of two partitions that counted an account, one has to be the former: all that it ever counted of the account was stored
-- when the other one met the account, and was sent before. Where neither is, the order of the account's events is lost.
CREATE OR REPLACE VIEW split_accounts /*on cluster*/
(
    account_id String COMMENT 'Account',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partitions Array(UInt32) COMMENT 'Kafka partitions that counted it without a stop between, ascending'
)
AS SELECT
    found.account_id AS account_id,
    substringIndex(found.incarnation, '/', 1) AS topic,
    substring(found.incarnation, length(substringIndex(found.incarnation, '/', 1)) + 2) AS topic_id,
    arraySort(arrayMap(source -> toUInt32(substringIndex(source, '/', -1)), found.sources)) AS partitions
FROM
(
    SELECT
        grouped.account_id AS account_id,
        grouped.incarnation AS incarnation,
        arrayMap(a -> a.1, arrayFilter(
            a -> arrayExists(
                b -> a.1 != b.1
                    AND NOT (a.4 < b.3 AND arrayExists(m -> m.1 = b.1 AND m.2 = a.1 AND m.3 >= a.2, grouped.moves))
                    AND NOT (b.4 < a.3 AND arrayExists(m -> m.1 = a.1 AND m.2 = b.1 AND m.3 >= b.2, grouped.moves)),
                grouped.counted),
            grouped.counted)) AS sources
    FROM
    (
        SELECT
            told.account_id AS account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/')) AS incarnation,
            groupArrayIf((told.source, told.upto, told.first_ms, told.last_ms), told.former = '') AS counted,
            groupArrayIf((told.source, told.former, told.upto), told.former != '') AS moves
        FROM
        (
            SELECT
                p.account_id AS account_id,
                toString(p.source) AS source,
                '' AS former,
                max(p.upto) AS upto,
                tupleElement(min(p.first_event), 2) AS first_ms,
                tupleElement(max(p.last_event), 2) AS last_ms
            FROM account_progress AS p
            WHERE p.account_id IN
            (
                SELECT q.account_id
                FROM account_progress AS q
                GROUP BY q.account_id
                HAVING min(q.source) < max(q.source)
            )
            GROUP BY
                p.account_id,
                p.source
            UNION ALL
            SELECT
                m.account_id AS account_id,
                toString(m.source) AS source,
                toString(m.former) AS former,
                min(m.former_upto) AS upto,
                toInt64(0) AS first_ms,
                toInt64(0) AS last_ms
            FROM account_moves AS m
            WHERE m.former != ''
            GROUP BY
                m.account_id,
                m.source,
                m.former
        ) AS told
        GROUP BY
            told.account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/'))
    ) AS grouped
) AS found
WHERE notEmpty(found.sources)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Accounts whose events lie in more than one Kafka partition without a stop between: they cannot be counted exactly'
;
-- Of two partitions that counted an account, one has to be the former: all that it ever counted of the account was stored
-- when the other one met the account, and was sent before. Where neither is, the order of the account's events is lost.
CREATE OR REPLACE VIEW `DATABASE`.`split_accounts` /*on cluster*/
(
    account_id String COMMENT 'Account',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partitions Array(UInt32) COMMENT 'Kafka partitions that counted it without a stop between, ascending'
)
SQL SECURITY DEFINER
AS SELECT
    found.account_id AS account_id,
    substringIndex(found.incarnation, '/', 1) AS topic,
    substring(found.incarnation, length(substringIndex(found.incarnation, '/', 1)) + 2) AS topic_id,
    arraySort(arrayMap(source -> toUInt32(substringIndex(source, '/', -1)), found.sources)) AS partitions
FROM
(
    SELECT
        grouped.account_id AS account_id,
        grouped.incarnation AS incarnation,
        arrayMap(a -> a.1, arrayFilter(
            a -> arrayExists(
                b -> a.1 != b.1
                    AND NOT (a.4 < b.3 AND arrayExists(m -> m.1 = b.1 AND m.2 = a.1 AND m.3 >= a.2, grouped.moves))
                    AND NOT (b.4 < a.3 AND arrayExists(m -> m.1 = a.1 AND m.2 = b.1 AND m.3 >= b.2, grouped.moves)),
                grouped.counted),
            grouped.counted)) AS sources
    FROM
    (
        SELECT
            told.account_id AS account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/')) AS incarnation,
            groupArrayIf((told.source, told.upto, told.first_ms, told.last_ms), told.former = '') AS counted,
            groupArrayIf((told.source, told.former, told.upto), told.former != '') AS moves
        FROM
        (
            SELECT
                p.account_id AS account_id,
                toString(p.source) AS source,
                '' AS former,
                max(p.upto) AS upto,
                tupleElement(min(p.first_event), 2) AS first_ms,
                tupleElement(max(p.last_event), 2) AS last_ms
            FROM account_progress AS p
            WHERE p.account_id IN
            (
                SELECT q.account_id
                FROM account_progress AS q
                GROUP BY q.account_id
                HAVING min(q.source) < max(q.source)
            )
            GROUP BY
                p.account_id,
                p.source
            UNION ALL
            SELECT
                m.account_id AS account_id,
                toString(m.source) AS source,
                toString(m.former) AS former,
                min(m.former_upto) AS upto,
                toInt64(0) AS first_ms,
                toInt64(0) AS last_ms
            FROM account_moves AS m
            WHERE m.former != ''
            GROUP BY
                m.account_id,
                m.source,
                m.former
        ) AS told
        GROUP BY
            told.account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/'))
    ) AS grouped
) AS found
WHERE notEmpty(found.sources)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Accounts whose events lie in more than one Kafka partition without a stop between: they cannot be counted exactly'
;
CREATE OR REPLACE VIEW daily_active_users /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the activity named, empty where it named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'The users, for groupBitmapMerge over days and organizations; their keys are user_key in the view users',
    active_users UInt64 COMMENT 'Distinct users'
)
AS SELECT
    state.account_id AS account_id,
    state.organization_id AS organization_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users,
    groupBitmapMerge(state.users) AS active_users
FROM active_users_state AS state
GROUP BY
    state.account_id,
    state.organization_id,
    state.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users active per organization and day; a user of two organizations is in both, so merge the bitmaps and never add the counts'
;
CREATE OR REPLACE VIEW `DATABASE`.`daily_active_users` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the activity named, empty where it named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'The users, for groupBitmapMerge over days and organizations; their keys are user_key in the view users',
    active_users UInt64 COMMENT 'Distinct users'
)
SQL SECURITY DEFINER
AS SELECT
    state.account_id AS account_id,
    state.organization_id AS organization_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users,
    groupBitmapMerge(state.users) AS active_users
FROM active_users_state AS state
GROUP BY
    state.account_id,
    state.organization_id,
    state.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users active per organization and day; a user of two organizations is in both, so merge the bitmaps and never add the counts'
;
CREATE OR REPLACE VIEW daily_active_users_by_account /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'The users, for groupBitmapMerge over days; their keys are user_key in the view users',
    active_users UInt64 COMMENT 'Distinct users'
)
AS SELECT
    state.account_id AS account_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users,
    groupBitmapMerge(state.users) AS active_users
FROM active_users_by_account_state AS state
GROUP BY
    state.account_id,
    state.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users active per account and day; for longer periods merge the bitmaps and never add the counts'
;
CREATE OR REPLACE VIEW `DATABASE`.`daily_active_users_by_account` /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'The users, for groupBitmapMerge over days; their keys are user_key in the view users',
    active_users UInt64 COMMENT 'Distinct users'
)
SQL SECURITY DEFINER
AS SELECT
    state.account_id AS account_id,
    state.day AS day,
    groupBitmapMergeState(state.users) AS users,
    groupBitmapMerge(state.users) AS active_users
FROM active_users_by_account_state AS state
GROUP BY
    state.account_id,
    state.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Users active per account and day; for longer periods merge the bitmaps and never add the counts'
;
CREATE OR REPLACE VIEW test_executions_daily /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project, empty where the event named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    executions UInt64 COMMENT 'Tests run and uploaded',
    run UInt64 COMMENT 'Tests run on the platform',
    uploaded UInt64 COMMENT 'Tests whose results were uploaded',
    duration_ms UInt64 COMMENT 'Milliseconds that all of them took together'
)
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.project_id AS project_id,
    s.day AS day,
    sum(s.run) + sum(s.uploaded) AS executions,
    sum(s.run) AS run,
    sum(s.uploaded) AS uploaded,
    sum(s.duration_ms) AS duration_ms
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.project_id AS project_id,
        state.day AS day,
        state.source AS source,
        max(state.run) AS run,
        max(state.uploaded) AS uploaded,
        max(state.duration_ms) AS duration_ms
    FROM test_executions_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.project_id,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.project_id,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests executed per project and day'
;
CREATE OR REPLACE VIEW `DATABASE`.`test_executions_daily` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project, empty where the event named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    executions UInt64 COMMENT 'Tests run and uploaded',
    run UInt64 COMMENT 'Tests run on the platform',
    uploaded UInt64 COMMENT 'Tests whose results were uploaded',
    duration_ms UInt64 COMMENT 'Milliseconds that all of them took together'
)
SQL SECURITY DEFINER
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.project_id AS project_id,
    s.day AS day,
    sum(s.run) + sum(s.uploaded) AS executions,
    sum(s.run) AS run,
    sum(s.uploaded) AS uploaded,
    sum(s.duration_ms) AS duration_ms
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.project_id AS project_id,
        state.day AS day,
        state.source AS source,
        max(state.run) AS run,
        max(state.uploaded) AS uploaded,
        max(state.duration_ms) AS duration_ms
    FROM test_executions_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.project_id,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.project_id,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests executed per project and day'
;
CREATE OR REPLACE VIEW quota_usage_daily /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    day Date COMMENT 'Calendar day in the account''s time zone',
    used UInt64 COMMENT 'Tests that consumed quota'
)
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.anchor AS anchor,
    s.month AS month,
    s.day AS day,
    sum(s.tests) AS used
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.anchor AS anchor,
        state.month AS month,
        state.day AS day,
        state.source AS source,
        max(state.tests) AS tests
    FROM quota_usage_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.anchor,
        state.month,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.anchor,
    s.month,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month and day'
;
CREATE OR REPLACE VIEW `DATABASE`.`quota_usage_daily` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    day Date COMMENT 'Calendar day in the account''s time zone',
    used UInt64 COMMENT 'Tests that consumed quota'
)
SQL SECURITY DEFINER
AS SELECT
    s.account_id AS account_id,
    s.organization_id AS organization_id,
    s.anchor AS anchor,
    s.month AS month,
    s.day AS day,
    sum(s.tests) AS used
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.anchor AS anchor,
        state.month AS month,
        state.day AS day,
        state.source AS source,
        max(state.tests) AS tests
    FROM quota_usage_state AS state
    GROUP BY
        state.account_id,
        state.organization_id,
        state.anchor,
        state.month,
        state.day,
        state.source
) AS s
GROUP BY
    s.account_id,
    s.organization_id,
    s.anchor,
    s.month,
    s.day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month and day'
;
CREATE OR REPLACE VIEW quota_usage /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    first_day Date COMMENT 'First day of that month on which quota was used',
    last_day Date COMMENT 'Last such day',
    used UInt64 COMMENT 'Tests that consumed quota'
)
AS SELECT
    d.account_id AS account_id,
    d.organization_id AS organization_id,
    d.anchor AS anchor,
    d.month AS month,
    min(d.day) AS first_day,
    max(d.day) AS last_day,
    sum(d.used) AS used
FROM quota_usage_daily AS d
GROUP BY
    d.account_id,
    d.organization_id,
    d.anchor,
    d.month
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month; months without use have no row'
;
CREATE OR REPLACE VIEW `DATABASE`.`quota_usage` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    anchor DateTime64(3, 'UTC') COMMENT 'Time of the plan record that the quota months are counted from',
    month UInt32 COMMENT 'Quota month, 1 = first',
    first_day Date COMMENT 'First day of that month on which quota was used',
    last_day Date COMMENT 'Last such day',
    used UInt64 COMMENT 'Tests that consumed quota'
)
SQL SECURITY DEFINER
AS SELECT
    d.account_id AS account_id,
    d.organization_id AS organization_id,
    d.anchor AS anchor,
    d.month AS month,
    min(d.day) AS first_day,
    max(d.day) AS last_day,
    sum(d.used) AS used
FROM quota_usage_daily AS d
GROUP BY
    d.account_id,
    d.organization_id,
    d.anchor,
    d.month
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month; months without use have no row'
;
CREATE OR REPLACE VIEW license_purchases /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the seats are allocated to, empty for those that the account owns',
    start DateTime64(3, 'UTC') COMMENT 'From when on',
    end Nullable(DateTime64(3, 'UTC')) COMMENT 'Until the next figure; null for the latest',
    seats UInt64 COMMENT 'Seats owned or allocated in that time'
)
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS start,
    leadInFrame(toNullable(f.time)) OVER (
        PARTITION BY f.account_id, f.organization_id
        ORDER BY f.time, f.source, f.offset
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS end,
    f.seats AS seats
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.organization_id AS organization_id,
        fact.time AS time,
        fact.source AS source,
        fact.offset AS offset,
        any(fact.seats) AS seats
    FROM license_facts AS fact
    GROUP BY
        fact.account_id,
        fact.organization_id,
        fact.time,
        fact.source,
        fact.offset
) AS f
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased by accounts and allocated to organizations over time'
;
CREATE OR REPLACE VIEW `DATABASE`.`license_purchases` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the seats are allocated to, empty for those that the account owns',
    start DateTime64(3, 'UTC') COMMENT 'From when on',
    end Nullable(DateTime64(3, 'UTC')) COMMENT 'Until the next figure; null for the latest',
    seats UInt64 COMMENT 'Seats owned or allocated in that time'
)
SQL SECURITY DEFINER
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS start,
    leadInFrame(toNullable(f.time)) OVER (
        PARTITION BY f.account_id, f.organization_id
        ORDER BY f.time, f.source, f.offset
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS end,
    f.seats AS seats
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.organization_id AS organization_id,
        fact.time AS time,
        fact.source AS source,
        fact.offset AS offset,
        any(fact.seats) AS seats
    FROM license_facts AS fact
    GROUP BY
        fact.account_id,
        fact.organization_id,
        fact.time,
        fact.source,
        fact.offset
) AS f
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased by accounts and allocated to organizations over time'
;
CREATE OR REPLACE VIEW plans /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    time DateTime64(3, 'UTC') COMMENT 'From when on',
    kind Enum8('started' = 1, 'upgraded' = 2, 'adjusted' = 3) COMMENT 'started and upgraded anchor the quota months anew, adjusted does not',
    plan String COMMENT 'Plan',
    monthly_quota Nullable(UInt64) COMMENT 'Tests per quota month, null = unlimited',
    source String COMMENT 'Kafka partition that the record lies in; with offset it orders records of the same time',
    offset UInt64 COMMENT 'Offset of the record'
)
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS time,
    any(f.kind) AS kind,
    any(f.plan) AS plan,
    any(f.monthly_quota) AS monthly_quota,
    f.source AS source,
    f.offset AS offset
FROM plan_facts AS f
GROUP BY
    f.account_id,
    f.organization_id,
    f.time,
    f.source,
    f.offset
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Plan records of organizations; the latest by (time, source, offset) is in force'
;
CREATE OR REPLACE VIEW `DATABASE`.`plans` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    time DateTime64(3, 'UTC') COMMENT 'From when on',
    kind Enum8('started' = 1, 'upgraded' = 2, 'adjusted' = 3) COMMENT 'started and upgraded anchor the quota months anew, adjusted does not',
    plan String COMMENT 'Plan',
    monthly_quota Nullable(UInt64) COMMENT 'Tests per quota month, null = unlimited',
    source String COMMENT 'Kafka partition that the record lies in; with offset it orders records of the same time',
    offset UInt64 COMMENT 'Offset of the record'
)
SQL SECURITY DEFINER
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS time,
    any(f.kind) AS kind,
    any(f.plan) AS plan,
    any(f.monthly_quota) AS monthly_quota,
    f.source AS source,
    f.offset AS offset
FROM plan_facts AS f
GROUP BY
    f.account_id,
    f.organization_id,
    f.time,
    f.source,
    f.offset
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Plan records of organizations; the latest by (time, source, offset) is in force'
;
-- Each branch fills its own column and leaves the others empty, so that the outer maxima put the row together without a join.
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW accounts /*on cluster*/
(
    account_id String COMMENT 'Account',
    name String COMMENT 'Name, the id until it has one',
    timezone String COMMENT 'IANA name of its time zone, UTC until it has one'
)
AS SELECT
    a.account_id AS account_id,
    if(max(a.name) = '', a.account_id, max(a.name)) AS name,
    if(max(a.timezone) = '', 'UTC', max(a.timezone)) AS timezone
FROM
(
    SELECT
        seen.account_id AS account_id,
        '' AS name,
        '' AS timezone
    FROM organizations_seen AS seen
    UNION ALL
    SELECT
        named.account_id AS account_id,
        named.value AS name,
        '' AS timezone
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'account' AND directory.field = 'name'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS named
    UNION ALL
    SELECT
        zone.account_id AS account_id,
        '' AS name,
        toString(argMax(zone.timezone, (zone.time, zone.source, zone.offset))) AS timezone
    FROM zone_facts AS zone
    GROUP BY zone.account_id
) AS a
GROUP BY a.account_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every account that any event has named'
;
-- Each branch fills its own column and leaves the others empty, so that the outer maxima put the row together without a join.
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW `DATABASE`.`accounts` /*on cluster*/
(
    account_id String COMMENT 'Account',
    name String COMMENT 'Name, the id until it has one',
    timezone String COMMENT 'IANA name of its time zone, UTC until it has one'
)
SQL SECURITY DEFINER
AS SELECT
    a.account_id AS account_id,
    if(max(a.name) = '', a.account_id, max(a.name)) AS name,
    if(max(a.timezone) = '', 'UTC', max(a.timezone)) AS timezone
FROM
(
    SELECT
        seen.account_id AS account_id,
        '' AS name,
        '' AS timezone
    FROM organizations_seen AS seen
    UNION ALL
    SELECT
        named.account_id AS account_id,
        named.value AS name,
        '' AS timezone
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'account' AND directory.field = 'name'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS named
    UNION ALL
    SELECT
        zone.account_id AS account_id,
        '' AS name,
        toString(argMax(zone.timezone, (zone.time, zone.source, zone.offset))) AS timezone
    FROM zone_facts AS zone
    GROUP BY zone.account_id
) AS a
GROUP BY a.account_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every account that any event has named'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW organizations /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    name String COMMENT 'Name, the id until it has one',
    parent_id Nullable(String) COMMENT 'Parent organization, null at top level; one that is its own parent has none'
)
AS SELECT
    o.account_id AS account_id,
    o.organization_id AS organization_id,
    if(max(o.name) = '', o.organization_id, max(o.name)) AS name,
    if(max(o.parent_id) = '' OR max(o.parent_id) = o.organization_id, NULL, max(o.parent_id)) AS parent_id
FROM
(
    SELECT
        seen.account_id AS account_id,
        seen.organization_id AS organization_id,
        '' AS name,
        '' AS parent_id
    FROM organizations_seen AS seen
    WHERE seen.organization_id != ''
    UNION ALL
    SELECT
        described.account_id AS account_id,
        described.entity_id AS organization_id,
        if(described.field = 'name', described.value, '') AS name,
        if(described.field = 'parent', described.value, '') AS parent_id
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.entity_id AS entity_id,
            directory.field AS field,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'organization'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS described
) AS o
GROUP BY
    o.account_id,
    o.organization_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every organization that any event has named'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW `DATABASE`.`organizations` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    name String COMMENT 'Name, the id until it has one',
    parent_id Nullable(String) COMMENT 'Parent organization, null at top level; one that is its own parent has none'
)
SQL SECURITY DEFINER
AS SELECT
    o.account_id AS account_id,
    o.organization_id AS organization_id,
    if(max(o.name) = '', o.organization_id, max(o.name)) AS name,
    if(max(o.parent_id) = '' OR max(o.parent_id) = o.organization_id, NULL, max(o.parent_id)) AS parent_id
FROM
(
    SELECT
        seen.account_id AS account_id,
        seen.organization_id AS organization_id,
        '' AS name,
        '' AS parent_id
    FROM organizations_seen AS seen
    WHERE seen.organization_id != ''
    UNION ALL
    SELECT
        described.account_id AS account_id,
        described.entity_id AS organization_id,
        if(described.field = 'name', described.value, '') AS name,
        if(described.field = 'parent', described.value, '') AS parent_id
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.entity_id AS entity_id,
            directory.field AS field,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'organization'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS described
) AS o
GROUP BY
    o.account_id,
    o.organization_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every organization that any event has named'
;
-- organization_tree without the account: the same rounds for all accounts at once, each account as many as it takes.
CREATE OR REPLACE VIEW organization_paths /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    ancestors Array(String) COMMENT 'Ids from the top of the tree down to the organization itself',
    path String COMMENT 'Names from the top of the tree down to the organization itself, joined by space, slash, space'
)
AS WITH RECURSIVE walk AS
(
    SELECT
        o.account_id AS account_id,
        o.organization_id AS organization_id,
        0 AS round,
        ifNull(o.parent_id, '') AS next_id,
        [o.organization_id] AS ids,
        [o.name] AS names,
        max(ifNull(o.parent_id, '') != '') OVER (PARTITION BY o.account_id) AS goes_on
    FROM organizations AS o
    UNION ALL
    SELECT
        w.account_id AS account_id,
        w.organization_id AS organization_id,
        w.round + 1 AS next_round,
        if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
        arrayDistinct(arrayConcat(w.ids, above.ids) AS steps) AS unique_steps,
        arraySlice(arrayConcat(w.names, above.names), 1, length(unique_steps)) AS unique_names,
        max(step_above != '') OVER (PARTITION BY next_round, w.account_id) AS goes_further
    FROM walk AS w
    LEFT JOIN walk AS above ON above.round = w.round AND above.account_id = w.account_id AND above.organization_id = w.next_id
    WHERE w.goes_on
)
SELECT
    walk.account_id AS account_id,
    walk.organization_id AS organization_id,
    arrayReverse(walk.ids) AS ancestors,
    arrayStringConcat(arrayReverse(walk.names), ' / ') AS path
FROM walk
WHERE NOT walk.goes_on
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Where each organization stands in its tree'
;
-- organization_tree without the account: the same rounds for all accounts at once, each account as many as it takes.
CREATE OR REPLACE VIEW `DATABASE`.`organization_paths` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    ancestors Array(String) COMMENT 'Ids from the top of the tree down to the organization itself',
    path String COMMENT 'Names from the top of the tree down to the organization itself, joined by space, slash, space'
)
SQL SECURITY DEFINER
AS WITH RECURSIVE walk AS
(
    SELECT
        o.account_id AS account_id,
        o.organization_id AS organization_id,
        0 AS round,
        ifNull(o.parent_id, '') AS next_id,
        [o.organization_id] AS ids,
        [o.name] AS names,
        max(ifNull(o.parent_id, '') != '') OVER (PARTITION BY o.account_id) AS goes_on
    FROM organizations AS o
    UNION ALL
    SELECT
        w.account_id AS account_id,
        w.organization_id AS organization_id,
        w.round + 1 AS next_round,
        if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
        arrayDistinct(arrayConcat(w.ids, above.ids) AS steps) AS unique_steps,
        arraySlice(arrayConcat(w.names, above.names), 1, length(unique_steps)) AS unique_names,
        max(step_above != '') OVER (PARTITION BY next_round, w.account_id) AS goes_further
    FROM walk AS w
    LEFT JOIN walk AS above ON above.round = w.round AND above.account_id = w.account_id AND above.organization_id = w.next_id
    WHERE w.goes_on
)
SELECT
    walk.account_id AS account_id,
    walk.organization_id AS organization_id,
    arrayReverse(walk.ids) AS ancestors,
    arrayStringConcat(arrayReverse(walk.names), ' / ') AS path
FROM walk
WHERE NOT walk.goes_on
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Where each organization stands in its tree'
;
-- Parameterized: organization_subtree(account = 'acme', organization = '42'). Each round of the walk goes one step down, and
-- never to an organization that it came from; the account's tree is a constant of the query, so that no round reads a table.
CREATE OR REPLACE VIEW organization_subtree /*on cluster*/
AS WITH RECURSIVE
    (
        SELECT (groupArray(o.organization_id), groupArray(ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS tree,
    walk AS
    (
        SELECT
            {organization:String} AS organization_id,
            [organization_id] AS ancestors
        WHERE has(tree.1, {organization:String})
        UNION ALL
        SELECT
            child AS organization_id,
            arrayPushBack(w.ancestors, child) AS ancestors
        FROM walk AS w
        ARRAY JOIN arrayFilter((id, parent) -> parent = w.organization_id AND NOT has(w.ancestors, id), tree.1, tree.2) AS child
    )
SELECT
    walk.organization_id AS organization_id,
    length(walk.ancestors) - 1 AS depth
FROM walk
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    max_recursive_cte_evaluation_depth = 1000000,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The organization and all below it (organization_id, depth = steps below it), for parameters account and organization; empty where the organization is not known'
;
-- Parameterized: organization_subtree(account = 'acme', organization = '42'). Each round of the walk goes one step down, and
-- never to an organization that it came from; the account's tree is a constant of the query, so that no round reads a table.
CREATE OR REPLACE VIEW `DATABASE`.`organization_subtree` /*on cluster*/
SQL SECURITY DEFINER
AS WITH RECURSIVE
    (
        SELECT (groupArray(o.organization_id), groupArray(ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS tree,
    walk AS
    (
        SELECT
            {organization:String} AS organization_id,
            [organization_id] AS ancestors
        WHERE has(tree.1, {organization:String})
        UNION ALL
        SELECT
            child AS organization_id,
            arrayPushBack(w.ancestors, child) AS ancestors
        FROM walk AS w
        ARRAY JOIN arrayFilter((id, parent) -> parent = w.organization_id AND NOT has(w.ancestors, id), tree.1, tree.2) AS child
    )
SELECT
    walk.organization_id AS organization_id,
    length(walk.ancestors) - 1 AS depth
FROM walk
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    max_recursive_cte_evaluation_depth = 1000000,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The organization and all below it (organization_id, depth = steps below it), for parameters account and organization; empty where the organization is not known'
;
-- Parameterized: organization_tree(account = 'acme'). The one place where reports learn which organizations lie below
-- which: those whose ancestors hold it. Pointer doubling: each round puts the path of the organization that a path ends below
-- behind that path, so a tree of depth d takes log2(d) rounds. A path that comes back to itself ends before it does, and a
-- parent that is not known ends it under its id. A stored view reads a recursive CTE as "first rows, then a step from all
-- rows of the recursion", so a step may join rows of one round only: hence the number of the round in the rows.
CREATE OR REPLACE VIEW organization_tree /*on cluster*/
AS WITH RECURSIVE
    (
        SELECT groupArray((o.organization_id, o.name, ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS directory,
    walk AS
    (
        SELECT
            o.1 AS organization_id,
            o.2 AS name,
            o.3 AS parent_id,
            0 AS round,
            o.3 AS next_id,
            [o.1] AS ids,
            [o.2] AS names,
            max(o.3 != '') OVER () AS goes_on
        FROM (SELECT 1) AS one
        ARRAY JOIN directory AS o
        UNION ALL
        SELECT
            w.organization_id AS organization_id,
            w.name AS name,
            w.parent_id AS parent_id,
            w.round + 1 AS next_round,
            if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
            arrayDistinct(arrayConcat(w.ids, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.ids)) AS steps) AS unique_steps,
            arraySlice(arrayConcat(w.names, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.names)), 1, length(unique_steps)) AS unique_names,
            max(step_above != '') OVER (PARTITION BY next_round) AS goes_further
        FROM walk AS w
        LEFT JOIN walk AS above ON above.round = w.round AND above.organization_id = w.next_id
        WHERE w.goes_on
    )
SELECT
    walk.organization_id AS organization_id,
    walk.name AS name,
    nullIf(walk.parent_id, '') AS parent_id,
    arrayReverse(walk.ids) AS ancestors,
    arrayStringConcat(arrayReverse(walk.names), ' / ') AS path
FROM walk
WHERE NOT walk.goes_on
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Where each organization of an account stands in its tree (organization_id, name, parent_id, ancestors = ids from the top down to itself, path = their names), for parameter account'
;
-- Parameterized: organization_tree(account = 'acme'). The one place where reports learn which organizations lie below
-- which: those whose ancestors hold it. Pointer doubling: each round puts the path of the organization that a path ends below
-- behind that path, so a tree of depth d takes log2(d) rounds. A path that comes back to itself ends before it does, and a
-- parent that is not known ends it under its id. A stored view reads a recursive CTE as "first rows, then a step from all
-- rows of the recursion", so a step may join rows of one round only: hence the number of the round in the rows.
CREATE OR REPLACE VIEW `DATABASE`.`organization_tree` /*on cluster*/
SQL SECURITY DEFINER
AS WITH RECURSIVE
    (
        SELECT groupArray((o.organization_id, o.name, ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS directory,
    walk AS
    (
        SELECT
            o.1 AS organization_id,
            o.2 AS name,
            o.3 AS parent_id,
            0 AS round,
            o.3 AS next_id,
            [o.1] AS ids,
            [o.2] AS names,
            max(o.3 != '') OVER () AS goes_on
        FROM (SELECT 1) AS one
        ARRAY JOIN directory AS o
        UNION ALL
        SELECT
            w.organization_id AS organization_id,
            w.name AS name,
            w.parent_id AS parent_id,
            w.round + 1 AS next_round,
            if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
            arrayDistinct(arrayConcat(w.ids, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.ids)) AS steps) AS unique_steps,
            arraySlice(arrayConcat(w.names, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.names)), 1, length(unique_steps)) AS unique_names,
            max(step_above != '') OVER (PARTITION BY next_round) AS goes_further
        FROM walk AS w
        LEFT JOIN walk AS above ON above.round = w.round AND above.organization_id = w.next_id
        WHERE w.goes_on
    )
SELECT
    walk.organization_id AS organization_id,
    walk.name AS name,
    nullIf(walk.parent_id, '') AS parent_id,
    arrayReverse(walk.ids) AS ancestors,
    arrayStringConcat(arrayReverse(walk.names), ' / ') AS path
FROM walk
WHERE NOT walk.goes_on
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Where each organization of an account stands in its tree (organization_id, name, parent_id, ancestors = ids from the top down to itself, path = their names), for parameter account'
;
-- Parameterized: organization_children(account = 'acme', organization = '42'), or organization = '' for the top level.
-- In a circle a child's subtree holds its parent too, so an organization may lie below several children.
CREATE OR REPLACE VIEW organization_children /*on cluster*/
AS SELECT
    child_id,
    t.organization_id AS organization_id
FROM organization_tree(account = {account:String}) AS t
ARRAY JOIN t.ancestors AS child_id
WHERE child_id IN
(
    SELECT o.organization_id
    FROM organizations AS o
    WHERE o.account_id = {account:String} AND ifNull(o.parent_id, '') = {organization:String}
)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The direct children of an organization, or the top-level organizations (child_id), each with all organizations of its subtree (organization_id), for parameters account and organization'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW users /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    name String COMMENT 'Name, the id until it has one',
    email Nullable(String) COMMENT 'E-mail address, null until it has one',
    name_search_key String COMMENT 'What the name is searched by: decomposed, without combining marks, case-folded',
    email_search_key String COMMENT 'What the e-mail address is searched by, empty where there is none',
    user_key UInt64 COMMENT 'Key of the user in bitmaps: the id if it is a whole number below 2^63, else a hash of it, by the secret of the table deployment, with the top bit set'
)
AS SELECT
    u.account_id AS account_id,
    u.user_id AS user_id,
    if(max(u.name) = '', u.user_id, max(u.name)) AS name,
    if(max(u.email) = '', NULL, max(u.email)) AS email,
    multiIf(max(u.name_key) != '', max(u.name_key), max(u.name) != '', max(u.name), u.user_id) AS name_search_key,
    if(max(u.email_key) = '', max(u.email), max(u.email_key)) AS email_search_key,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.user_id AS user_id,
        '' AS name,
        '' AS email,
        '' AS name_key,
        '' AS email_key
    FROM seat_facts AS fact
    UNION ALL
    SELECT
        described.account_id AS account_id,
        described.entity_id AS user_id,
        if(described.field = 'name', described.value, '') AS name,
        if(described.field = 'email', described.value, '') AS email,
        if(described.field = 'name', described.search_key, '') AS name_key,
        if(described.field = 'email', described.search_key, '') AS email_key
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.entity_id AS entity_id,
            directory.field AS field,
            tupleElement(directory.latest, 'value') AS value,
            tupleElement(directory.latest, 'search_key') AS search_key
        FROM directory_state AS directory
        WHERE directory.entity = 'user'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS described
) AS u
GROUP BY
    u.account_id,
    u.user_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every user who was ever described or held a seat'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW `DATABASE`.`users` /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    name String COMMENT 'Name, the id until it has one',
    email Nullable(String) COMMENT 'E-mail address, null until it has one',
    name_search_key String COMMENT 'What the name is searched by: decomposed, without combining marks, case-folded',
    email_search_key String COMMENT 'What the e-mail address is searched by, empty where there is none',
    user_key UInt64 COMMENT 'Key of the user in bitmaps: the id if it is a whole number below 2^63, else a hash of it, by the secret of the table deployment, with the top bit set'
)
SQL SECURITY DEFINER
AS SELECT
    u.account_id AS account_id,
    u.user_id AS user_id,
    if(max(u.name) = '', u.user_id, max(u.name)) AS name,
    if(max(u.email) = '', NULL, max(u.email)) AS email,
    multiIf(max(u.name_key) != '', max(u.name_key), max(u.name) != '', max(u.name), u.user_id) AS name_search_key,
    if(max(u.email_key) = '', max(u.email), max(u.email_key)) AS email_search_key,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.user_id AS user_id,
        '' AS name,
        '' AS email,
        '' AS name_key,
        '' AS email_key
    FROM seat_facts AS fact
    UNION ALL
    SELECT
        described.account_id AS account_id,
        described.entity_id AS user_id,
        if(described.field = 'name', described.value, '') AS name,
        if(described.field = 'email', described.value, '') AS email,
        if(described.field = 'name', described.search_key, '') AS name_key,
        if(described.field = 'email', described.search_key, '') AS email_key
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.entity_id AS entity_id,
            directory.field AS field,
            tupleElement(directory.latest, 'value') AS value,
            tupleElement(directory.latest, 'search_key') AS search_key
        FROM directory_state AS directory
        WHERE directory.entity = 'user'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS described
) AS u
GROUP BY
    u.account_id,
    u.user_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every user who was ever described or held a seat'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW projects /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project; ids are known within their organization',
    name String COMMENT 'Name, the id until it has one'
)
AS SELECT
    p.account_id AS account_id,
    p.organization_id AS organization_id,
    p.project_id AS project_id,
    if(max(p.name) = '', p.project_id, max(p.name)) AS name
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.project_id AS project_id,
        '' AS name
    FROM test_executions_state AS state
    WHERE state.project_id != ''
    UNION ALL
    SELECT
        fact.account_id AS account_id,
        fact.organization_id AS organization_id,
        fact.project_id AS project_id,
        '' AS name
    FROM seat_facts AS fact
    WHERE fact.project_id != ''
    UNION ALL
    SELECT
        named.account_id AS account_id,
        named.organization_id AS organization_id,
        named.entity_id AS project_id,
        named.value AS name
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.organization_id AS organization_id,
            directory.entity_id AS entity_id,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'project' AND directory.field = 'name'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS named
) AS p
GROUP BY
    p.account_id,
    p.organization_id,
    p.project_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every project that was ever described, tested in, or named by a seat'
;
-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW `DATABASE`.`projects` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    project_id String COMMENT 'Project; ids are known within their organization',
    name String COMMENT 'Name, the id until it has one'
)
SQL SECURITY DEFINER
AS SELECT
    p.account_id AS account_id,
    p.organization_id AS organization_id,
    p.project_id AS project_id,
    if(max(p.name) = '', p.project_id, max(p.name)) AS name
FROM
(
    SELECT
        state.account_id AS account_id,
        state.organization_id AS organization_id,
        state.project_id AS project_id,
        '' AS name
    FROM test_executions_state AS state
    WHERE state.project_id != ''
    UNION ALL
    SELECT
        fact.account_id AS account_id,
        fact.organization_id AS organization_id,
        fact.project_id AS project_id,
        '' AS name
    FROM seat_facts AS fact
    WHERE fact.project_id != ''
    UNION ALL
    SELECT
        named.account_id AS account_id,
        named.organization_id AS organization_id,
        named.entity_id AS project_id,
        named.value AS name
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.organization_id AS organization_id,
            directory.entity_id AS entity_id,
            tupleElement(directory.latest, 'value') AS value
        FROM directory_state AS directory
        WHERE directory.entity = 'project' AND directory.field = 'name'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS named
) AS p
GROUP BY
    p.account_id,
    p.organization_id,
    p.project_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every project that was ever described, tested in, or named by a seat'
;
-- An interval is put together from what rows tell of it: no window and no join, because the worker knows the facts around
-- it. One whose assignment is not stored yet, amid a flush, is not shown.
CREATE OR REPLACE VIEW license_intervals /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User who holds or held the seat',
    organization_id String COMMENT 'Organization of the seat',
    start DateTime64(3, 'UTC') COMMENT 'When the seat was assigned',
    end Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was revoked or assigned anew, null while it is held',
    project_id String COMMENT 'Project that the assignment named, empty if none',
    license_source String COMMENT 'Licence that the seat is taken from',
    activated Bool COMMENT 'Whether the user was active while holding it',
    first_active Nullable(DateTime64(3, 'UTC')) COMMENT 'Activation: earliest activity while holding it, null if not activated',
    last_active Nullable(DateTime64(3, 'UTC')) COMMENT 'Last active use while holding it, null if not activated',
    latest Bool COMMENT 'Whether it is the latest seat of this user in this organization',
    source String COMMENT 'Kafka partition of the assignment; with offset it orders records of the same time',
    offset UInt64 COMMENT 'Offset of the assignment'
)
AS SELECT
    i.account_id AS account_id,
    i.user_id AS user_id,
    i.organization_id AS organization_id,
    i.start AS start,
    if(i.ends < i.never, i.ends, NULL) AS end,
    tupleElement(i.opened_by, 'project_id') AS project_id,
    tupleElement(i.opened_by, 'license_source') AS license_source,
    toBool(i.first_use < i.ends) AS activated,
    if(i.first_use < i.ends, i.first_use, NULL) AS first_active,
    if(i.first_use < i.ends, least(i.last_use, i.ends), NULL) AS last_active,
    NOT i.is_superseded AS latest,
    tupleElement(i.opened_by, 'source') AS source,
    tupleElement(i.opened_by, 'offset') AS offset
FROM
(
    SELECT
        n.account_id AS account_id,
        n.user_id AS user_id,
        n.organization_id AS organization_id,
        n.start AS start,
        min(n.opened) AS opened_by,
        min(n.end) AS ends,
        max(n.superseded) AS is_superseded,
        min(n.first_active) AS first_use,
        max(n.last_active) AS last_use,
        toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC') AS never
    FROM seat_intervals AS n
    GROUP BY
        n.account_id,
        n.organization_id,
        n.user_id,
        n.start
    HAVING NOT min(tupleElement(n.opened, 'is_unknown'))
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every seat ever held, from assignment to the next assignment or revocation'
;
-- An interval is put together from what rows tell of it: no window and no join, because the worker knows the facts around
-- it. One whose assignment is not stored yet, amid a flush, is not shown.
CREATE OR REPLACE VIEW `DATABASE`.`license_intervals` /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User who holds or held the seat',
    organization_id String COMMENT 'Organization of the seat',
    start DateTime64(3, 'UTC') COMMENT 'When the seat was assigned',
    end Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was revoked or assigned anew, null while it is held',
    project_id String COMMENT 'Project that the assignment named, empty if none',
    license_source String COMMENT 'Licence that the seat is taken from',
    activated Bool COMMENT 'Whether the user was active while holding it',
    first_active Nullable(DateTime64(3, 'UTC')) COMMENT 'Activation: earliest activity while holding it, null if not activated',
    last_active Nullable(DateTime64(3, 'UTC')) COMMENT 'Last active use while holding it, null if not activated',
    latest Bool COMMENT 'Whether it is the latest seat of this user in this organization',
    source String COMMENT 'Kafka partition of the assignment; with offset it orders records of the same time',
    offset UInt64 COMMENT 'Offset of the assignment'
)
SQL SECURITY DEFINER
AS SELECT
    i.account_id AS account_id,
    i.user_id AS user_id,
    i.organization_id AS organization_id,
    i.start AS start,
    if(i.ends < i.never, i.ends, NULL) AS end,
    tupleElement(i.opened_by, 'project_id') AS project_id,
    tupleElement(i.opened_by, 'license_source') AS license_source,
    toBool(i.first_use < i.ends) AS activated,
    if(i.first_use < i.ends, i.first_use, NULL) AS first_active,
    if(i.first_use < i.ends, least(i.last_use, i.ends), NULL) AS last_active,
    NOT i.is_superseded AS latest,
    tupleElement(i.opened_by, 'source') AS source,
    tupleElement(i.opened_by, 'offset') AS offset
FROM
(
    SELECT
        n.account_id AS account_id,
        n.user_id AS user_id,
        n.organization_id AS organization_id,
        n.start AS start,
        min(n.opened) AS opened_by,
        min(n.end) AS ends,
        max(n.superseded) AS is_superseded,
        min(n.first_active) AS first_use,
        max(n.last_active) AS last_use,
        toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC') AS never
    FROM seat_intervals AS n
    GROUP BY
        n.account_id,
        n.organization_id,
        n.user_id,
        n.start
    HAVING NOT min(tupleElement(n.opened, 'is_unknown'))
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every seat ever held, from assignment to the next assignment or revocation'
;
CREATE OR REPLACE VIEW license_assignments /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    user String COMMENT 'Name of the user, the id until there is one',
    email Nullable(String) COMMENT 'E-mail address of the user',
    license_source String COMMENT 'Licence that the seat is taken from',
    organization_id String COMMENT 'Organization of the seat',
    organization String COMMENT 'Its path: names from the top of the tree down, joined by space, slash, space',
    project_id Nullable(String) COMMENT 'Project that the assignment named',
    project Nullable(String) COMMENT 'Name of the project, the id until there is one',
    last_assignment DateTime64(3, 'UTC') COMMENT 'When the seat was last assigned',
    last_active_use Nullable(DateTime64(3, 'UTC')) COMMENT 'Last activity while holding it, null if there was none',
    activated Bool COMMENT 'Whether the user was active while holding it',
    status Enum8('active' = 1, 'revoked' = 2) COMMENT 'Whether the seat is still held'
)
AS SELECT
    i.account_id AS account_id,
    i.user_id AS user_id,
    if(u.name = '', i.user_id, u.name) AS user,
    u.email AS email,
    i.license_source AS license_source,
    i.organization_id AS organization_id,
    if(o.path = '', i.organization_id, o.path) AS organization,
    nullIf(i.project_id, '') AS project_id,
    if(i.project_id = '', NULL, if(p.name = '', i.project_id, p.name)) AS project,
    i.start AS last_assignment,
    i.last_active AS last_active_use,
    i.activated AS activated,
    if(isNull(i.end), 'active', 'revoked') AS status
FROM license_intervals AS i
LEFT JOIN users AS u ON u.account_id = i.account_id AND u.user_id = i.user_id
LEFT JOIN organization_paths AS o ON o.account_id = i.account_id AND o.organization_id = i.organization_id
LEFT JOIN projects AS p ON p.account_id = i.account_id AND p.organization_id = i.organization_id AND p.project_id = i.project_id
WHERE i.latest
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The latest seat of each user in each organization'
;
CREATE OR REPLACE VIEW `DATABASE`.`license_assignments` /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    user String COMMENT 'Name of the user, the id until there is one',
    email Nullable(String) COMMENT 'E-mail address of the user',
    license_source String COMMENT 'Licence that the seat is taken from',
    organization_id String COMMENT 'Organization of the seat',
    organization String COMMENT 'Its path: names from the top of the tree down, joined by space, slash, space',
    project_id Nullable(String) COMMENT 'Project that the assignment named',
    project Nullable(String) COMMENT 'Name of the project, the id until there is one',
    last_assignment DateTime64(3, 'UTC') COMMENT 'When the seat was last assigned',
    last_active_use Nullable(DateTime64(3, 'UTC')) COMMENT 'Last activity while holding it, null if there was none',
    activated Bool COMMENT 'Whether the user was active while holding it',
    status Enum8('active' = 1, 'revoked' = 2) COMMENT 'Whether the seat is still held'
)
SQL SECURITY DEFINER
AS SELECT
    i.account_id AS account_id,
    i.user_id AS user_id,
    if(u.name = '', i.user_id, u.name) AS user,
    u.email AS email,
    i.license_source AS license_source,
    i.organization_id AS organization_id,
    if(o.path = '', i.organization_id, o.path) AS organization,
    nullIf(i.project_id, '') AS project_id,
    if(i.project_id = '', NULL, if(p.name = '', i.project_id, p.name)) AS project,
    i.start AS last_assignment,
    i.last_active AS last_active_use,
    i.activated AS activated,
    if(isNull(i.end), 'active', 'revoked') AS status
FROM license_intervals AS i
LEFT JOIN users AS u ON u.account_id = i.account_id AND u.user_id = i.user_id
LEFT JOIN organization_paths AS o ON o.account_id = i.account_id AND o.organization_id = i.organization_id
LEFT JOIN projects AS p ON p.account_id = i.account_id AND p.organization_id = i.organization_id AND p.project_id = i.project_id
WHERE i.latest
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The latest seat of each user in each organization'
;
-- Parameterized: license_changes(account = 'acme').
CREATE OR REPLACE VIEW license_changes /*on cluster*/
AS SELECT
    i.organization_id AS organization_id,
    change.1 AS time,
    change.2 AS assigned,
    change.3 AS activated
FROM license_intervals AS i
ARRAY JOIN arrayConcat(
    [(i.start, 1, 0)],
    if(i.activated, [(assumeNotNull(i.first_active), 0, 1)], []),
    if(isNull(i.end), [], [(assumeNotNull(i.end), -1, if(i.activated, -1, 0))])
) AS change
WHERE i.account_id = {account:String}
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Each start, activation and end of a seat (organization_id, time, assigned and activated = by how much the open seats change: 1, 0 or -1), for parameter account'
;
-- Parameterized: license_purchases_at(account = 'acme', organization = '', edges = ['2026-02-01 00:00:00']).
CREATE OR REPLACE VIEW license_purchases_at /*on cluster*/
AS SELECT
    e.edge AS edge,
    b.seats AS purchased
FROM
(
    SELECT
        {account:String} AS account_id,
        arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
) AS e
ASOF LEFT JOIN
(
    SELECT
        f.account_id AS account_id,
        f.time AS time,
        argMax(f.seats, (f.source, f.offset)) AS seats
    FROM license_facts AS f
    WHERE f.account_id = {account:String} AND f.organization_id = {organization:String}
    GROUP BY
        f.account_id,
        f.time
) AS b ON b.account_id = e.account_id AND b.time < e.edge
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased by the account (organization is empty) or allocated to the organization, as they stood at each instant of edges, for parameters account, organization and edges'
;
-- Made from license_changes. All that happens is put in the order of time, with a mark that changes nothing at each edge, and
-- a running sum tells how it stood after each instant: one pass, however many edges there are. An edge is passed by what
-- happens before it; of the instants between two edges, those that begin with the first belong to the second.
CREATE OR REPLACE VIEW license_history /*on cluster*/
AS SELECT
    s.edge AS edge,
    toUInt64(argMax(s.purchased, s.time)) AS purchased,
    toUInt64(argMax(s.assigned, s.time)) AS assigned,
    toUInt64(argMax(s.activated, s.time)) AS activated,
    toUInt64(if(s.is_first, argMax(s.assigned, s.time), max(s.assigned))) AS peak_assigned,
    toUInt64(greatest(0, if(s.is_first, argMax(s.assigned - s.purchased, s.time), max(s.assigned - s.purchased)))) AS peak_overage
FROM
(
    SELECT
        e.edge AS edge,
        e.is_first AS is_first,
        r.time AS time,
        sum(r.purchased) OVER until_then AS purchased,
        sum(r.assigned) OVER until_then AS assigned,
        sum(r.activated) OVER until_then AS activated
    FROM
    (
        SELECT
            0 AS one,
            c.time AS time,
            sum(c.purchased) AS purchased,
            sum(c.assigned) AS assigned,
            sum(c.activated) AS activated
        FROM
        (
            SELECT
                every.time AS time,
                toInt64(0) AS purchased,
                toInt64(every.assigned) AS assigned,
                toInt64(every.activated) AS activated
            FROM license_changes(account = {account:String}) AS every
            WHERE {organization:String} = ''
                OR every.organization_id IN
                (
                    SELECT t.organization_id
                    FROM organization_tree(account = {account:String}) AS t
                    WHERE has(t.ancestors, {organization:String})
                )
            UNION ALL
            SELECT
                p.time AS time,
                p.seats - lagInFrame(p.seats, 1, toInt64(0)) OVER (ORDER BY p.time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS purchased,
                toInt64(0) AS assigned,
                toInt64(0) AS activated
            FROM
            (
                SELECT
                    f.time AS time,
                    toInt64(argMax(f.seats, (f.source, f.offset))) AS seats
                FROM license_facts AS f
                WHERE f.account_id = {account:String} AND f.organization_id = {organization:String}
                GROUP BY f.time
            ) AS p
            UNION ALL
            SELECT
                arrayJoin(arrayPushFront({edges:Array(DateTime64(3, 'UTC'))}, toDateTime64(-1, 3, 'UTC'))) AS time,
                toInt64(0) AS purchased,
                toInt64(0) AS assigned,
                toInt64(0) AS activated
        ) AS c
        GROUP BY c.time
    ) AS r
    ASOF JOIN
    (
        SELECT
            0 AS one,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge,
            edge = arrayMin({edges:Array(DateTime64(3, 'UTC'))}) AS is_first
    ) AS e ON e.one = r.one AND e.edge > r.time
    WINDOW until_then AS (ORDER BY r.time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
) AS s
GROUP BY
    s.edge,
    s.is_first
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased, assigned and activated as they stood at each instant of edges, and the greatest number assigned (peak_assigned) and assigned beyond those purchased (peak_overage) since the edge before it, or as it stood at the first edge, for parameters account, organization (and all below it; empty for the whole account) and edges'
;
-- Parameterized like license_history, with a row for each direct child of the organization. Made from license_changes.
CREATE OR REPLACE VIEW license_history_by_organization /*on cluster*/
AS WITH
    edges AS
    (
        SELECT
            0 AS one,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
    ),
    children AS
    (
        SELECT
            m.child_id AS child_id,
            m.organization_id AS organization_id
        FROM organization_children(account = {account:String}, organization = {organization:String}) AS m
    )
SELECT
    g.child_id AS organization_id,
    g.edge AS edge,
    toUInt64(sum(s.assigned) OVER (PARTITION BY g.child_id ORDER BY g.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS assigned
FROM
(
    SELECT
        u.child_id AS child_id,
        e.edge AS edge
    FROM (SELECT DISTINCT m.child_id AS child_id FROM children AS m) AS u
    CROSS JOIN edges AS e
) AS g
LEFT JOIN
(
    SELECT
        m.child_id AS child_id,
        p.edge AS edge,
        sum(p.assigned) AS assigned
    FROM
    (
        SELECT
            c.organization_id AS organization_id,
            n.edge AS edge,
            sum(c.assigned) AS assigned
        FROM
        (
            SELECT
                0 AS one,
                every.organization_id AS organization_id,
                every.time AS time,
                every.assigned AS assigned
            FROM license_changes(account = {account:String}) AS every
        ) AS c
        ASOF JOIN edges AS n ON n.one = c.one AND n.edge > c.time
        GROUP BY
            c.organization_id,
            n.edge
    ) AS p
    INNER JOIN children AS m ON m.organization_id = p.organization_id
    GROUP BY
        m.child_id,
        p.edge
) AS s ON s.child_id = g.child_id AND s.edge = g.edge
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats assigned as they stood at each instant of edges, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization and edges'
;
-- Parameterized: license_usage(account = 'acme', organization = '', first_days = ['2026-02-01', '2026-03-01'], last_day = '2026-03-31').
-- With one range it is the summary of the period. The whole account is read from its own rollup, which is much smaller than those of its organizations.
CREATE OR REPLACE VIEW license_usage /*on cluster*/
AS SELECT
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    groupBitmapMerge(d.day_users) AS active_users,
    max(d.active_users) AS peak_daily_active_users,
    argMax(d.day, (d.active_users, -toInt32(d.day))) AS peak_day,
    sum(d.active_users) AS active_user_days,
    groupBitmapMergeState(d.day_users) AS users
FROM
(
    SELECT
        s.day AS day,
        groupBitmapMergeState(s.users) AS day_users,
        finalizeAggregation(day_users) AS active_users
    FROM
    (
        SELECT
            a.day AS day,
            a.users AS users
        FROM active_users_by_account_state AS a
        WHERE {organization:String} = ''
            AND a.account_id = {account:String}
            AND a.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
        UNION ALL
        SELECT
            o.day AS day,
            o.users AS users
        FROM active_users_state AS o
        WHERE {organization:String} != ''
            AND o.account_id = {account:String}
            AND o.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
            AND o.organization_id GLOBAL IN
            (
                SELECT t.organization_id
                FROM organization_tree(account = {account:String}) AS t
                WHERE has(t.ancestors, {organization:String})
            )
    ) AS s
    GROUP BY s.day
) AS d
GROUP BY first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Active users of consecutive ranges of days, each named by its first day, the last one ending on last_day: distinct users, those of the busiest day, the first such day, the sum over the days, and the users for groupBitmapMerge; ranges without activity have no row; for parameters account, organization (and all below it; empty for the whole account), first_days (ascending) and last_day'
;
-- Each day's bitmaps are merged once, and all counts are read off the merged bitmap.
-- Parameterized like license_usage, with rows for each direct child of the organization.
CREATE OR REPLACE VIEW license_usage_by_organization /*on cluster*/
AS SELECT
    d.child_id AS organization_id,
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    groupBitmapMerge(d.day_users) AS active_users,
    max(d.active_users) AS peak_daily_active_users,
    argMax(d.day, (d.active_users, -toInt32(d.day))) AS peak_day,
    sum(d.active_users) AS active_user_days,
    groupBitmapMergeState(d.day_users) AS users
FROM
(
    SELECT
        m.child_id AS child_id,
        s.day AS day,
        groupBitmapMergeState(s.users) AS day_users,
        finalizeAggregation(day_users) AS active_users
    FROM active_users_state AS s
    GLOBAL INNER JOIN organization_children(account = {account:String}, organization = {organization:String}) AS m
        ON m.organization_id = s.organization_id
    WHERE s.account_id = {account:String}
        AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
    GROUP BY
        m.child_id,
        s.day
) AS d
GROUP BY
    organization_id,
    first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Active users like license_usage, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization, first_days (ascending) and last_day'
;
-- Parameterized: account_license_assignments(account = 'acme').
CREATE OR REPLACE VIEW account_license_assignments /*on cluster*/
AS SELECT
    s.user_id AS user_id,
    s.user AS user,
    s.email AS email,
    s.user_search_key AS user_search_key,
    s.email_search_key AS email_search_key,
    s.license_source AS license_source,
    s.organization_id AS organization_id,
    if(o.path = '', s.organization_id, o.path) AS organization,
    o.ancestors AS ancestors,
    s.project_id AS project_id,
    s.project AS project,
    s.last_assignment AS last_assignment,
    s.last_active_use AS last_active_use,
    s.activated AS activated,
    s.status AS status
FROM
(
    SELECT
        i.user_id AS user_id,
        if(u.name = '', i.user_id, u.name) AS user,
        nullIf(u.email, '') AS email,
        multiIf(u.name_key != '', u.name_key, u.name != '', u.name, i.user_id) AS user_search_key,
        if(u.email_key = '', u.email, u.email_key) AS email_search_key,
        i.license_source AS license_source,
        i.organization_id AS organization_id,
        nullIf(i.project_id, '') AS project_id,
        if(i.project_id = '', NULL, if(p.name = '', i.project_id, p.name)) AS project,
        i.start AS last_assignment,
        i.last_active AS last_active_use,
        i.activated AS activated,
        if(isNull(i.end), 'active', 'revoked') AS status
    FROM
    (
        SELECT
            every.user_id AS user_id,
            every.organization_id AS organization_id,
            every.license_source AS license_source,
            every.project_id AS project_id,
            every.start AS start,
            every.end AS end,
            every.activated AS activated,
            every.last_active AS last_active
        FROM license_intervals AS every
        WHERE every.account_id = {account:String}
            AND every.latest
    ) AS i
    LEFT JOIN
    (
        SELECT
            described.entity_id AS user_id,
            maxIf(described.value, described.field = 'name') AS name,
            maxIf(described.value, described.field = 'email') AS email,
            maxIf(described.search_key, described.field = 'name') AS name_key,
            maxIf(described.search_key, described.field = 'email') AS email_key
        FROM
        (
            SELECT
                directory.account_id AS account_id,
                directory.entity_id AS entity_id,
                directory.field AS field,
                tupleElement(directory.latest, 'value') AS value,
                tupleElement(directory.latest, 'search_key') AS search_key
            FROM directory_state AS directory
            WHERE directory.account_id = {account:String}
                AND directory.entity = 'user'
            ORDER BY
                directory.account_id,
                directory.entity,
                directory.organization_id,
                directory.entity_id,
                directory.field,
                tupleElement(directory.latest, 'time') DESC,
                tupleElement(directory.latest, 'source') DESC,
                tupleElement(directory.latest, 'offset') DESC
            LIMIT 1 BY
                directory.account_id,
                directory.entity,
                directory.organization_id,
                directory.entity_id,
                directory.field
        ) AS described
        GROUP BY described.entity_id
    ) AS u ON u.user_id = i.user_id
    LEFT JOIN
    (
        SELECT
            directory.organization_id AS organization_id,
            directory.entity_id AS project_id,
            tupleElement(max(directory.latest), 'value') AS name
        FROM directory_state AS directory
        WHERE directory.account_id = {account:String} AND directory.entity = 'project' AND directory.field = 'name'
        GROUP BY
            organization_id,
            project_id
    ) AS p ON p.organization_id = i.organization_id AND p.project_id = i.project_id
) AS s
LEFT JOIN organization_tree(account = {account:String}) AS o ON o.organization_id = s.organization_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The latest seat of each user in each organization of an account, like license_assignments, with the ancestors of the organization, for parameter account'
;
-- Parameterized: quota_months(account = 'acme', organization = '42', last_day = '2026-03-31').
CREATE OR REPLACE VIEW quota_months /*on cluster*/
AS SELECT
    d.anchor AS anchor,
    d.month AS month,
    sum(d.used) AS used,
    sumIf(d.used, d.day <= {last_day:Date}) AS used_to_last_day
FROM quota_usage_daily AS d
WHERE d.account_id = {account:String} AND d.organization_id = {organization:String}
GROUP BY
    d.anchor,
    d.month
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month, all of it and what was used up to and including last_day; months without use have no row; for parameters account, organization (alone) and last_day'
;
-- Parameterized: test_activity(account = 'acme', organization = '42', project = '', first_days = ['2026-02-01', '2026-03-01'], last_day = '2026-03-31').
CREATE OR REPLACE VIEW test_activity /*on cluster*/
AS SELECT
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    sum(d.run) AS run,
    sum(d.uploaded) AS uploaded,
    sum(d.duration_ms) AS duration_ms
FROM test_executions_daily AS d
WHERE d.account_id = {account:String}
    AND d.organization_id = {organization:String}
    AND ({project:String} = '' OR d.project_id = {project:String})
    AND d.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
GROUP BY first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests of consecutive ranges of days, each named by its first day, the last one ending on last_day; ranges without tests have no row; for parameters account, organization (alone), project (empty for all), first_days (ascending) and last_day'
;
-- Parameterized: user_keys(users = ['ann', '42']). The formula is that of the view users; here it needs no description and no seat.
CREATE OR REPLACE VIEW user_keys /*on cluster*/
AS SELECT
    u.user_id AS user_id,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM (SELECT arrayJoin({users:Array(String)}) AS user_id) AS u
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Keys of any users in bitmaps (user_id, user_key), by the secret of the table deployment, which whoever reads this view need not see; for parameter users (ids)'
;
-- Parameterized: user_keys(users = ['ann', '42']). The formula is that of the view users; here it needs no description and no seat.
CREATE OR REPLACE VIEW `DATABASE`.`user_keys` /*on cluster*/
SQL SECURITY DEFINER
AS SELECT
    u.user_id AS user_id,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM (SELECT arrayJoin({users:Array(String)}) AS user_id) AS u
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Keys of any users in bitmaps (user_id, user_key), by the secret of the table deployment, which whoever reads this view need not see; for parameter users (ids)'
;
-- What an INSERT has stored already beyond the progress is left out, or the row is, so that a flush that is under way, or one that
-- died, makes no difference. Each SELECT reads the progress once: whoever has read the same progress before the query began
-- knows that everything below it was there.
CREATE OR REPLACE VIEW integrity_of_sources /*on cluster*/
(
    identity String COMMENT 'What is compared: see integrity',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    i.identity AS identity,
    '' AS account_id,
    i.source AS source,
    i.expected AS expected,
    i.found AS found,
    toUInt64(greatest(i.expected, i.found) - least(i.expected, i.found)) AS difference,
    i.upto AS upto
FROM
(
    SELECT
        'outcomes' AS identity,
        p.source AS source,
        toUInt64(p.next_offset - p.first_offset) AS expected,
        p.accepted + p.rejected + p.duplicates + p.skipped + p.absent AS found,
        p.next_offset AS upto
    FROM
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p
    UNION ALL
    SELECT
        'rejected_records' AS identity,
        p.source AS source,
        any(p.rejected) AS expected,
        uniqExactIf(r.offset, r.source != '' AND r.offset < p.next_offset) AS found,
        any(p.next_offset) AS upto
    FROM rejected_event_facts AS r
    RIGHT JOIN
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p ON p.source = r.source
    GROUP BY p.source
    UNION ALL
    SELECT
        'audited_records' AS identity,
        p.source AS source,
        p.accepted + p.rejected + p.duplicates + p.skipped AS expected,
        a.records AS found,
        p.next_offset AS upto
    FROM
    (
        SELECT
            h.source AS source,
            max(tupleElement(h.counted, 'upto')) AS upto,
            sum(tupleElement(h.counted, 'accepted') + tupleElement(h.counted, 'rejected')
                + tupleElement(h.counted, 'duplicates') + tupleElement(h.counted, 'skipped')) AS records,
            sum(tupleElement(h.counted, 'tests_run')) AS tests_run,
            sum(tupleElement(h.counted, 'tests_uploaded')) AS tests_uploaded
        FROM
        (
            SELECT
                t.source AS source,
                max(t.counted) AS counted
            FROM ingest_audit_state AS t
            GROUP BY
                t.source,
                t.hour
        ) AS h
        GROUP BY h.source
    ) AS a
    RIGHT JOIN
    (
        SELECT
            s.source AS source,
            min(s.first_offset) AS first_offset,
            max(s.next_offset) AS next_offset,
            max(s.accepted) AS accepted,
            max(s.rejected) AS rejected,
            max(s.duplicates) AS duplicates,
            max(s.skipped) AS skipped,
            max(s.absent) AS absent
        FROM source_progress AS s
        GROUP BY s.source
    ) AS p ON p.source = a.source
    WHERE a.upto <= p.next_offset
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Identities of sources that the progress is one side of'
;
-- As of integrity_of_sources. It reads all tests of all accounts.
CREATE OR REPLACE VIEW integrity_of_tests /*on cluster*/
(
    identity String COMMENT 'What is compared: see integrity',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    'tests' AS identity,
    '' AS account_id,
    p.source AS source,
    a.tests_run + a.tests_uploaded AS expected,
    e.run + e.uploaded AS found,
    toUInt64(greatest(a.tests_run, e.run) - least(a.tests_run, e.run)
        + greatest(a.tests_uploaded, e.uploaded) - least(a.tests_uploaded, e.uploaded)) AS difference,
    p.next_offset AS upto
FROM
(
    SELECT
        h.source AS source,
        max(tupleElement(h.counted, 'upto')) AS upto,
        sum(tupleElement(h.counted, 'accepted') + tupleElement(h.counted, 'rejected')
            + tupleElement(h.counted, 'duplicates') + tupleElement(h.counted, 'skipped')) AS records,
        sum(tupleElement(h.counted, 'tests_run')) AS tests_run,
        sum(tupleElement(h.counted, 'tests_uploaded')) AS tests_uploaded
    FROM
    (
        SELECT
            t.source AS source,
            max(t.counted) AS counted
        FROM ingest_audit_state AS t
        GROUP BY
            t.source,
            t.hour
    ) AS h
    GROUP BY h.source
) AS a
RIGHT JOIN
(
    SELECT
        s.source AS source,
        max(s.next_offset) AS next_offset
    FROM source_progress AS s
    GROUP BY s.source
) AS p ON p.source = a.source
LEFT JOIN
(
    SELECT
        k.source AS source,
        max(k.upto) AS upto,
        sum(k.run) AS run,
        sum(k.uploaded) AS uploaded
    FROM
    (
        SELECT
            t.source AS source,
            max(t.upto) AS upto,
            max(t.run) AS run,
            max(t.uploaded) AS uploaded
        FROM test_executions_state AS t
        GROUP BY
            t.account_id,
            t.organization_id,
            t.project_id,
            t.day,
            t.source
    ) AS k
    GROUP BY k.source
) AS e ON e.source = p.source
WHERE greatest(a.upto, e.upto) <= p.next_offset
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Tests by project against those of the audit, by source'
;
-- Quota is compared as of integrity_of_sources. Bitmaps and intervals carry no offset: a difference may be that of a flush that is
-- under way, or of one that died, until the next flushes have passed all that was in it. Days that are not over for long are
-- left out, so that the figures of a busy account rest.
CREATE OR REPLACE VIEW integrity_of_accounts /*on cluster*/
(
    identity String COMMENT 'What is compared: see integrity',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    'account_bitmaps' AS identity,
    d.account_id AS account_id,
    '' AS source,
    sum(d.of_organizations) AS expected,
    sum(d.of_account) AS found,
    sum(toUInt64(2 * d.of_both - d.of_organizations - d.of_account)) AS difference,
    toUInt64(0) AS upto
FROM
(
    SELECT
        u.account_id AS account_id,
        u.day AS day,
        groupBitmapMergeIf(u.users, u.side = 1) AS of_organizations,
        groupBitmapMergeIf(u.users, u.side = 2) AS of_account,
        groupBitmapMerge(u.users) AS of_both
    FROM
    (
        SELECT
            o.account_id AS account_id,
            o.day AS day,
            o.users AS users,
            1 AS side
        FROM active_users_state AS o
        UNION ALL
        SELECT
            w.account_id AS account_id,
            w.day AS day,
            w.users AS users,
            2 AS side
        FROM active_users_by_account_state AS w
    ) AS u
    WHERE u.day < toDate(now('UTC')) - 2
    GROUP BY
        u.account_id,
        u.day
) AS d
GROUP BY d.account_id
UNION ALL
SELECT
    tupleElement(g.side, 1) AS identity,
    g.account_id AS account_id,
    '' AS source,
    tupleElement(g.side, 2) AS expected,
    tupleElement(g.side, 3) AS found,
    tupleElement(g.side, 4) AS difference,
    toUInt64(0) AS upto
FROM
(
    SELECT
        c.account_id AS account_id,
        arrayJoin([
            ('intervals', sum(c.starts), sum(c.intervals),
                sum(toUInt64(greatest(c.starts, c.intervals) - least(c.starts, c.intervals)))),
            ('open_intervals', sum(c.held), sum(c.open),
                sum(toUInt64(greatest(c.held, c.open) - least(c.held, c.open))))
        ]) AS side
    FROM
    (
        SELECT
            b.account_id AS account_id,
            b.organization_id AS organization_id,
            b.user_id AS user_id,
            sum(b.starts) AS starts,
            sum(b.held) AS held,
            sum(b.intervals) AS intervals,
            sum(b.open) AS open
        FROM
        (
            SELECT
                f.account_id AS account_id,
                f.organization_id AS organization_id,
                f.user_id AS user_id,
                toUInt64(countIf(f.kind = 'assigned')) AS starts,
                toUInt64(argMax(f.kind, (f.time, f.place)) = 'assigned') AS held,
                toUInt64(0) AS intervals,
                toUInt64(0) AS open
            FROM
            (
                SELECT
                    s.account_id AS account_id,
                    s.organization_id AS organization_id,
                    s.user_id AS user_id,
                    s.time AS time,
                    s.kind AS kind,
                    min((s.source, s.offset)) AS place
                FROM seat_facts AS s
                GROUP BY
                    s.account_id,
                    s.organization_id,
                    s.user_id,
                    s.time,
                    s.kind
            ) AS f
            GROUP BY
                f.account_id,
                f.organization_id,
                f.user_id
            UNION ALL
            SELECT
                v.account_id AS account_id,
                v.organization_id AS organization_id,
                v.user_id AS user_id,
                toUInt64(0) AS starts,
                toUInt64(0) AS held,
                toUInt64(count()) AS intervals,
                toUInt64(countIf(v.ends = toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'))) AS open
            FROM
            (
                SELECT
                    n.account_id AS account_id,
                    n.organization_id AS organization_id,
                    n.user_id AS user_id,
                    n.start AS start,
                    min(n.end) AS ends
                FROM seat_intervals AS n
                GROUP BY
                    n.account_id,
                    n.organization_id,
                    n.user_id,
                    n.start
                HAVING NOT min(tupleElement(n.opened, 'is_unknown'))
            ) AS v
            GROUP BY
                v.account_id,
                v.organization_id,
                v.user_id
        ) AS b
        GROUP BY
            b.account_id,
            b.organization_id,
            b.user_id
    ) AS c
    GROUP BY c.account_id
) AS g
UNION ALL
SELECT
    'quota' AS identity,
    q.account_id AS account_id,
    q.source AS source,
    sum(q.run) AS expected,
    sum(q.used) AS found,
    sum(toUInt64(greatest(q.used, q.run) - q.run)) AS difference,
    any(p.next_offset) AS upto
FROM
(
    SELECT
        k.account_id AS account_id,
        k.organization_id AS organization_id,
        k.day AS day,
        k.source AS source,
        sum(k.used) AS used,
        sum(k.run) AS run,
        max(k.upto) AS upto
    FROM
    (
        SELECT
            y.account_id AS account_id,
            y.organization_id AS organization_id,
            y.day AS day,
            y.source AS source,
            max(y.tests) AS used,
            toUInt64(0) AS run,
            max(y.upto) AS upto
        FROM quota_usage_state AS y
        GROUP BY
            y.account_id,
            y.organization_id,
            y.anchor,
            y.month,
            y.day,
            y.source
        UNION ALL
        SELECT
            x.account_id AS account_id,
            x.organization_id AS organization_id,
            x.day AS day,
            x.source AS source,
            toUInt64(0) AS used,
            max(x.run) AS run,
            max(x.upto) AS upto
        FROM test_executions_state AS x
        GROUP BY
            x.account_id,
            x.organization_id,
            x.project_id,
            x.day,
            x.source
    ) AS k
    GROUP BY
        k.account_id,
        k.organization_id,
        k.day,
        k.source
) AS q
INNER JOIN
(
    SELECT
        s.source AS source,
        max(s.next_offset) AS next_offset
    FROM source_progress AS s
    GROUP BY s.source
) AS p ON p.source = q.source
WHERE q.upto <= p.next_offset
GROUP BY
    q.account_id,
    q.source
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Identities of accounts'
;
CREATE OR REPLACE VIEW integrity /*on cluster*/
(
    identity String COMMENT 'outcomes: offsets passed, outcomes of records. rejected_records: count, rows of rejected_events. audited_records: records counted, those of ingest_audit. tests: those of ingest_audit, those by project. account_bitmaps: users by organization, by account (and day; days that are over for two days). intervals: assignments, intervals of seats. open_intervals: seats whose latest fact is an assignment, intervals without an end. quota: tests run, quota used (at most as many)',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    i.identity AS identity,
    i.account_id AS account_id,
    i.source AS source,
    i.expected AS expected,
    i.found AS found,
    i.difference AS difference,
    i.upto AS upto
FROM
(
    SELECT * FROM integrity_of_sources
    UNION ALL
    SELECT * FROM integrity_of_tests
    UNION ALL
    SELECT * FROM integrity_of_accounts
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Figures that are counted twice, each with both sides. Those of what a flush is writing are left out; of bitmaps and intervals a difference may be that of a flush, and counts if it stays'
;
CREATE OR REPLACE VIEW `DATABASE`.`integrity` /*on cluster*/
(
    identity String COMMENT 'outcomes: offsets passed, outcomes of records. rejected_records: count, rows of rejected_events. audited_records: records counted, those of ingest_audit. tests: those of ingest_audit, those by project. account_bitmaps: users by organization, by account (and day; days that are over for two days). intervals: assignments, intervals of seats. open_intervals: seats whose latest fact is an assignment, intervals without an end. quota: tests run, quota used (at most as many)',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
SQL SECURITY DEFINER
AS SELECT
    i.identity AS identity,
    i.account_id AS account_id,
    i.source AS source,
    i.expected AS expected,
    i.found AS found,
    i.difference AS difference,
    i.upto AS upto
FROM
(
    SELECT * FROM integrity_of_sources
    UNION ALL
    SELECT * FROM integrity_of_tests
    UNION ALL
    SELECT * FROM integrity_of_accounts
) AS i
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Figures that are counted twice, each with both sides. Those of what a flush is writing are left out; of bitmaps and intervals a difference may be that of a flush, and counts if it stays'
;
CREATE OR REPLACE VIEW alerts /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization, empty for a rule of the whole account',
    rule String COMMENT 'quota, pace or seats',
    line String COMMENT 'What was reached: a percentage, exhausted, runs_out or overage',
    armed_at DateTime64(3, 'UTC') COMMENT 'Anchor of the quota month, or time of the record of purchase; 1970 without one',
    month UInt32 COMMENT 'Quota month, 1 = first; 0 for a rule of seats',
    id String COMMENT 'Id of the event that raised it',
    raised_at DateTime64(3, 'UTC') COMMENT 'When it was found',
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it had fallen below its line again, in the same month or after a purchase; null if it has not',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When its month or purchase was over; null while it is not',
    is_silent Bool COMMENT 'Nothing was sent: it was so before alerts were switched on for the first time',
    data String COMMENT 'The data of the event that raised it, JSON'
)
AS SELECT
    e.account_id AS account_id,
    e.organization_id AS organization_id,
    toString(e.rule) AS rule,
    toString(e.line) AS line,
    e.armed_at AS armed_at,
    e.month AS month,
    argMinIf(e.id, e.stored_at, e.state = 'raised') AS id,
    argMinIf(e.found_at, e.stored_at, e.state = 'raised') AS raised_at,
    if(
        countIf(e.state = 'resolved') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'resolved'))) AS resolved_at,
    if(
        countIf(e.state = 'ended') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'ended'))) AS ended_at,
    argMinIf(e.is_silent, e.stored_at, e.state = 'raised') AS is_silent,
    argMinIf(e.data, e.stored_at, e.state = 'raised') AS data
FROM alert_events AS e
GROUP BY
    e.account_id,
    e.rule,
    e.organization_id,
    e.armed_at,
    e.month,
    e.line
HAVING countIf(e.state = 'raised') > 0
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every alert that was raised; it is open while resolved_at and ended_at are null'
;
CREATE OR REPLACE VIEW `DATABASE`.`alerts` /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization, empty for a rule of the whole account',
    rule String COMMENT 'quota, pace or seats',
    line String COMMENT 'What was reached: a percentage, exhausted, runs_out or overage',
    armed_at DateTime64(3, 'UTC') COMMENT 'Anchor of the quota month, or time of the record of purchase; 1970 without one',
    month UInt32 COMMENT 'Quota month, 1 = first; 0 for a rule of seats',
    id String COMMENT 'Id of the event that raised it',
    raised_at DateTime64(3, 'UTC') COMMENT 'When it was found',
    resolved_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it had fallen below its line again, in the same month or after a purchase; null if it has not',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When its month or purchase was over; null while it is not',
    is_silent Bool COMMENT 'Nothing was sent: it was so before alerts were switched on for the first time',
    data String COMMENT 'The data of the event that raised it, JSON'
)
SQL SECURITY DEFINER
AS SELECT
    e.account_id AS account_id,
    e.organization_id AS organization_id,
    toString(e.rule) AS rule,
    toString(e.line) AS line,
    e.armed_at AS armed_at,
    e.month AS month,
    argMinIf(e.id, e.stored_at, e.state = 'raised') AS id,
    argMinIf(e.found_at, e.stored_at, e.state = 'raised') AS raised_at,
    if(
        countIf(e.state = 'resolved') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'resolved'))) AS resolved_at,
    if(
        countIf(e.state = 'ended') = 0,
        NULL,
        toNullable(argMinIf(e.found_at, e.stored_at, e.state = 'ended'))) AS ended_at,
    argMinIf(e.is_silent, e.stored_at, e.state = 'raised') AS is_silent,
    argMinIf(e.data, e.stored_at, e.state = 'raised') AS data
FROM alert_events AS e
GROUP BY
    e.account_id,
    e.rule,
    e.organization_id,
    e.armed_at,
    e.month,
    e.line
HAVING countIf(e.state = 'raised') > 0
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every alert that was raised; it is open while resolved_at and ended_at are null'
;
