CREATE OR REPLACE VIEW license_purchases /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the seats are allocated to, empty for those that the account owns',
    start DateTime64(3, 'UTC') COMMENT 'From when on',
    end Nullable(DateTime64(3, 'UTC')) COMMENT 'Until the next figure; null for the latest',
    seats UInt64 COMMENT 'Seats owned or allocated in that time'
)
AS SELECT
    f.account_id AS account_id,
    f.organization_id AS organization_id,
    f.time AS start,
    leadInFrame(toNullable(f.time)) OVER (
        PARTITION BY f.account_id, f.organization_id
        ORDER BY f.time, f.source, f.offset
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS end,
    f.seats AS seats
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.organization_id AS organization_id,
        fact.time AS time,
        fact.source AS source,
        fact.offset AS offset,
        any(fact.seats) AS seats
    FROM license_facts AS fact
    GROUP BY
        fact.account_id,
        fact.organization_id,
        fact.time,
        fact.source,
        fact.offset
) AS f
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Seats purchased by accounts and allocated to organizations over time'
