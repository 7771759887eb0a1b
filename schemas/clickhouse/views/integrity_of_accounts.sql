-- Quota is compared as of integrity_of_sources. Bitmaps and intervals carry no offset: a difference may be that of a flush that is
-- under way, or of one that died, until the next flushes have passed all that was in it. Days that are not over for long are
-- left out, so that the figures of a busy account rest.
CREATE OR REPLACE VIEW integrity_of_accounts /*on cluster*/
(
    identity String COMMENT 'What is compared: see integrity',
    account_id String COMMENT 'Account, empty of an identity of a source',
    source String COMMENT 'Kafka partition, empty of an identity of an account',
    expected UInt64 COMMENT 'One side',
    found UInt64 COMMENT 'The other side',
    difference UInt64 COMMENT 'By how much they differ, 0 is well',
    upto UInt64 COMMENT 'Progress of the source that both sides stand for, 0 of an identity of an account'
)
AS SELECT
    'account_bitmaps' AS identity,
    d.account_id AS account_id,
    '' AS source,
    sum(d.of_organizations) AS expected,
    sum(d.of_account) AS found,
    sum(toUInt64(2 * d.of_both - d.of_organizations - d.of_account)) AS difference,
    toUInt64(0) AS upto
FROM
(
    SELECT
        u.account_id AS account_id,
        u.day AS day,
        groupBitmapMergeIf(u.users, u.side = 1) AS of_organizations,
        groupBitmapMergeIf(u.users, u.side = 2) AS of_account,
        groupBitmapMerge(u.users) AS of_both
    FROM
    (
        SELECT
            o.account_id AS account_id,
            o.day AS day,
            o.users AS users,
            1 AS side
        FROM active_users_state AS o
        UNION ALL
        SELECT
            w.account_id AS account_id,
            w.day AS day,
            w.users AS users,
            2 AS side
        FROM active_users_by_account_state AS w
    ) AS u
    WHERE u.day < toDate(now('UTC')) - 2
    GROUP BY
        u.account_id,
        u.day
) AS d
GROUP BY d.account_id
UNION ALL
SELECT
    tupleElement(g.side, 1) AS identity,
    g.account_id AS account_id,
    '' AS source,
    tupleElement(g.side, 2) AS expected,
    tupleElement(g.side, 3) AS found,
    tupleElement(g.side, 4) AS difference,
    toUInt64(0) AS upto
FROM
(
    SELECT
        c.account_id AS account_id,
        arrayJoin([
            ('intervals', sum(c.starts), sum(c.intervals),
                sum(toUInt64(greatest(c.starts, c.intervals) - least(c.starts, c.intervals)))),
            ('open_intervals', sum(c.held), sum(c.open),
                sum(toUInt64(greatest(c.held, c.open) - least(c.held, c.open))))
        ]) AS side
    FROM
    (
        SELECT
            b.account_id AS account_id,
            b.organization_id AS organization_id,
            b.user_id AS user_id,
            sum(b.starts) AS starts,
            sum(b.held) AS held,
            sum(b.intervals) AS intervals,
            sum(b.open) AS open
        FROM
        (
            SELECT
                f.account_id AS account_id,
                f.organization_id AS organization_id,
                f.user_id AS user_id,
                toUInt64(countIf(f.kind = 'assigned')) AS starts,
                toUInt64(argMax(f.kind, (f.time, f.place)) = 'assigned') AS held,
                toUInt64(0) AS intervals,
                toUInt64(0) AS open
            FROM
            (
                SELECT
                    s.account_id AS account_id,
                    s.organization_id AS organization_id,
                    s.user_id AS user_id,
                    s.time AS time,
                    s.kind AS kind,
                    min((s.source, s.offset)) AS place
                FROM seat_facts AS s
                GROUP BY
                    s.account_id,
                    s.organization_id,
                    s.user_id,
                    s.time,
                    s.kind
            ) AS f
            GROUP BY
                f.account_id,
                f.organization_id,
                f.user_id
            UNION ALL
            SELECT
                v.account_id AS account_id,
                v.organization_id AS organization_id,
                v.user_id AS user_id,
                toUInt64(0) AS starts,
                toUInt64(0) AS held,
                toUInt64(count()) AS intervals,
                toUInt64(countIf(v.ends = toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'))) AS open
            FROM
            (
                SELECT
                    n.account_id AS account_id,
                    n.organization_id AS organization_id,
                    n.user_id AS user_id,
                    n.start AS start,
                    min(n.end) AS ends
                FROM seat_intervals AS n
                GROUP BY
                    n.account_id,
                    n.organization_id,
                    n.user_id,
                    n.start
                HAVING NOT min(tupleElement(n.opened, 'is_unknown'))
            ) AS v
            GROUP BY
                v.account_id,
                v.organization_id,
                v.user_id
        ) AS b
        GROUP BY
            b.account_id,
            b.organization_id,
            b.user_id
    ) AS c
    GROUP BY c.account_id
) AS g
UNION ALL
SELECT
    'quota' AS identity,
    q.account_id AS account_id,
    q.source AS source,
    sum(q.run) AS expected,
    sum(q.used) AS found,
    sum(toUInt64(greatest(q.used, q.run) - q.run)) AS difference,
    any(p.next_offset) AS upto
FROM
(
    SELECT
        k.account_id AS account_id,
        k.organization_id AS organization_id,
        k.day AS day,
        k.source AS source,
        sum(k.used) AS used,
        sum(k.run) AS run,
        max(k.upto) AS upto
    FROM
    (
        SELECT
            y.account_id AS account_id,
            y.organization_id AS organization_id,
            y.day AS day,
            y.source AS source,
            max(y.tests) AS used,
            toUInt64(0) AS run,
            max(y.upto) AS upto
        FROM quota_usage_state AS y
        GROUP BY
            y.account_id,
            y.organization_id,
            y.anchor,
            y.month,
            y.day,
            y.source
        UNION ALL
        SELECT
            x.account_id AS account_id,
            x.organization_id AS organization_id,
            x.day AS day,
            x.source AS source,
            toUInt64(0) AS used,
            max(x.run) AS run,
            max(x.upto) AS upto
        FROM test_executions_state AS x
        GROUP BY
            x.account_id,
            x.organization_id,
            x.project_id,
            x.day,
            x.source
    ) AS k
    GROUP BY
        k.account_id,
        k.organization_id,
        k.day,
        k.source
) AS q
INNER JOIN
(
    SELECT
        s.source AS source,
        max(s.next_offset) AS next_offset
    FROM source_progress AS s
    GROUP BY s.source
) AS p ON p.source = q.source
WHERE q.upto <= p.next_offset
GROUP BY
    q.account_id,
    q.source
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Identities of accounts'
