-- Of two partitions that counted an account, one has to be the former: all that it ever counted of the account was stored
-- when the other one met the account, and was sent before. Where neither is, the order of the account's events is lost.
CREATE OR REPLACE VIEW split_accounts /*on cluster*/
(
    account_id String COMMENT 'Account',
    topic String COMMENT 'Kafka topic',
    topic_id String COMMENT 'Kafka''s id of the topic, empty where the broker has none',
    partitions Array(UInt32) COMMENT 'Kafka partitions that counted it without a stop between, ascending'
)
AS SELECT
    found.account_id AS account_id,
    substringIndex(found.incarnation, '/', 1) AS topic,
    substring(found.incarnation, length(substringIndex(found.incarnation, '/', 1)) + 2) AS topic_id,
    arraySort(arrayMap(source -> toUInt32(substringIndex(source, '/', -1)), found.sources)) AS partitions
FROM
(
    SELECT
        grouped.account_id AS account_id,
        grouped.incarnation AS incarnation,
        arrayMap(a -> a.1, arrayFilter(
            a -> arrayExists(
                b -> a.1 != b.1
                    AND NOT (a.4 < b.3 AND arrayExists(m -> m.1 = b.1 AND m.2 = a.1 AND m.3 >= a.2, grouped.moves))
                    AND NOT (b.4 < a.3 AND arrayExists(m -> m.1 = a.1 AND m.2 = b.1 AND m.3 >= b.2, grouped.moves)),
                grouped.counted),
            grouped.counted)) AS sources
    FROM
    (
        SELECT
            told.account_id AS account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/')) AS incarnation,
            groupArrayIf((told.source, told.upto, told.first_ms, told.last_ms), told.former = '') AS counted,
            groupArrayIf((told.source, told.former, told.upto), told.former != '') AS moves
        FROM
        (
            SELECT
                p.account_id AS account_id,
                toString(p.source) AS source,
                '' AS former,
                max(p.upto) AS upto,
                tupleElement(min(p.first_event), 2) AS first_ms,
                tupleElement(max(p.last_event), 2) AS last_ms
            FROM account_progress AS p
            WHERE p.account_id IN
            (
                SELECT q.account_id
                FROM account_progress AS q
                GROUP BY q.account_id
                HAVING min(q.source) < max(q.source)
            )
            GROUP BY
                p.account_id,
                p.source
            UNION ALL
            SELECT
                m.account_id AS account_id,
                toString(m.source) AS source,
                toString(m.former) AS former,
                min(m.former_upto) AS upto,
                toInt64(0) AS first_ms,
                toInt64(0) AS last_ms
            FROM account_moves AS m
            WHERE m.former != ''
            GROUP BY
                m.account_id,
                m.source,
                m.former
        ) AS told
        GROUP BY
            told.account_id,
            substring(told.source, 1, length(told.source) - position(reverse(told.source), '/'))
    ) AS grouped
) AS found
WHERE notEmpty(found.sources)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Accounts whose events lie in more than one Kafka partition without a stop between: they cannot be counted exactly'
