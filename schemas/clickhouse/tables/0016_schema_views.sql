-- The text from which each view was made. A view is made anew when its text changes.
CREATE TABLE IF NOT EXISTS schema_views /*on cluster*/
(
    name LowCardinality(String) COMMENT 'Name of the view',
    checksum String COMMENT 'SHA-256 of its statement, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was made; the latest row of a view counts'
)
ENGINE = /*replicated*/ReplacingMergeTree(applied_at)
ORDER BY name
COMMENT 'Views made in this database'
