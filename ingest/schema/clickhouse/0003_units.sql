-- What questions about the units of experiments read: the rows of the other tables without their bodies. They are
-- copies of rows and no sums, so that a row that comes again is the same row, and what is erased or replaced goes.
--
-- One row for each exposure, which becomes that of its example: `version` has its highest bit set for examples. `unit`
-- is the beginning of the SHA-256 of the unit's id, `exposure` the hash of its own. `assigned` is a line for each
-- assignment: layer, experiment, variant, phase and weights. `labels` is `objective=value` for each label.
CREATE TABLE IF NOT EXISTS {database}.shown{local} {on_cluster}
(
    exposure_id String CODEC(ZSTD(1)),
    exposure UInt64 CODEC(ZSTD(1)),
    unit UInt64 CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    is_example UInt8,
    revision UInt32 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    told DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    surface LowCardinality(String),
    assigned LowCardinality(String),
    words UInt32,
    attributes String CODEC(ZSTD(1)),
    labels LowCardinality(String),
    INDEX by_ts ts TYPE minmax GRANULARITY 1
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(ts)
ORDER BY exposure_id
SETTINGS {settings};

CREATE TABLE IF NOT EXISTS {database}.reacted{local} {on_cluster}
(
    signal_id String CODEC(ZSTD(1)),
    signal UInt64 CODEC(ZSTD(1)),
    exposure UInt64 CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    value Nullable(Float64),
    retracts UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(ts)
ORDER BY signal_id
SETTINGS {settings};

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.shown {on_cluster} AS {database}.shown_local
ENGINE = Distributed('{cluster}', '{database}', 'shown_local', sipHash64(exposure_id));

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.reacted {on_cluster} AS {database}.reacted_local
ENGINE = Distributed('{cluster}', '{database}', 'reacted_local', sipHash64(signal_id));

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.shown_of_exposures{local} {on_cluster}
TO {database}.shown{local}
AS SELECT
    exposure_id,
    sipHash64(exposure_id) AS exposure,
    reinterpretAsUInt64(reverse(substring(SHA256(unit_id), 1, 8))) AS unit,
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
FROM {database}.exposures{local};

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.shown_of_examples{local} {on_cluster}
TO {database}.shown{local}
AS SELECT
    exposure_id,
    sipHash64(exposure_id) AS exposure,
    reinterpretAsUInt64(reverse(substring(SHA256(unit_id), 1, 8))) AS unit,
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
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.reacted_of_signals{local} {on_cluster}
TO {database}.reacted{local}
AS SELECT
    signal_id,
    sipHash64(signal_id) AS signal,
    sipHash64(exposure_id) AS exposure,
    version,
    kind,
    value,
    if(retracts = '', 0, sipHash64(retracts)) AS retracts,
    ts
FROM {database}.signals{local}
WHERE actor != 'shadow';
