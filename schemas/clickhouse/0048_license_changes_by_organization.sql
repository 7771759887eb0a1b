-- Parameterized like license_changes, with rows for each direct child of the organization.
CREATE VIEW IF NOT EXISTS license_changes_by_organization /*on cluster*/
AS WITH
    edges AS
    (
        SELECT
            {account:String} AS account_id,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
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
            AND c.1 >= {since:DateTime64(3, 'UTC')}
            AND
            (
                {since:DateTime64(3, 'UTC')} = toDateTime64(0, 3, 'UTC')
                OR i.user_id IN (SELECT t.user_id FROM seats_touched(account = {account:String}, since = {since:DateTime64(3, 'UTC')}) AS t)
            )
    )
SELECT
    m.child_id AS organization_id,
    p.edge AS edge,
    toInt64(sum(p.assigned)) AS assigned
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
INNER JOIN organization_children(account = {account:String}, organization = {organization:String}) AS m
    ON m.organization_id = p.organization_id
GROUP BY
    m.child_id,
    p.edge
COMMENT 'By how much seats assigned changed up to each instant of edges, from the one before it (the first: from since on), without instants at which nothing happened, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization, edges and since'
