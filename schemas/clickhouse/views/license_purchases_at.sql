-- Parameterized: license_purchases_at(account = 'acme', organization = '', edges = ['2026-02-01 00:00:00']).
CREATE OR REPLACE VIEW license_purchases_at /*on cluster*/
AS SELECT
    e.edge AS edge,
    b.seats AS purchased
FROM
(
    SELECT
        {account:String} AS account_id,
        arrayJoin(arrayDistinct({edges:Array(DateTime64(3, 'UTC'))})) AS edge
) AS e
ASOF LEFT JOIN
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
) AS b ON b.account_id = e.account_id AND b.time < e.edge
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased by the account (organization is empty) or allocated to the organization, as they stood at each instant of edges, for parameters account, organization and edges'
