-- Parameterized: license_history(account = 'acme', organization = '', edges = ['2026-02-01 00:00:00', '2026-03-01 00:00:00']).
-- An interval is open at an edge if it starts before the edge and does not end before it, so the open ones are the
-- starts before the edge less the ends before it. Each start, activation and end is put to the first edge after it, and
-- a running sum over the edges does the rest: one pass, however many edges there are.
CREATE VIEW IF NOT EXISTS license_history /*on cluster*/
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
            c.1 AS time,
            c.2 AS assigned,
            c.3 AS activated
        FROM license_intervals AS i
        ARRAY JOIN arrayConcat(
            [(i.start, 1, 0)],
            if(i.activated, [(assumeNotNull(i.first_active), 0, 1)], []),
            if(isNull(i.end), [], [(assumeNotNull(i.end), -1, if(i.activated, -1, 0))])
        ) AS c
        WHERE i.account_id = {account:String}
            AND
            (
                {organization:String} = ''
                OR i.organization_id IN
                (
                    SELECT t.organization_id
                    FROM organization_tree(account = {account:String}) AS t
                    WHERE has(t.ancestors, {organization:String})
                )
            )
    ),
    purchases AS
    (
        SELECT
            f.account_id AS account_id,
            f.time AS time,
            argMax(f.seats, (f.source, f.offset)) AS seats
        FROM license_facts AS f
        WHERE f.account_id = {account:String} AND f.organization_id = {organization:String}
        GROUP BY
            f.account_id,
            f.time
    )
SELECT
    e.edge AS edge,
    b.seats AS purchased,
    toUInt64(sum(s.assigned) OVER until_edge) AS assigned,
    toUInt64(sum(s.activated) OVER until_edge) AS activated
FROM edges AS e
ASOF LEFT JOIN purchases AS b ON b.account_id = e.account_id AND b.time < e.edge
LEFT JOIN
(
    SELECT
        n.edge AS edge,
        sum(c.assigned) AS assigned,
        sum(c.activated) AS activated
    FROM changes AS c
    ASOF JOIN edges AS n ON n.account_id = c.account_id AND n.edge > c.time
    GROUP BY n.edge
) AS s ON s.edge = e.edge
WINDOW until_edge AS (ORDER BY e.edge ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
SETTINGS join_use_nulls = 0
COMMENT 'Seats purchased, assigned and activated as they stood at each instant of edges, for parameters account, organization (and all below it; empty for the whole account) and edges'
