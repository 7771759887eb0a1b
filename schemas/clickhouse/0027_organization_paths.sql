-- A walk from each organization up to the top. It stops where the next step would repeat the path or leave the known tree.
CREATE VIEW IF NOT EXISTS organization_paths /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization',
    ancestors Array(String) COMMENT 'Ids from the top of the tree down to the organization itself',
    path String COMMENT 'Names from the top of the tree down to the organization itself, joined by space, slash, space'
)
AS WITH RECURSIVE walk AS
(
    SELECT
        o.account_id AS account_id,
        o.organization_id AS organization_id,
        o.parent_id AS next_id,
        [o.organization_id] AS ancestors,
        [o.name] AS names
    FROM organizations AS o
    UNION ALL
    SELECT
        w.account_id AS account_id,
        w.organization_id AS organization_id,
        p.parent_id AS next_id,
        arrayPushFront(w.ancestors, p.organization_id) AS ancestors,
        arrayPushFront(w.names, p.name) AS names
    FROM walk AS w
    INNER JOIN organizations AS p ON p.account_id = w.account_id AND p.organization_id = w.next_id
    WHERE NOT has(w.ancestors, p.organization_id)
)
SELECT
    walk.account_id AS account_id,
    walk.organization_id AS organization_id,
    argMax(walk.ancestors, length(walk.ancestors)) AS ancestors,
    arrayStringConcat(argMax(walk.names, length(walk.ancestors)), ' / ') AS path
FROM walk
GROUP BY
    walk.account_id,
    walk.organization_id
SETTINGS max_recursive_cte_evaluation_depth = 1000000
COMMENT 'Where each organization stands in its tree'
