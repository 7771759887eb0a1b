-- Parameterized: user_keys(users = ['ann', '42']). The formula is that of the view users; here it needs no description and no seat.
CREATE OR REPLACE VIEW user_keys /*on cluster*/
AS SELECT
    u.user_id AS user_id,
    if(
        match(u.user_id, '^(0|[1-9][0-9]{0,18})$') AND toUInt64OrZero(u.user_id) < bitShiftLeft(toUInt64(1), 63),
        toUInt64OrZero(u.user_id),
        bitOr(sipHash64Keyed((SELECT d.user_key_seed FROM deployment AS d GROUP BY d.user_key_seed), u.user_id), bitShiftLeft(toUInt64(1), 63))
    ) AS user_key
FROM (SELECT arrayJoin({users:Array(String)}) AS user_id) AS u
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'Keys of any users in bitmaps (user_id, user_key), by the secret of the table deployment, which whoever reads this view need not see; for parameter users (ids)'
