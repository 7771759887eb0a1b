-- Parameterized: organization_tree(account = 'acme'). The one place where reports learn which organizations lie below
-- which: those whose ancestors hold it. Pointer doubling: each round puts the path of the organization that a path ends below
-- behind that path, so a tree of depth d takes log2(d) rounds. A path that comes back to itself ends before it does, and a
-- parent that is not known ends it under its id. A stored view reads a recursive CTE as "first rows, then a step from all
-- rows of the recursion", so a step may join rows of one round only: hence the number of the round in the rows.
CREATE OR REPLACE VIEW organization_tree /*on cluster*/
AS WITH RECURSIVE
    (
        SELECT groupArray((o.organization_id, o.name, ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS directory,
    walk AS
    (
        SELECT
            o.1 AS organization_id,
            o.2 AS name,
            o.3 AS parent_id,
            0 AS round,
            o.3 AS next_id,
            [o.1] AS ids,
            [o.2] AS names,
            max(o.3 != '') OVER () AS goes_on
        FROM (SELECT 1) AS one
        ARRAY JOIN directory AS o
        UNION ALL
        SELECT
            w.organization_id AS organization_id,
            w.name AS name,
            w.parent_id AS parent_id,
            w.round + 1 AS next_round,
            if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
            arrayDistinct(arrayConcat(w.ids, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.ids)) AS steps) AS unique_steps,
            arraySlice(arrayConcat(w.names, if(w.next_id != '' AND above.organization_id = '', [w.next_id], above.names)), 1, length(unique_steps)) AS unique_names,
            max(step_above != '') OVER (PARTITION BY next_round) AS goes_further
        FROM walk AS w
        LEFT JOIN walk AS above ON above.round = w.round AND above.organization_id = w.next_id
        WHERE w.goes_on
    )
SELECT
    walk.organization_id AS organization_id,
    walk.name AS name,
    nullIf(walk.parent_id, '') AS parent_id,
    arrayReverse(walk.ids) AS ancestors,
    arrayStringConcat(arrayReverse(walk.names), ' / ') AS path
FROM walk
WHERE NOT walk.goes_on
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Where each organization of an account stands in its tree (organization_id, name, parent_id, ancestors = ids from the top down to itself, path = their names), for parameter account'
