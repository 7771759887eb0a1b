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
FROM license_assignments_of_users(account = {account:String}, users = CAST([] AS Array(String))) AS s
LEFT JOIN organization_tree(account = {account:String}) AS o ON o.organization_id = s.organization_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The latest seat of each user in each organization of an account, like license_assignments, with the ancestors of the organization, for parameter account'
