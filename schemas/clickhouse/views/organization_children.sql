-- Parameterized: organization_children(account = 'acme', organization = '42'), or organization = '' for the top level.
-- In a circle a child's subtree holds its parent too, so an organization may lie below several children.
CREATE OR REPLACE VIEW organization_children /*on cluster*/
AS SELECT
    child_id,
    t.organization_id AS organization_id
FROM organization_tree(account = {account:String}) AS t
ARRAY JOIN t.ancestors AS child_id
WHERE child_id IN
(
    SELECT o.organization_id
    FROM organizations AS o
    WHERE o.account_id = {account:String} AND ifNull(o.parent_id, '') = {organization:String}
)
SETTINGS
    aggregate_functions_null_for_empty = 0,
    join_default_strictness = 'ALL',
    join_use_nulls = 0,
    prefer_column_name_to_alias = 0,
    transform_null_in = 0
COMMENT 'The direct children of an organization, or the top-level organizations (child_id), each with all organizations of its subtree (organization_id), for parameters account and organization'
