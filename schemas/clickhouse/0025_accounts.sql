-- Each branch fills its own column and leaves the others empty, so that the outer maxima put the row together without a join.
CREATE VIEW IF NOT EXISTS accounts /*on cluster*/
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
        directory.account_id AS account_id,
        tupleElement(max(directory.latest), 'value') AS name,
        '' AS timezone
    FROM directory_state AS directory
    WHERE directory.entity = 'account' AND directory.field = 'name'
    GROUP BY directory.account_id
    UNION ALL
    SELECT
        zone.account_id AS account_id,
        '' AS name,
        toString(argMax(zone.timezone, (zone.time, zone.source, zone.offset))) AS timezone
    FROM zone_facts AS zone
    GROUP BY zone.account_id
) AS a
GROUP BY a.account_id
COMMENT 'Every account that any event has named'
