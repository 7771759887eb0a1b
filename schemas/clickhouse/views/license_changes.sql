-- Parameterized: license_changes(account = 'acme').
CREATE OR REPLACE VIEW license_changes /*on cluster*/
AS SELECT
    i.organization_id AS organization_id,
    change.1 AS time,
    change.2 AS assigned,
    change.3 AS activated
FROM license_intervals AS i
ARRAY JOIN arrayConcat(
    [(i.start, 1, 0)],
    if(i.activated, [(assumeNotNull(i.first_active), 0, 1)], []),
    if(isNull(i.end), [], [(assumeNotNull(i.end), -1, if(i.activated, -1, 0))])
) AS change
WHERE i.account_id = {account:String}
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Each start, activation and end of a seat (organization_id, time, assigned and activated = by how much the open seats change: 1, 0 or -1), for parameter account'
