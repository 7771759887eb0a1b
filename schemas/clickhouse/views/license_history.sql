-- Made from license_changes. An interval is open at an edge if it
-- starts before the edge and does not end before it, so the open ones are the starts before the edge less the ends before it.
-- Each start, activation and end is put to the first edge after it, and a running sum over the edges does the rest: one
-- pass, however many edges there are.
CREATE OR REPLACE VIEW license_history /*on cluster*/
AS SELECT
    e.edge AS edge,
    e.purchased AS purchased,
    toUInt64(sum(s.assigned) OVER until_edge) AS assigned,
    toUInt64(sum(s.activated) OVER until_edge) AS activated
FROM license_purchases_at(
    account = {account:String},
    organization = {organization:String},
    edges = {edges:Array(DateTime64(3, 'UTC'))}
) AS e
LEFT JOIN
(
    SELECT
        n.edge AS edge,
        sum(c.assigned) AS assigned,
        sum(c.activated) AS activated
    FROM
    (
        SELECT
            0 AS one,
            every.time AS time,
            every.assigned AS assigned,
            every.activated AS activated
        FROM license_changes(account = {account:String}) AS every
        WHERE {organization:String} = ''
            OR every.organization_id IN
            (
                SELECT t.organization_id
                FROM organization_tree(account = {account:String}) AS t
                WHERE has(t.ancestors, {organization:String})
            )
    ) AS c
    ASOF JOIN
    (
        SELECT
            0 AS one,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
    ) AS n ON n.one = c.one AND n.edge > c.time
    GROUP BY n.edge
) AS s ON s.edge = e.edge
WINDOW until_edge AS (ORDER BY e.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased, assigned and activated as they stood at each instant of edges, for parameters account, organization (and all below it; empty for the whole account) and edges'
