-- Parameterized like license_history, with a row for each direct child of the organization.
CREATE VIEW IF NOT EXISTS license_history_by_organization /*on cluster*/
AS WITH
    edges AS
    (
        SELECT
            {account:String} AS account_id,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
    ),
    children AS
    (
        SELECT
            m.child_id AS child_id,
            m.organization_id AS organization_id
        FROM organization_children(account = {account:String}, organization = {organization:String}) AS m
    ),
    changes AS
    (
        SELECT
            i.account_id AS account_id,
            i.organization_id AS organization_id,
            c.1 AS time,
            c.2 AS assigned
        FROM license_intervals AS i
        ARRAY JOIN arrayConcat([(i.start, 1)], if(isNull(i.end), [], [(assumeNotNull(i.end), -1)])) AS c
        WHERE i.account_id = {account:String}
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
        FROM changes AS c
        ASOF JOIN edges AS n ON n.account_id = c.account_id AND n.edge > c.time
        GROUP BY
            c.organization_id,
            n.edge
    ) AS p
    INNER JOIN children AS m ON m.organization_id = p.organization_id
    GROUP BY
        m.child_id,
        p.edge
) AS s ON s.child_id = g.child_id AND s.edge = g.edge
SETTINGS join_use_nulls = 0
COMMENT 'Seats assigned as they stood at each instant of edges, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization and edges'
