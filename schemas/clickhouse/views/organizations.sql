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
