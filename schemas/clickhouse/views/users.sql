-- Reading in the order of the key and taking the first row of each finds the latest value without a hash table.
CREATE OR REPLACE VIEW users /*on cluster*/
(
    account_id String COMMENT 'Account',
    user_id String COMMENT 'User',
    name String COMMENT 'Name, the id until it has one',
    email Nullable(String) COMMENT 'E-mail address, null until it has one',
    name_search_key String COMMENT 'What the name is searched by: decomposed, without combining marks, case-folded',
    email_search_key String COMMENT 'What the e-mail address is searched by, empty where there is none',
    user_key UInt64 COMMENT 'Key of the user in bitmaps: the id if it is a whole number below 2^63, else a hash of it, by the secret of the table deployment, with the top bit set'
)
AS SELECT
    u.account_id AS account_id,
    u.user_id AS user_id,
    if(max(u.name) = '', u.user_id, max(u.name)) AS name,
    if(max(u.email) = '', NULL, max(u.email)) AS email,
    multiIf(max(u.name_key) != '', max(u.name_key), max(u.name) != '', max(u.name), u.user_id) AS name_search_key,
    if(max(u.email_key) = '', max(u.email), max(u.email_key)) AS email_search_key,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM
(
    SELECT
        fact.account_id AS account_id,
        fact.user_id AS user_id,
        '' AS name,
        '' AS email,
        '' AS name_key,
        '' AS email_key
    FROM seat_facts AS fact
    UNION ALL
    SELECT
        described.account_id AS account_id,
        described.entity_id AS user_id,
        if(described.field = 'name', described.value, '') AS name,
        if(described.field = 'email', described.value, '') AS email,
        if(described.field = 'name', described.search_key, '') AS name_key,
        if(described.field = 'email', described.search_key, '') AS email_key
    FROM
    (
        SELECT
            directory.account_id AS account_id,
            directory.entity_id AS entity_id,
            directory.field AS field,
            tupleElement(directory.latest, 'value') AS value,
            tupleElement(directory.latest, 'search_key') AS search_key
        FROM directory_state AS directory
        WHERE directory.entity = 'user'
        ORDER BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field,
            tupleElement(directory.latest, 'time') DESC,
            tupleElement(directory.latest, 'source') DESC,
            tupleElement(directory.latest, 'offset') DESC
        LIMIT 1 BY
            directory.account_id,
            directory.entity,
            directory.organization_id,
            directory.entity_id,
            directory.field
    ) AS described
) AS u
GROUP BY
    u.account_id,
    u.user_id
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Every user who was ever described or held a seat'
