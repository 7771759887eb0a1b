-- Parameterized: quota_months(account = 'acme', organization = '42', last_day = '2026-03-31').
CREATE OR REPLACE VIEW quota_months /*on cluster*/
AS SELECT
    d.anchor AS anchor,
    d.month AS month,
    sum(d.used) AS used,
    sumIf(d.used, d.day <= {last_day:Date}) AS used_to_last_day
FROM quota_usage_daily AS d
WHERE d.account_id = {account:String} AND d.organization_id = {organization:String}
GROUP BY
    d.anchor,
    d.month
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Quota used per quota month, all of it and what was used up to and including last_day; months without use have no row; for parameters account, organization (alone) and last_day'
