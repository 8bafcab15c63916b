-- What is needed to migrate: always run first, and never changed.
CREATE DATABASE IF NOT EXISTS {database} {on_cluster};

-- The migrations that were run to their end.
CREATE TABLE IF NOT EXISTS {database}.schema_versions {on_cluster}
(
    version UInt32,
    name String,
    at DateTime64(3, 'UTC')
)
ENGINE = {replacing_everywhere(at)}
ORDER BY version;

-- Who may migrate. Of the rows of an owner the one with the highest `step` counts; an owner whose `until` is over
-- has no claim.
CREATE TABLE IF NOT EXISTS {database}.migration_claims {on_cluster}
(
    owner String,
    step UInt64,
    until DateTime64(3, 'UTC')
)
ENGINE = {replacing_everywhere(step)}
ORDER BY owner;
