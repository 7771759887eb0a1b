-- Replaces the view of 0035 by one with the same rows, made of the changes between the edges.
CREATE OR REPLACE VIEW license_history /*on cluster*/
AS SELECT
    e.edge AS edge,
    e.purchased AS purchased,
    toUInt64(sum(c.assigned) OVER until_edge) AS assigned,
    toUInt64(sum(c.activated) OVER until_edge) AS activated
FROM license_purchases_at(
    account = {account:String},
    organization = {organization:String},
    edges = {edges:Array(DateTime64(3, 'UTC'))}
) AS e
LEFT JOIN license_changes(
    account = {account:String},
    organization = {organization:String},
    edges = {edges:Array(DateTime64(3, 'UTC'))},
    since = toDateTime64(0, 3, 'UTC')
) AS c ON c.edge = e.edge
WINDOW until_edge AS (ORDER BY e.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
SETTINGS join_use_nulls = 0
COMMENT 'Seats purchased, assigned and activated as they stood at each instant of edges, for parameters account, organization (and all below it; empty for the whole account) and edges'
