-- Each day's bitmaps are merged once, and all counts are read off the merged bitmap.
-- Parameterized like license_usage, with rows for each direct child of the organization.
CREATE OR REPLACE VIEW license_usage_by_organization /*on cluster*/
AS SELECT
    d.child_id AS organization_id,
    arrayLast(first -> first <= d.day, {first_days:Array(Date)}) AS first_day,
    groupBitmapMerge(d.day_users) AS active_users,
    max(d.active_users) AS peak_daily_active_users,
    argMax(d.day, (d.active_users, -toInt32(d.day))) AS peak_day,
    sum(d.active_users) AS active_user_days,
    groupBitmapMergeState(d.day_users) AS users
FROM
(
    SELECT
        m.child_id AS child_id,
        s.day AS day,
        groupBitmapMergeState(s.users) AS day_users,
        finalizeAggregation(day_users) AS active_users
    FROM active_users_state AS s
    GLOBAL INNER JOIN organization_children(account = {account:String}, organization = {organization:String}) AS m
        ON m.organization_id = s.organization_id
    WHERE s.account_id = {account:String}
        AND s.day BETWEEN arrayMin({first_days:Array(Date)}) AND {last_day:Date}
    GROUP BY
        m.child_id,
        s.day
) AS d
GROUP BY
    organization_id,
    first_day
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Active users like license_usage, for each direct child of the organization with all below it (for each top-level organization where it is empty), for parameters account, organization, first_days (ascending) and last_day'
