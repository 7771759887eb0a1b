-- Facts and use meet by a union and one aggregation instead of a join: a filter on the account then reaches both tables,
-- and the reader's join settings change nothing. Facts of the same kind at the same time are one, the first in the log.
CREATE VIEW IF NOT EXISTS license_intervals /*on cluster*/
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
    isNotNull(i.first_active) AND (isNull(i.next_time) OR assumeNotNull(i.first_active) < assumeNotNull(i.next_time)) AS activated,
    if(activated, i.first_active, NULL) AS first_active,
    if(activated, least(assumeNotNull(i.last_active), ifNull(i.next_time, assumeNotNull(i.last_active))), NULL) AS last_active,
    i.source AS source,
    i.offset AS offset
FROM
(
    SELECT
        k.account_id AS account_id,
        k.user_id AS user_id,
        k.organization_id AS organization_id,
        k.time AS time,
        k.kind AS kind,
        tupleElement(k.record, 1) AS source,
        tupleElement(k.record, 2) AS offset,
        k.project_id AS project_id,
        k.license_source AS license_source,
        k.first_active AS first_active,
        k.last_active AS last_active,
        leadInFrame(toNullable(k.time)) OVER (
            PARTITION BY k.account_id, k.user_id, k.organization_id
            ORDER BY k.time, k.record
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_time
    FROM
    (
        SELECT
            u.account_id AS account_id,
            u.user_id AS user_id,
            u.organization_id AS organization_id,
            u.time AS time,
            u.kind AS kind,
            minIf((u.source, u.offset), u.fact) AS record,
            argMinIf(u.project_id, (u.source, u.offset), u.fact) AS project_id,
            argMinIf(u.license_source, (u.source, u.offset), u.fact) AS license_source,
            min(u.first_active) AS first_active,
            max(u.last_active) AS last_active
        FROM
        (
            SELECT
                f.account_id AS account_id,
                f.user_id AS user_id,
                f.organization_id AS organization_id,
                f.time AS time,
                f.kind AS kind,
                true AS fact,
                toString(f.source) AS source,
                f.offset AS offset,
                f.project_id AS project_id,
                f.license_source AS license_source,
                CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS first_active,
                CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS last_active
            FROM seat_facts AS f
            UNION ALL
            SELECT
                s.account_id AS account_id,
                s.user_id AS user_id,
                s.organization_id AS organization_id,
                s.start AS time,
                CAST('assigned', 'Enum8(\'assigned\' = 1, \'revoked\' = 2)') AS kind,
                false AS fact,
                '' AS source,
                0 AS offset,
                '' AS project_id,
                '' AS license_source,
                toNullable(s.first_active) AS first_active,
                toNullable(s.last_active) AS last_active
            FROM seat_usage_state AS s
        ) AS u
        GROUP BY
            u.account_id,
            u.user_id,
            u.organization_id,
            u.time,
            u.kind
        HAVING max(u.fact)
    ) AS k
) AS i
WHERE i.kind = 'assigned'
COMMENT 'Every seat ever held, from assignment to the next assignment or revocation'
