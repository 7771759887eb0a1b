-- Parameterized like license_history, with a row for each direct child of the organization. Made from license_changes.
CREATE OR REPLACE VIEW license_history_by_organization /*on cluster*/
AS WITH
    edges AS
    (
        SELECT
            0 AS one,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
    ),
    children AS
    (
        SELECT
            m.child_id AS child_id,
            m.organization_id AS organization_id
        FROM organization_children(account = {account:String}, organization = {organization:String}) AS m
    )
SELECT
    g.child_id AS organization_id,
    g.edge AS edge,
    toUInt64(sum(s.assigned) OVER (PARTITION BY g.child_id ORDER BY g.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS assigned
FROM
(
    SELECT
        u.child_id AS child_id,
        e.edge AS edge
    FROM (SELECT DISTINCT m.child_id AS child_id FROM children AS m) AS u
    CROSS JOIN edges AS e
) AS g
LEFT JOIN
(
    SELECT
        m.child_id AS child_id,
        p.edge AS edge,
        sum(p.assigned) AS assigned
    FROM
    (
        SELECT
            c.organization_id AS organization_id,
            n.edge AS edge,
            sum(c.assigned) AS assigned
        FROM
        (
            SELECT
                0 AS one,
                every.organization_id AS organization_id,
                every.time AS time,
                every.assigned AS assigned
            FROM license_changes(account = {account:String}) AS every
        ) AS c
        ASOF JOIN edges AS n ON n.one = c.one AND n.edge > c.time
        GROUP BY
            c.organization_id,
            n.edge
    ) AS p
    INNER JOIN children AS m ON m.organization_id = p.organization_id
    GROUP BY
        m.child_id,
        p.edge
) AS s ON s.child_id = g.child_id AND s.edge = g.edge
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats assigned as they stood at each instant of edges, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization and edges'
