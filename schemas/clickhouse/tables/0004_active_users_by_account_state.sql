-- Filled by active_users_by_account_rollup. Readers: daily_active_users_by_account.
CREATE TABLE IF NOT EXISTS active_users_by_account_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'Keys of the users who were active (see user_key in the view users)'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day)
COMMENT 'Users active per account and day, whatever organization their activity named'
