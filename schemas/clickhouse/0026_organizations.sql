CREATE VIEW IF NOT EXISTS organizations /*on cluster*/
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
        directory.account_id AS account_id,
        directory.entity_id AS organization_id,
        if(directory.field = 'name', tupleElement(max(directory.latest), 'value'), '') AS name,
        if(directory.field = 'parent', tupleElement(max(directory.latest), 'value'), '') AS parent_id
    FROM directory_state AS directory
    WHERE directory.entity = 'organization'
    GROUP BY
        directory.account_id,
        directory.entity_id,
        directory.field
) AS o
GROUP BY
    o.account_id,
    o.organization_id
COMMENT 'Every organization that any event has named'
