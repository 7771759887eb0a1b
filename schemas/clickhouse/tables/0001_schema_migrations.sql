-- Which of the files in tables/ have been applied. The checksum tells an edited file from the one that was applied.
CREATE TABLE IF NOT EXISTS schema_migrations /*on cluster*/
(
    version UInt32 COMMENT 'Number of the migration file',
    name String COMMENT 'Name of the migration file without its number',
    checksum String COMMENT 'SHA-256 of the file, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY (version, name, checksum)
COMMENT 'Migrations applied to this database'
