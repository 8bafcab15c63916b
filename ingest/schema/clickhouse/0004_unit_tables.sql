-- The tables for questions about units, ordered by what such questions group and join by, and without texts of ids.
-- `unit_exposures` and `unit_reactions` replace `shown` and `reacted`.
--
-- An id that says two things at once counts for what it said first: later ones are marked where they are written, and
-- are not copied. Partitions are weeks, since the order does not tell times apart; all rows of one exposure have its
-- time, so that no partition must be merged with another. A partition that had no insert for a day becomes one part, of
-- which no row must be compared with another when it is read.
ALTER TABLE {database}.exposures{local} {on_cluster} ADD COLUMN IF NOT EXISTS is_conflict UInt8;

ALTER TABLE {database}.signals{local} {on_cluster} ADD COLUMN IF NOT EXISTS is_conflict UInt8;

-- cluster only
ALTER TABLE {database}.exposures {on_cluster} ADD COLUMN IF NOT EXISTS is_conflict UInt8;

-- cluster only
ALTER TABLE {database}.signals {on_cluster} ADD COLUMN IF NOT EXISTS is_conflict UInt8;

-- One row for each exposure, which becomes that of its example: `version` has its highest bit set for examples. `unit`
-- is the beginning of the SHA-256 of the unit's id, `exposure` the hash of its own. `assigned` is a line for each
-- assignment: layer, experiment, variant, phase and weights. `labels` is `objective=value` for each label.
CREATE TABLE IF NOT EXISTS {database}.unit_exposures{local} {on_cluster}
(
    unit UInt64 CODEC(Delta, ZSTD(1)),
    exposure UInt64 CODEC(NONE),
    version UInt64 CODEC(Delta, ZSTD(1)),
    is_example UInt8,
    revision UInt32 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    told DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    surface LowCardinality(String),
    assigned LowCardinality(String),
    words UInt32,
    attributes String CODEC(ZSTD(1)),
    labels LowCardinality(String)
)
ENGINE = {replacing}
PARTITION BY toMonday(ts)
ORDER BY (unit, exposure)
SETTINGS {settings}, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS {database}.unit_reactions{local} {on_cluster}
(
    exposure UInt64 CODEC(Delta, ZSTD(1)),
    signal UInt64 CODEC(NONE),
    version UInt64 CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    value Nullable(Float64),
    retracts UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {replacing}
PARTITION BY toMonday(ts)
ORDER BY (exposure, signal)
SETTINGS {settings}, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.unit_exposures {on_cluster} AS {database}.unit_exposures_local
ENGINE = Distributed('{cluster}', '{database}', 'unit_exposures_local', exposure);

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.unit_reactions {on_cluster} AS {database}.unit_reactions_local
ENGINE = Distributed('{cluster}', '{database}', 'unit_reactions_local', signal);

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unit_exposures_of_exposures{local} {on_cluster}
TO {database}.unit_exposures{local}
AS SELECT
    reinterpretAsUInt64(reverse(substring(SHA256(unit_id), 1, 8))) AS unit,
    sipHash64(exposure_id) AS exposure,
    bitAnd(version, 0x7FFFFFFFFFFFFFFF) AS version,
    0 AS is_example,
    0 AS revision,
    ts,
    toDateTime64(0, 3, 'UTC') AS told,
    surface,
    arrayStringConcat(arrayMap(a -> concat(
        JSONExtractString(a, 'layer'), '\t', JSONExtractString(a, 'experiment'), '\t', JSONExtractString(a, 'variant'), '\t',
        JSONExtractRaw(a, 'draw', 'phase'), '\t', JSONExtractRaw(a, 'draw', 'weights')),
        JSONExtractArrayRaw(body, 'assignments')), '\n') AS assigned,
    countMatches(JSONExtractString(body, 'slate', JSONExtractUInt(body, 'chosen') + 1, 'content'),
        '[^\\t-\\r\\x20\\x85\\pZ]+') AS words,
    JSONExtractRaw(body, 'attributes') AS attributes,
    '' AS labels
FROM {database}.exposures{local}
WHERE is_conflict = 0;

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unit_exposures_of_examples{local} {on_cluster}
TO {database}.unit_exposures{local}
AS SELECT
    reinterpretAsUInt64(reverse(substring(SHA256(unit_id), 1, 8))) AS unit,
    sipHash64(exposure_id) AS exposure,
    bitOr(version, 0x8000000000000000) AS version,
    1 AS is_example,
    revision,
    exposure_ts AS ts,
    examples{local}.ts AS told,
    surface,
    arrayStringConcat(arrayMap(a -> concat(
        JSONExtractString(a, 'layer'), '\t', JSONExtractString(a, 'experiment'), '\t', JSONExtractString(a, 'variant'), '\t',
        JSONExtractRaw(a, 'draw', 'phase'), '\t', JSONExtractRaw(a, 'draw', 'weights')),
        JSONExtractArrayRaw(body, 'assignments')), '\n') AS assigned,
    countMatches(JSONExtractString(body, 'response'), '[^\\t-\\r\\x20\\x85\\pZ]+') AS words,
    JSONExtractRaw(body, 'attributes') AS attributes,
    arrayStringConcat(arrayMap((objective, value) -> concat(objective, '=', toString(value)),
        mapKeys(label_values), mapValues(label_values)), '\t') AS labels
FROM {database}.examples{local};

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unit_reactions_of_signals{local} {on_cluster}
TO {database}.unit_reactions{local}
AS SELECT
    sipHash64(exposure_id) AS exposure,
    sipHash64(signal_id) AS signal,
    version,
    kind,
    value,
    if(retracts = '', 0, sipHash64(retracts)) AS retracts,
    ts
FROM {database}.signals{local}
WHERE actor != 'shadow' AND is_conflict = 0;

DROP TABLE IF EXISTS {database}.shown_of_exposures{local} {on_cluster};

DROP TABLE IF EXISTS {database}.shown_of_examples{local} {on_cluster};

DROP TABLE IF EXISTS {database}.reacted_of_signals{local} {on_cluster};

-- cluster only
DROP TABLE IF EXISTS {database}.shown {on_cluster};

-- cluster only
DROP TABLE IF EXISTS {database}.reacted {on_cluster};

DROP TABLE IF EXISTS {database}.shown{local} {on_cluster};

DROP TABLE IF EXISTS {database}.reacted{local} {on_cluster};
