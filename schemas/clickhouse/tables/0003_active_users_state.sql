-- Union of bitmaps: a user that is written twice is there once. The day comes before the organization, since reports are about
-- ranges of days, of one organization or of all. Readers: daily_active_users.
CREATE TABLE IF NOT EXISTS active_users_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization that the activity named, empty where it named none',
    day Date COMMENT 'Calendar day in the account''s time zone',
    users AggregateFunction(groupBitmap, UInt64) COMMENT 'Keys of the users who were active (see user_key in the view users)'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, day, organization_id)
COMMENT 'Users active per account, organization and day'
