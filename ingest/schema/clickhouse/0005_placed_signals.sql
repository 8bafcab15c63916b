-- Signals are written with what their exposure says, so that questions about units find them by unit, in the same stretch
-- of hashes as the exposures. `unit_signals` replaces `unit_reactions`.
--
-- A signal that was written before its exposure has unit 0, and is brought together with it by whoever asks; so are those
-- that were there before this step.
ALTER TABLE {database}.exposures{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS assigned LowCardinality(String) DEFAULT
        arrayStringConcat(arrayMap(a -> concat(
            JSONExtractString(a, 'layer'), '\t', JSONExtractString(a, 'experiment'), '\t',
            JSONExtractString(a, 'variant'), '\t', JSONExtractRaw(a, 'draw', 'phase'), '\t',
            JSONExtractRaw(a, 'draw', 'weights')), JSONExtractArrayRaw(body, 'assignments')), '\n'),
    ADD COLUMN IF NOT EXISTS attributes String DEFAULT JSONExtractRaw(body, 'attributes') CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS words UInt32 DEFAULT
        countMatches(JSONExtractString(body, 'slate', JSONExtractUInt(body, 'chosen') + 1, 'content'),
            '[^\\t-\\r\\x20\\x85\\pZ]+');

ALTER TABLE {database}.signals{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS unit UInt64,
    ADD COLUMN IF NOT EXISTS shown DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS surface LowCardinality(String),
    ADD COLUMN IF NOT EXISTS assigned LowCardinality(String),
    ADD COLUMN IF NOT EXISTS attributes String CODEC(ZSTD(1));

-- cluster only
ALTER TABLE {database}.exposures {on_cluster}
    ADD COLUMN IF NOT EXISTS assigned LowCardinality(String),
    ADD COLUMN IF NOT EXISTS attributes String,
    ADD COLUMN IF NOT EXISTS words UInt32;

-- cluster only
ALTER TABLE {database}.signals {on_cluster}
    ADD COLUMN IF NOT EXISTS unit UInt64,
    ADD COLUMN IF NOT EXISTS shown DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS surface LowCardinality(String),
    ADD COLUMN IF NOT EXISTS assigned LowCardinality(String),
    ADD COLUMN IF NOT EXISTS attributes String;

-- As `unit_exposures_of_exposures`, without reading bodies. For a moment both copy, which is the same row twice.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unit_exposures_of_columns{local} {on_cluster}
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
    assigned,
    words,
    attributes,
    '' AS labels
FROM {database}.exposures{local}
WHERE is_conflict = 0;

DROP TABLE IF EXISTS {database}.unit_exposures_of_exposures{local} {on_cluster};

-- `shown`, `surface`, `assigned` and `attributes` are the exposure's. Partitions are weeks of exposures, since those are
-- what is asked for.
CREATE TABLE IF NOT EXISTS {database}.unit_signals{local} {on_cluster}
(
    unit UInt64 CODEC(Delta, ZSTD(1)),
    exposure UInt64 CODEC(NONE),
    signal UInt64 CODEC(NONE),
    version UInt64 CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    value Nullable(Float64),
    retracts UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    shown DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    surface LowCardinality(String),
    assigned LowCardinality(String),
    attributes String CODEC(ZSTD(1))
)
ENGINE = {replacing}
PARTITION BY toMonday(shown)
ORDER BY (unit, exposure, signal)
SETTINGS {settings}, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.unit_signals {on_cluster} AS {database}.unit_signals_local
ENGINE = Distributed('{cluster}', '{database}', 'unit_signals_local', exposure);

-- with what is there
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.unit_signals_of_signals{local} {on_cluster}
TO {database}.unit_signals{local}
AS SELECT
    unit,
    sipHash64(exposure_id) AS exposure,
    sipHash64(signal_id) AS signal,
    version,
    kind,
    value,
    if(retracts = '', 0, sipHash64(retracts)) AS retracts,
    ts,
    shown,
    surface,
    assigned,
    attributes
FROM {database}.signals{local}
WHERE actor != 'shadow' AND is_conflict = 0;

DROP TABLE IF EXISTS {database}.unit_reactions_of_signals{local} {on_cluster};

-- cluster only
DROP TABLE IF EXISTS {database}.unit_reactions {on_cluster};

DROP TABLE IF EXISTS {database}.unit_reactions{local} {on_cluster};
