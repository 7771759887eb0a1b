-- Parameterized: license_usage(account = 'acme', organization = '', first_days = ['2026-02-01', '2026-03-01'], last_day = '2026-03-31').
-- With one range it is the summary of the period. The whole account is read from its own rollup, which is much smaller than those of its organizations.
CREATE OR REPLACE VIEW license_usage /*on cluster*/
AS SELECT
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    groupBitmapMerge(d.day_users) AS active_users,
    max(d.active_users) AS peak_daily_active_users,
    argMax(d.day, (d.active_users, -toInt32(d.day))) AS peak_day,
    sum(d.active_users) AS active_user_days,
    groupBitmapMergeState(d.day_users) AS users
FROM
(
    SELECT
        s.day AS day,
        groupBitmapMergeState(s.users) AS day_users,
        finalizeAggregation(day_users) AS active_users
    FROM
    (
        SELECT
            a.day AS day,
            a.users AS users
        FROM active_users_by_account_state AS a
        WHERE {organization:String} = ''
            AND a.account_id = {account:String}
            AND a.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
        UNION ALL
        SELECT
            o.day AS day,
            o.users AS users
        FROM active_users_state AS o
        WHERE {organization:String} != ''
            AND o.account_id = {account:String}
            AND o.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
            AND o.organization_id GLOBAL IN
            (
                SELECT t.organization_id
                FROM organization_tree(account = {account:String}) AS t
                WHERE has(t.ancestors, {organization:String})
            )
    ) AS s
    GROUP BY s.day
) AS d
GROUP BY first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Active users of consecutive ranges of days, each named by its first day, the last one ending on last_day: distinct users, those of the busiest day, the first such day, the sum over the days, and the users for groupBitmapMerge; ranges without activity have no row; for parameters account, organization (and all below it; empty for the whole account), first_days (ascending) and last_day'
