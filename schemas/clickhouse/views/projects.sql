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
