-- Made from license_changes. All that happens is put in the order of time, with a mark that changes nothing at each edge, and
-- a running sum tells how it stood after each instant: one pass, however many edges there are. An edge is passed by what
-- happens before it; of the instants between two edges, those that begin with the first belong to the second.
CREATE OR REPLACE VIEW license_history /*on cluster*/
AS SELECT
    s.edge AS edge,
    toUInt64(argMax(s.purchased, s.time)) AS purchased,
    toUInt64(argMax(s.assigned, s.time)) AS assigned,
    toUInt64(argMax(s.activated, s.time)) AS activated,
    toUInt64(if(s.is_first, argMax(s.assigned, s.time), max(s.assigned))) AS peak_assigned,
    toUInt64(greatest(0, if(s.is_first, argMax(s.assigned - s.purchased, s.time), max(s.assigned - s.purchased)))) AS peak_overage
FROM
(
    SELECT
        e.edge AS edge,
        e.is_first AS is_first,
        r.time AS time,
        sum(r.purchased) OVER until_then AS purchased,
        sum(r.assigned) OVER until_then AS assigned,
        sum(r.activated) OVER until_then AS activated
    FROM
    (
        SELECT
            0 AS one,
            c.time AS time,
            sum(c.purchased) AS purchased,
            sum(c.assigned) AS assigned,
            sum(c.activated) AS activated
        FROM
        (
            SELECT
                every.time AS time,
                toInt64(0) AS purchased,
                toInt64(every.assigned) AS assigned,
                toInt64(every.activated) AS activated
            FROM license_changes(account = {account:String}) AS every
            WHERE {organization:String} = ''
                OR every.organization_id IN
                (
                    SELECT t.organization_id
                    FROM organization_tree(account = {account:String}) AS t
                    WHERE has(t.ancestors, {organization:String})
                )
            UNION ALL
            SELECT
                p.time AS time,
                p.seats - lagInFrame(p.seats, 1, toInt64(0)) OVER (ORDER BY p.time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS purchased,
                toInt64(0) AS assigned,
                toInt64(0) AS activated
            FROM
            (
                SELECT
                    f.time AS time,
                    toInt64(argMax(f.seats, (f.source, f.offset))) AS seats
                FROM license_facts AS f
                WHERE f.account_id = {account:String} AND f.organization_id = {organization:String}
                GROUP BY f.time
            ) AS p
            UNION ALL
            SELECT
                arrayJoin(arrayPushFront({edges:Array(DateTime64(3, 'UTC'))}, toDateTime64(-1, 3, 'UTC'))) AS time,
                toInt64(0) AS purchased,
                toInt64(0) AS assigned,
                toInt64(0) AS activated
        ) AS c
        GROUP BY c.time
    ) AS r
    ASOF JOIN
    (
        SELECT
            0 AS one,
            arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge,
            edge = arrayMin({edges:Array(DateTime64(3, 'UTC'))}) AS is_first
    ) AS e ON e.one = r.one AND e.edge > r.time
    WINDOW until_then AS (ORDER BY r.time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
) AS s
GROUP BY
    s.edge,
    s.is_first
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased, assigned and activated as they stood at each instant of edges, and the greatest number assigned (peak_assigned) and assigned beyond those purchased (peak_overage) since the edge before it, or as it stood at the first edge, for parameters account, organization (and all below it; empty for the whole account) and edges'
