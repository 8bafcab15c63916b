-- The event log, format 1. One table per topic; the offset is the row id, so an append touches the
-- last page only.
CREATE TABLE exposures    (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE signals      (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE examples     (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE dead_letters (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE checkpoints  (offset INTEGER PRIMARY KEY, appended INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
-- Where named consumers go on.
CREATE TABLE positions (consumer TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (consumer, topic)) STRICT, WITHOUT ROWID;
