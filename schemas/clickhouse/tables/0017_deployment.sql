-- What is chosen once for a database and stays. `migrate` puts random numbers of its own in the place of rand64: then they
-- are part of the table, so of two programs that migrate at once the first decides, and the rows that both add are the same.
CREATE TABLE IF NOT EXISTS deployment /*on cluster*/
(
    user_key_seed Tuple(UInt64, UInt64) DEFAULT (rand64(1), rand64(2)) COMMENT 'Secret key of the hash that makes user_key of a text id (see the view users); never to be changed while there is data',
    made_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was made'
)
ENGINE = /*replicated*/ReplacingMergeTree
ORDER BY user_key_seed
COMMENT 'What was chosen for this database when it was made'
