-- Parameterized: account_license_assignments(account = 'acme'). The same rows as license_assignments has of the account;
-- but the walk through the organizations' tree is limited to the account, which no filter on that view can do.
CREATE VIEW IF NOT EXISTS account_license_assignments /*on cluster*/
AS SELECT
    i.user_id AS user_id,
    if(u.name = '', i.user_id, u.name) AS user,
    u.email AS email,
    i.license_source AS license_source,
    i.organization_id AS organization_id,
    if(o.path = '', i.organization_id, o.path) AS organization,
    o.ancestors AS ancestors,
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
    WHERE every.account_id = {account:String} AND every.latest
) AS i
LEFT JOIN
(
    SELECT
        named.user_id AS user_id,
        named.name AS name,
        named.email AS email
    FROM users AS named
    WHERE named.account_id = {account:String}
) AS u ON u.user_id = i.user_id
LEFT JOIN organization_tree(account = {account:String}) AS o ON o.organization_id = i.organization_id
LEFT JOIN
(
    SELECT
        named.organization_id AS organization_id,
        named.project_id AS project_id,
        named.name AS name
    FROM projects AS named
    WHERE named.account_id = {account:String}
) AS p ON p.organization_id = i.organization_id AND p.project_id = i.project_id
SETTINGS join_use_nulls = 0
COMMENT 'The latest seat of each user in each organization of an account, like license_assignments, with the ancestors of the organization, for parameter account'
