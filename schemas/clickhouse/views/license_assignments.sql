CREATE OR REPLACE VIEW license_assignments /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    user String COMMENT 'Name of the user, the id until there is one',
    email Nullable(String) COMMENT 'E-mail address of the user',
    license_source String COMMENT 'Licence that the seat is taken from',
    organization_id String COMMENT 'Organization of the seat',
    organization String COMMENT 'Its path: names from the top of the tree down, joined by space, slash, space',
    project_id Nullable(String) COMMENT 'Project that the assignment named',
    project Nullable(String) COMMENT 'Name of the project, the id until there is one',
    last_assignment DateTime64(3, 'UTC') COMMENT 'When the seat was last assigned',
    last_active_use Nullable(DateTime64(3, 'UTC')) COMMENT 'Last activity while holding it, null if there was none',
    activated Bool COMMENT 'Whether the user was active while holding it',
    status Enum8('active' = 1, 'revoked' = 2) COMMENT 'Whether the seat is still held'
)
AS SELECT
    i.account_id AS account_id,
    i.user_id AS user_id,
    if(u.name = '', i.user_id, u.name) AS user,
    u.email AS email,
    i.license_source AS license_source,
    i.organization_id AS organization_id,
    if(o.path = '', i.organization_id, o.path) AS organization,
    nullIf(i.project_id, '') AS project_id,
    if(i.project_id = '', NULL, if(p.name = '', i.project_id, p.name)) AS project,
    i.start AS last_assignment,
    i.last_active AS last_active_use,
    i.activated AS activated,
    if(isNull(i.end), 'active', 'revoked') AS status
FROM license_intervals AS i
LEFT JOIN users AS u ON u.account_id = i.account_id AND u.user_id = i.user_id
LEFT JOIN organization_paths AS o ON o.account_id = i.account_id AND o.organization_id = i.organization_id
LEFT JOIN projects AS p ON p.account_id = i.account_id AND p.organization_id = i.organization_id AND p.project_id = i.project_id
WHERE i.latest
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The latest seat of each user in each organization'
