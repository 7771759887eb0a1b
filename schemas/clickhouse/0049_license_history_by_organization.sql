-- Replaces the view of 0037 by one with the same rows, made of the changes between the edges.
CREATE OR REPLACE VIEW license_history_by_organization /*on cluster*/
AS SELECT
    g.child_id AS organization_id,
    g.edge AS edge,
    toUInt64(sum(c.assigned) OVER (PARTITION BY g.child_id ORDER BY g.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS assigned
FROM
(
    SELECT
        u.child_id AS child_id,
        arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
    FROM
    (
        SELECT DISTINCT m.child_id AS child_id
        FROM organization_children(account = {account:String}, organization = {organization:String}) AS m
    ) AS u
) AS g
LEFT JOIN license_changes_by_organization(
    account = {account:String},
    organization = {organization:String},
    edges = {edges:Array(DateTime64(3, 'UTC'))},
    since = toDateTime64(0, 3, 'UTC')
) AS c ON c.organization_id = g.child_id AND c.edge = g.edge
SETTINGS join_use_nulls = 0
COMMENT 'Seats assigned as they stood at each instant of edges, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization and edges'
