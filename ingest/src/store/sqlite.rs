//! The store of one machine: an SQLite database.

mod apply;
mod erase;
mod metrics;
mod units;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use plaudit_event::{Context, Example, ExperimentId, Exposure, Seed, Signal, Timestamp, UnitId, VariantId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use super::prompts::Pool;
use super::{
    Batch, Conflict, Counts, End, Erased, EventStore, Lineage, Place, Question, SCAN_ROWS, Scan, UnitMetrics,
    VariantMinute, Visit,
};
use crate::Error;
use crate::log::{BoxFuture, Part, Topic};
use crate::sqlite::{self, Format, Lock, Readers, from_sql, sqlite_error, to_sql};

pub(super) const FORMAT: Format = Format {
    name: "event store",
    application_id: u32::from_be_bytes(*b"PSto"),
    version: 5,
    schema: include_str!("../../schema/sqlite/store.sql"),
    upgrades: &[
        "ALTER TABLE positions ADD COLUMN mark BLOB;",
        "ALTER TABLE dead_letters ADD COLUMN source TEXT;
         CREATE UNIQUE INDEX dead_letters_by_source ON dead_letters (source);
         CREATE TABLE erased (exposure_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;",
        "CREATE INDEX exposures_by_time ON exposures (ts);
         CREATE TABLE conflicts (
             topic TEXT NOT NULL, id TEXT NOT NULL, content BLOB NOT NULL, seq INTEGER NOT NULL,
             PRIMARY KEY (topic, id, content)
         ) STRICT, WITHOUT ROWID;",
        "ALTER TABLE exposures ADD COLUMN assigned TEXT;
         ALTER TABLE exposures ADD COLUMN words INTEGER;
         ALTER TABLE exposures ADD COLUMN attributes TEXT;
         ALTER TABLE signals ADD COLUMN value REAL;
         ALTER TABLE signals ADD COLUMN retracts TEXT;
         ALTER TABLE signals ADD COLUMN is_shadow INTEGER;
         ALTER TABLE examples ADD COLUMN surface TEXT;
         ALTER TABLE examples ADD COLUMN assigned TEXT;
         ALTER TABLE examples ADD COLUMN words INTEGER;
         ALTER TABLE examples ADD COLUMN attributes TEXT;
         ALTER TABLE examples ADD COLUMN labels TEXT;
         ALTER TABLE examples ADD COLUMN told INTEGER;
         DROP INDEX IF EXISTS exposures_by_unit;
         DROP INDEX IF EXISTS signals_by_exposure;
         DROP INDEX IF EXISTS examples_by_unit;
         CREATE INDEX exposures_of_units ON exposures (unit_id, exposure_id, ts, surface, assigned, words, attributes);
         CREATE INDEX signals_of_exposures ON signals (exposure_id, signal_id, kind, ts, value, retracts, is_shadow);
         CREATE INDEX examples_of_units ON examples
             (unit_id, exposure_id, exposure_ts, surface, assigned, words, attributes, labels, told, revision);",
    ],
    probe,
    // What a power cut takes is copied from the log again: rows and position go together.
    synchronous: "NORMAL",
};

/// The store of one machine.
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// `None` in memory, where the one connection is the database.
    readers: Option<Readers>,
    /// Declared last, so that the connections are closed first.
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens or makes the store in the file `path`, as its only process.
    ///
    /// # Errors
    /// Fails when another process has it open, and when the file is not a store, is damaged, or has
    /// a newer format. The file is left as it is in these cases.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (lock, connection) = sqlite::open(path, &FORMAT)?;
        let inner = Inner {
            path: path.to_owned(),
            writer: Mutex::new(connection),
            readers: Some(Readers::new(path)),
            _lock: Some(lock),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// An empty store that lives as long as the value.
    ///
    /// # Errors
    /// Fails when SQLite has no memory.
    pub fn in_memory() -> Result<Self, Error> {
        let path = PathBuf::from(":memory:");
        let fail = sqlite_error("open", &path);
        let connection = Connection::open_in_memory().map_err(&fail)?;
        connection.execute_batch(FORMAT.schema).map_err(&fail)?;
        let inner = Inner { path: path.clone(), writer: Mutex::new(connection), readers: None, _lock: None };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `work` where blocking is allowed.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let task = tokio::task::spawn_blocking(move || work(&inner));
            task.await.map_err(|error| Error::Task { what: "store", detail: error.to_string() })?
        })
    }

    fn scan<T: DeserializeOwned + Send + 'static>(
        &self,
        topic: Topic,
        after: Option<Place>,
        limit: usize,
    ) -> Scan<'_, T> {
        let after = after.map_or(-1, |after| to_sql(after.number()));
        self.blocking(move |inner| {
            let rows = inner.read(|connection| {
                rows(
                    connection,
                    &format!("SELECT seq, body FROM {topic} WHERE seq > ?1 ORDER BY seq LIMIT ?2"),
                    params![after, to_sql(limit.min(SCAN_ROWS) as u64)],
                )
            })?;
            let rows = decode(topic, rows)?;
            Ok(rows.into_iter().map(|(seq, row)| (Place::of_number(seq), row)).collect())
        })
    }
}

