-- Parameterized: organization_tree(account = 'acme'). The one place where reports learn which organizations lie below
-- which: those whose ancestors hold it. Each round of the walk looks one step further up, and stops where the path would
-- repeat itself; the account's parents and names are constants of the query, so that no round reads a table.
CREATE VIEW IF NOT EXISTS organization_tree /*on cluster*/
AS WITH RECURSIVE
    (
        SELECT (groupArray(o.organization_id), groupArray(o.name), groupArray(ifNull(o.parent_id, '')))
        FROM organizations AS o
        WHERE o.account_id = {account:String}
    ) AS directory,
    walk AS
    (
        SELECT
            d.1 AS organization_id,
            d.2 AS name,
            d.3 AS parent_id,
            d.3 AS next_id,
            [d.1] AS ancestors,
            [d.2] AS names
        FROM (SELECT 1) AS one
        ARRAY JOIN arrayZip(directory.1, directory.2, directory.3) AS d
        UNION ALL
        SELECT
            w.organization_id AS organization_id,
            w.name AS name,
            w.parent_id AS parent_id,
            transform(w.next_id, directory.1, directory.3, '') AS next_id,
            arrayPushFront(w.ancestors, w.next_id) AS ancestors,
            arrayPushFront(w.names, transform(w.next_id, directory.1, directory.2, w.next_id)) AS names
        FROM walk AS w
        WHERE w.next_id != '' AND NOT has(w.ancestors, w.next_id)
    )
SELECT
    walk.organization_id AS organization_id,
    walk.name AS name,
    nullIf(walk.parent_id, '') AS parent_id,
    walk.ancestors AS ancestors,
    arrayStringConcat(walk.names, ' / ') AS path
FROM walk
WHERE walk.next_id = '' OR has(walk.ancestors, walk.next_id)
SETTINGS max_recursive_cte_evaluation_depth = 1000000
COMMENT 'Where each organization of an account stands in its tree (organization_id, name, parent_id, ancestors = ids from the top down to itself, path = their names), for parameter account'
