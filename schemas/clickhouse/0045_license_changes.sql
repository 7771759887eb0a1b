-- Parameterized: license_changes(account = 'acme', organization = '', edges = ['2026-02-01 00:00:00', '2026-03-01 00:00:00'],
-- since = '2026-01-31 00:00:00'). An interval is open at an edge if it starts before the edge and does not end before it, so
-- the open ones are the starts before the edge less the ends before it. Each start, activation and end is put to the first
-- edge after it: one pass, however many edges there are. Only users with a fact or a use since then can have changed since
-- then; where since is the beginning of time, nobody has to be looked up.
CREATE VIEW IF NOT EXISTS license_changes /*on cluster*/
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
            AND c.1 >= {since:DateTime64(3, 'UTC')}
            AND
            (
                {since:DateTime64(3, 'UTC')} = toDateTime64(0, 3, 'UTC')
                OR i.user_id IN (SELECT t.user_id FROM seats_touched(account = {account:String}, since = {since:DateTime64(3, 'UTC')}) AS t)
            )
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
    )
SELECT
    n.edge AS edge,
    toInt64(sum(c.assigned)) AS assigned,
    toInt64(sum(c.activated)) AS activated
FROM changes AS c
ASOF JOIN edges AS n ON n.account_id = c.account_id AND n.edge > c.time
GROUP BY n.edge
COMMENT 'By how much seats assigned and activated changed up to each instant of edges, from the one before it (the first: from since on), without instants at which nothing happened, for parameters account, organization (and all below it; empty for the whole account), edges and since'
