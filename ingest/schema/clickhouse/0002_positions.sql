-- How far each part of the log has been copied: of the rows of a part the one with the highest position counts, so
-- that a writer that is late changes nothing. `mark` tells which record was the last, empty when that is not known.
-- On a cluster every server has all of it.
CREATE TABLE IF NOT EXISTS {database}.positions {on_cluster}
(
    topic LowCardinality(String),
    shard UInt32,
    next UInt64,
    mark String
)
ENGINE = {replacing_everywhere(next)}
ORDER BY (topic, shard)
SETTINGS {settings};

-- Exposures that were erased.
CREATE TABLE IF NOT EXISTS {database}.erased {on_cluster}
(
    exposure_id String,
    at DateTime64(3, 'UTC')
)
ENGINE = {replacing_everywhere(at)}
ORDER BY exposure_id
SETTINGS {settings};