impl Inner {
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        match &self.readers {
            Some(readers) => readers.read(query),
            None => query(&self.writer()).map_err(sqlite_error("read", &self.path)),
        }
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A panic in between leaves a transaction that was rolled back on unwinding.
        self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn prompts(&self, count: usize, seed: Seed) -> Result<Vec<Context>, Error> {
        let mut pool = Pool::new(count);
        let mut before = i64::MAX;
        while pool.wants_more() {
            let page = self.read(|connection| {
                rows(
                    connection,
                    "SELECT seq, json_extract(body, '$.context') FROM exposures
                     WHERE surface = 'chat' AND seq < ?1 ORDER BY seq DESC LIMIT 1000",
                    params![before],
                )
            })?;
            let Some(last) = page.last() else { break };
            before = to_sql(last.0);
            for (_, context) in decode(Topic::Exposures, page)? {
                pool.add(context);
            }
        }
        Ok(pool.draw(seed))
    }
}

impl EventStore for SqliteStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<u64, Error>> {
        self.blocking(move |inner| apply::apply(&mut inner.writer(), &inner.path, &batch))
    }

    fn ends(&self) -> BoxFuture<'_, Result<BTreeMap<Part, End>, Error>> {
        self.blocking(|inner| inner.read(apply::ends))
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, Error>> {
        self.blocking(|inner| inner.read(metrics::counts))
    }

    fn prompts(&self, count: usize, seed: Seed) -> BoxFuture<'_, Result<Vec<Context>, Error>> {
        self.blocking(move |inner| inner.prompts(count.min(SCAN_ROWS), seed))
    }

    fn examples(&self, range: Range<Timestamp>, limit: usize) -> BoxFuture<'_, Result<Vec<Example>, Error>> {
        let (start, end) = (range.start.as_millis(), range.end.as_millis());
        self.blocking(move |inner| {
            let rows = inner.read(|connection| {
                rows(
                    connection,
                    "SELECT seq, body FROM examples WHERE exposure_ts >= ?1 AND exposure_ts < ?2
                     ORDER BY exposure_ts, seq LIMIT ?3",
                    params![start, end, to_sql(limit.min(SCAN_ROWS) as u64)],
                )
            })?;
            let examples = decode(Topic::Examples, rows)?;
            Ok(examples.into_iter().map(|(_, example)| example).collect())
        })
    }

    fn scan_exposures(&self, after: Option<Place>, limit: usize) -> Scan<'_, Exposure> {
        self.scan(Topic::Exposures, after, limit)
    }

    fn scan_signals(&self, after: Option<Place>, limit: usize) -> Scan<'_, Signal> {
        self.scan(Topic::Signals, after, limit)
    }

    fn scan_examples(&self, after: Option<Place>, limit: usize) -> Scan<'_, Example> {
        self.scan(Topic::Examples, after, limit)
    }

    fn unit_metrics(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        after: Option<(VariantId, UnitId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<UnitMetrics>, Error>> {
        let experiment = experiment.clone();
        self.blocking(move |inner| {
            inner.read(|connection| {
                metrics::units(connection, (&experiment, &range), after.as_ref(), limit.min(SCAN_ROWS))
            })
        })
    }

    fn variant_minutes(
        &self,
        experiment: &ExperimentId,
        range: Range<Timestamp>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<VariantMinute>, Error>> {
        let experiment = experiment.clone();
        self.blocking(move |inner| {
            inner.read(|connection| metrics::minutes(connection, &experiment, &range, limit.min(SCAN_ROWS)))
        })
    }

    fn unit_events(
        &self,
        question: &Question,
        hashes: RangeInclusive<u64>,
        visit: Visit,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let question = question.clone();
        self.blocking(move |inner| units::visit(inner, (&question, &hashes), &visit))
    }

    fn lineage(&self, part: Part, offsets: Range<u64>) -> BoxFuture<'_, Result<Vec<Lineage>, Error>> {
        self.blocking(move |inner| inner.read(|connection| metrics::lineage(connection, part, &offsets)))
    }

    fn conflicts(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Conflict>, Error>> {
        self.blocking(move |inner| inner.read(|connection| metrics::conflicts(connection, limit.min(SCAN_ROWS))))
    }

    fn erase(&self, unit: &UnitId) -> BoxFuture<'_, Result<Erased, Error>> {
        let unit = unit.clone();
        self.blocking(move |inner| erase::erase(&mut inner.writer(), &inner.path, &unit))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.blocking(|inner| erase::clear(&mut inner.writer()).map_err(sqlite_error("clear", &inner.path)))
    }
}

/// Reads the positions, and the newest row of every table.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    // The format may still be an older one.
    connection.query_row("SELECT topic, next FROM positions LIMIT 1", [], |_| Ok(())).optional()?;
    for table in ["exposures", "signals", "examples", "dead_letters"] {
        let newest = format!("SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1");
        connection.query_row(&newest, [], |_| Ok(())).optional()?;
    }
    Ok(())
}

/// Runs a query for (seq, JSON).
fn rows(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<(u64, String)>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| Ok((from_sql(row.get(0)?), row.get(1)?)))?;
    rows.collect()
}

fn decode<T: DeserializeOwned>(topic: Topic, rows: Vec<(u64, String)>) -> Result<Vec<(u64, T)>, Error> {
    let mut decoded = Vec::with_capacity(rows.len());
    for (offset, body) in rows {
        let row =
            serde_json::from_str(&body).map_err(|error| Error::Record { topic, offset, detail: error.to_string() })?;
        decoded.push((offset, row));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
