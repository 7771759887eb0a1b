-- Facts of the same kind at the same time are one, the first in the log: redeliveries change nothing. Reading in the order
-- of the key and taking the first row of each finds them without a hash table, and a filter on the account reaches the key.
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
    i.time AS start,
    i.next_time AS end,
    i.project_id AS project_id,
    i.license_source AS license_source,
    toBool(u.used AND (isNull(i.next_time) OR u.first_active < assumeNotNull(i.next_time))) AS activated,
    if(activated, u.first_active, NULL) AS first_active,
    if(activated, least(u.last_active, ifNull(i.next_time, u.last_active)), NULL) AS last_active,
    toBool(i.time = i.last_assigned) AS latest,
    i.source AS source,
    i.offset AS offset
FROM
(
    SELECT
        f.account_id AS account_id,
        f.user_id AS user_id,
        f.organization_id AS organization_id,
        f.time AS time,
        f.kind AS kind,
        f.source AS source,
        f.offset AS offset,
        f.project_id AS project_id,
        f.license_source AS license_source,
        leadInFrame(toNullable(f.time)) OVER (
            PARTITION BY f.account_id, f.user_id, f.organization_id
            ORDER BY f.time, f.source, f.offset
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_time,
        maxIf(f.time, f.kind = 'assigned') OVER (
            PARTITION BY f.account_id, f.user_id, f.organization_id
            ORDER BY f.time, f.source, f.offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS last_assigned
    FROM
    (
        SELECT
            fact.account_id AS account_id,
            fact.user_id AS user_id,
            fact.organization_id AS organization_id,
            fact.time AS time,
            fact.kind AS kind,
            fact.source AS source,
            fact.offset AS offset,
            fact.project_id AS project_id,
            fact.license_source AS license_source
        FROM seat_facts AS fact
        ORDER BY
            fact.account_id,
            fact.user_id,
            fact.organization_id,
            fact.time,
            fact.kind,
            fact.source,
            fact.offset
        LIMIT 1 BY
            fact.account_id,
            fact.user_id,
            fact.organization_id,
            fact.time,
            fact.kind
    ) AS f
) AS i
LEFT JOIN
(
    SELECT
        usage.account_id AS account_id,
        usage.user_id AS user_id,
        usage.organization_id AS organization_id,
        usage.start AS start,
        min(usage.first_active) AS first_active,
        max(usage.last_active) AS last_active,
        true AS used
    FROM seat_usage_state AS usage
    GROUP BY
        usage.account_id,
        usage.user_id,
        usage.organization_id,
        usage.start
) AS u ON u.account_id = i.account_id AND u.user_id = i.user_id AND u.organization_id = i.organization_id AND u.start = i.time
WHERE i.kind = 'assigned'
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every seat ever held, from assignment to the next assignment or revocation'
