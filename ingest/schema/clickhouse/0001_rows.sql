-- What the log holds, one table for each topic. `{…}` is filled in by the code that runs this; a statement after
-- the line `-- cluster only` is left out on a single server, where `{local}` is nothing.
--
-- `place` is the shard of the log (bits 40 and up) and the offset in it. Of the rows with one sorting key the one
-- with the highest `version` stays: for exposures, signals and dead letters that is the lowest place, for examples
-- the highest revision. `content` tells apart what one id says in two ways: both stay, and the conflict shows.
CREATE TABLE IF NOT EXISTS {database}.exposures{local} {on_cluster}
(
    exposure_id String CODEC(ZSTD(1)),
    content FixedString(16),
    place UInt64 CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    unit_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    surface LowCardinality(String),
    policy_id LowCardinality(String),
    propensity Nullable(Float64),
    layers Array(LowCardinality(String)),
    experiments Array(LowCardinality(String)),
    variants Array(LowCardinality(String)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    INDEX by_place place TYPE minmax GRANULARITY 1,
    INDEX by_ts ts TYPE minmax GRANULARITY 1,
    INDEX by_unit unit_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(ts)
ORDER BY (exposure_id, content)
SETTINGS {settings};

CREATE TABLE IF NOT EXISTS {database}.signals{local} {on_cluster}
(
    signal_id String CODEC(ZSTD(1)),
    content FixedString(16),
    place UInt64 CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    exposure_id String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    value Nullable(Float64),
    actor LowCardinality(String),
    retracts String CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    INDEX by_place place TYPE minmax GRANULARITY 1,
    INDEX by_ts ts TYPE minmax GRANULARITY 1,
    INDEX by_exposure exposure_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(ts)
ORDER BY (signal_id, content)
SETTINGS {settings};

CREATE TABLE IF NOT EXISTS {database}.examples{local} {on_cluster}
(
    exposure_id String CODEC(ZSTD(1)),
    revision UInt32,
    place UInt64 CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    unit_id String CODEC(ZSTD(1)),
    surface LowCardinality(String),
    policy_id LowCardinality(String),
    propensity Nullable(Float64),
    layers Array(LowCardinality(String)),
    experiments Array(LowCardinality(String)),
    variants Array(LowCardinality(String)),
    label_values Map(LowCardinality(String), Float32),
    label_weights Map(LowCardinality(String), Float32),
    exposure_ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    body String CODEC(ZSTD(1)),
    INDEX by_place place TYPE minmax GRANULARITY 1,
    INDEX by_ts exposure_ts TYPE minmax GRANULARITY 1,
    INDEX by_unit unit_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(exposure_ts)
ORDER BY exposure_id
SETTINGS {settings};

-- What was refused, without the text. `source` is the record of the log that it was, or `@` and its own place.
CREATE TABLE IF NOT EXISTS {database}.dead_letters{local} {on_cluster}
(
    source String CODEC(ZSTD(1)),
    place UInt64 CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    received_ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {replacing}
PARTITION BY toYYYYMM(received_ts)
ORDER BY source
SETTINGS {settings};

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.exposures {on_cluster} AS {database}.exposures_local
ENGINE = Distributed('{cluster}', '{database}', 'exposures_local', sipHash64(exposure_id));

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.signals {on_cluster} AS {database}.signals_local
ENGINE = Distributed('{cluster}', '{database}', 'signals_local', sipHash64(signal_id));

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.examples {on_cluster} AS {database}.examples_local
ENGINE = Distributed('{cluster}', '{database}', 'examples_local', sipHash64(exposure_id));

-- cluster only
CREATE TABLE IF NOT EXISTS {database}.dead_letters {on_cluster} AS {database}.dead_letters_local
ENGINE = Distributed('{cluster}', '{database}', 'dead_letters_local', sipHash64(source));
