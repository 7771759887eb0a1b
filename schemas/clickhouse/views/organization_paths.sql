-- organization_tree without the account: the same rounds for all accounts at once, each account as many as it takes.
CREATE OR REPLACE VIEW organization_paths /*on cluster*/
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
        0 AS round,
        ifNull(o.parent_id, '') AS next_id,
        [o.organization_id] AS ids,
        [o.name] AS names,
        max(ifNull(o.parent_id, '') != '') OVER (PARTITION BY o.account_id) AS goes_on
    FROM organizations AS o
    UNION ALL
    SELECT
        w.account_id AS account_id,
        w.organization_id AS organization_id,
        w.round + 1 AS next_round,
        if(length(unique_steps) < length(steps), '', above.next_id) AS step_above,
        arrayDistinct(arrayConcat(w.ids, above.ids) AS steps) AS unique_steps,
        arraySlice(arrayConcat(w.names, above.names), 1, length(unique_steps)) AS unique_names,
        max(step_above != '') OVER (PARTITION BY next_round, w.account_id) AS goes_further
    FROM walk AS w
    LEFT JOIN walk AS above ON above.round = w.round AND above.account_id = w.account_id AND above.organization_id = w.next_id
    WHERE w.goes_on
)
SELECT
    walk.account_id AS account_id,
    walk.organization_id AS organization_id,
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
COMMENT 'Where each organization stands in its tree'
