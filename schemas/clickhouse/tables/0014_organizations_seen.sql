-- Readers: accounts, organizations.
CREATE TABLE IF NOT EXISTS organizations_seen /*on cluster*/
(
    account_id String COMMENT 'Account',
    organization_id String COMMENT 'Organization, empty for the account itself'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (account_id, organization_id)
COMMENT 'Every account and organization that any event has named'
