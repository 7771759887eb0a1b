-- Parameterized: organization_subtree(account = 'acme', organization = '42'). Each round of the walk goes one step down, and
-- never to an organization that it came from; the account's tree is a constant of the query, so that no round reads a table.
CREATE OR REPLACE VIEW organization_subtree /*on cluster*/
AS WITH RECURSIVE
    (
        SELECT (groupArray(o.organization_id), groupArray(ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS tree,
    walk AS
    (
        SELECT
            {organization:String} AS organization_id,
            [organization_id] AS ancestors
        WHERE has(tree.1, {organization:String})
        UNION ALL
        SELECT
            child AS organization_id,
            arrayPushBack(w.ancestors, child) AS ancestors
        FROM walk AS w
        ARRAY JOIN arrayFilter((id, parent) -> parent = w.organization_id AND NOT has(w.ancestors, id), tree.1, tree.2) AS child
    )
SELECT
    walk.organization_id AS organization_id,
    length(walk.ancestors) - 1 AS depth
FROM walk
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    max_recursive_cte_evaluation_depth = 1000000,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The organization and all below it (organization_id, depth = steps below it), for parameters account and organization; empty where the organization is not known'
