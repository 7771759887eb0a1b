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
