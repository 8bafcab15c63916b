-- The event store, format 5. `seq` is the shard of the log (bits 40 to 62) and the offset in it; `body` is the event as
-- JSON. What stands behind it repeats what questions about units need; it is absent in rows of an older format. The
-- indexes by unit hold all of it, so that these questions read them alone.
CREATE TABLE exposures (
    seq INTEGER PRIMARY KEY, exposure_id TEXT NOT NULL UNIQUE, unit_id TEXT NOT NULL,
    surface TEXT NOT NULL, policy_id TEXT NOT NULL, ts INTEGER NOT NULL, body TEXT NOT NULL
    , assigned TEXT, words INTEGER, attributes TEXT
) STRICT;
CREATE INDEX exposures_by_surface ON exposures (surface, seq);
CREATE INDEX exposures_of_units ON exposures (unit_id, exposure_id, ts, surface, assigned, words, attributes);
CREATE INDEX exposures_by_time ON exposures (ts);
CREATE TABLE signals (
    seq INTEGER PRIMARY KEY, signal_id TEXT NOT NULL UNIQUE, exposure_id TEXT NOT NULL,
    kind TEXT NOT NULL, ts INTEGER NOT NULL, body TEXT NOT NULL
    , value REAL, retracts TEXT, is_shadow INTEGER
) STRICT;
CREATE INDEX signals_of_exposures ON signals (exposure_id, signal_id, kind, ts, value, retracts, is_shadow);
-- The latest revision of each example only.
CREATE TABLE examples (
    seq INTEGER PRIMARY KEY, exposure_id TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL,
    unit_id TEXT NOT NULL, policy_id TEXT NOT NULL, exposure_ts INTEGER NOT NULL, body TEXT NOT NULL
    , surface TEXT, assigned TEXT, words INTEGER, attributes TEXT, labels TEXT, told INTEGER
) STRICT;
CREATE INDEX examples_by_time ON examples (exposure_ts, seq);
CREATE INDEX examples_of_units ON examples
    (unit_id, exposure_id, exposure_ts, surface, assigned, words, attributes, labels, told, revision);
-- What was refused, without the text.
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL, received_ts INTEGER NOT NULL,
    source TEXT
) STRICT;
CREATE UNIQUE INDEX dead_letters_by_source ON dead_letters (source);
-- Ids that say different things: each content, and where it came from first.
CREATE TABLE conflicts (
    topic TEXT NOT NULL, id TEXT NOT NULL, content BLOB NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (topic, id, content)
) STRICT, WITHOUT ROWID;
-- Exposures that were erased.
CREATE TABLE erased (exposure_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
-- Where the sink goes on, by topic, with `/SHARD` after it but for the first; `mark` tells which record was the last.
CREATE TABLE positions (topic TEXT PRIMARY KEY, next INTEGER NOT NULL, mark BLOB) STRICT, WITHOUT ROWID;
