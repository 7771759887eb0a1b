-- Parameterized: organization_subtree(account = 'acme', organization = '42').
CREATE VIEW IF NOT EXISTS organization_subtree /*on cluster*/
AS WITH RECURSIVE
    tree AS
    (
        SELECT
            o.organization_id AS organization_id,
            o.parent_id AS parent_id
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ),
    walk AS
    (
        SELECT
            t.organization_id AS organization_id,
            [t.organization_id] AS ancestors
        FROM tree AS t
        WHERE t.organization_id = {organization:String}
        UNION ALL
        SELECT
            t.organization_id AS organization_id,
            arrayPushBack(w.ancestors, t.organization_id) AS ancestors
        FROM walk AS w
        INNER JOIN tree AS t ON t.parent_id = w.organization_id
        WHERE NOT has(w.ancestors, t.organization_id)
    )
SELECT
    walk.organization_id AS organization_id,
    length(walk.ancestors) - 1 AS depth
FROM walk
SETTINGS max_recursive_cte_evaluation_depth = 1000000
COMMENT 'The organization and all below it (organization_id, depth = steps below it), for parameters account and organization; empty where the organization is not known'
