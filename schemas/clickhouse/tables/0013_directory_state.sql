-- The latest value of each field: the maximum of (time, source, offset, value, search_key). The search key is the value as people
-- look for it: decomposed by NFKD, without combining marks, case-folded, with i for the dotless one. No SQL function makes it, so
-- the worker writes it; it is empty where it is the value itself. A user who has no name is searched by the id: where that has a
-- key other than itself, a name of time 0 that is empty carries it. Readers: accounts, organizations, users, projects.
CREATE TABLE IF NOT EXISTS directory_state /*on cluster*/
(
    account_id String COMMENT 'Account',
    entity Enum8('account' = 1, 'organization' = 2, 'user' = 3, 'project' = 4) COMMENT 'What is described',
    organization_id String COMMENT 'Organization of a project, empty of anything else',
    entity_id String COMMENT 'Id of what is described; of an account its own',
    field Enum8('name' = 1, 'email' = 2, 'parent' = 3) COMMENT 'Which field of it; parent is an organization''s and empty at top level',
    latest SimpleAggregateFunction(max, Tuple(time DateTime64(3, 'UTC'), source String, offset UInt64, value String, search_key String)) COMMENT 'The value, led by the time, source and offset of the record that gave it, and what it is searched by, empty where that is the value itself'
)
ENGINE = /*replicated*/AggregatingMergeTree
ORDER BY (account_id, entity, organization_id, entity_id, field)
COMMENT 'Names, e-mail addresses and parents, field by field'
