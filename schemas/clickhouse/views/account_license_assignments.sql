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
