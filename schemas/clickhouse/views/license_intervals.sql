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
